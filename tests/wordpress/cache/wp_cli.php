<?php

/**
 * Stands in for WP-CLI, which Debian has no package of: hands a command's arguments to the class that was registered.
 *
 *   php wp_cli.php <wp-load.php> slbp cache <subcommand> [<argument>...]
 */

declare(strict_types=1);

final class WP_CLI
{
    /** @var array<string, class-string> */
    public static array $commands = [];

    public static function add_command(string $name, string $class): void
    {
        self::$commands[$name] = $class;
    }

    public static function line(string $text): void
    {
        echo $text, "\n";
    }

    public static function success(string $text): void
    {
        echo "Success: $text\n";
    }

    public static function error(string $text): never
    {
        echo "Error: $text\n";
        exit(1);
    }
}

define('WP_CLI', true);
$_SERVER['HTTP_HOST'] = 'localhost';
[, $load, $first, $second, $subcommand] = $argv;
require $load;

foreach ((new ReflectionClass(WP_CLI::$commands["$first $second"]))->getMethods(ReflectionMethod::IS_PUBLIC) as $method) {
    $named = preg_match('/@subcommand (\S+)/', (string) $method->getDocComment(), $found) ? $found[1] : $method->name;
    if ($named === $subcommand) {
        $method->invoke($method->getDeclaringClass()->newInstance(), array_slice($argv, 5), []);
        exit(0);
    }
}
WP_CLI::error("no subcommand $subcommand");
