<?php

/**
 * Stands in for WP-CLI, which no package brings: what a command calls of it, and no more. Runs one
 * command as `wp slbp backup ...` would: php wp_cli_double.php ROOT backup create --type=full
 */

declare(strict_types=1);

namespace WP_CLI\Utils {
    function make_progress_bar(string $message, int $count): object
    {
        return new class {
            private int $done = 0;

            public function tick(int $by = 1): void
            {
                $this->done += $by;
            }

            public function finish(): void
            {
                echo "progress {$this->done}\n";
            }
        };
    }

    function format_items(string $format, array $items, array $fields): void
    {
        echo json_encode(array_map(static fn (array $item) => array_intersect_key($item, array_flip($fields)), $items)), "\n";
    }
}

namespace {
    const WP_CLI = true;

    final class WP_CLI
    {
        /** @var array<string, string> */
        public static array $commands = [];

        public static function add_command(string $name, string $class): void
        {
            self::$commands[$name] = $class;
        }

        public static function log(string $text): void
        {
            echo "$text\n";
        }

        public static function line(string $text): void
        {
            echo "$text\n";
        }

        public static function warning(string $text): void
        {
            echo "Warning: $text\n";
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

        public static function confirm(string $question, array $options): void
        {
            if (!isset($options['yes'])) {
                self::error("not confirmed: $question");
            }
        }
    }

    [, $root, $group] = $argv;
    $words = array_slice($argv, 3);
    $_SERVER['HTTP_HOST'] = 'localhost';
    require "$root/wp-load.php";

    $options = [];
    foreach (preg_grep('/^--/', $words) as $word) {
        [$key, $value] = explode('=', substr($word, 2), 2) + [1 => true];
        $options[$key] = $value;
    }
    $class = new ReflectionClass(WP_CLI::$commands["slbp $group"]);
    if ($class->hasMethod('__invoke')) {
        $class->newInstance()(array_values(preg_grep('/^--/', $words, PREG_GREP_INVERT)), $options);
        exit;
    }
    $name = array_shift($words);
    foreach ($class->getMethods(ReflectionMethod::IS_PUBLIC) as $method) {
        preg_match('/@subcommand (\S+)/', (string) $method->getDocComment(), $named);
        if (($named[1] ?? $method->name) === $name) {
            $method->invoke($class->newInstance(), array_values(preg_grep('/^--/', $words, PREG_GREP_INVERT)), $options);
            exit;
        }
    }
    WP_CLI::error("no such command: $name");
}
