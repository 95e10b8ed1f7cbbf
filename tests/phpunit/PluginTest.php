<?php

declare(strict_types=1);

use PHPUnit\Framework\TestCase;

/**
 * SLBP_Plugin, the container: one object of each component, and no quarrel with a host that has its own.
 */
final class PluginTest extends TestCase
{
    public static function setUpBeforeClass(): void
    {
        require_once __DIR__ . '/../../php/src/autoload.php';
    }

    public function testGivesTheSameComponentEveryTime(): void
    {
        $plugin = SLBP_Plugin::get_instance();

        self::assertSame($plugin, SLBP_Plugin::get_instance());
        self::assertInstanceOf(SLBP_Rate_Limiter::class, $plugin->get_rate_limiter());
        self::assertSame($plugin->get_rate_limiter(), $plugin->get_rate_limiter());
        self::assertSame(slbp_version(), $plugin->get_version());
    }

    public function testAComponentThatTheExtensionLacksIsNamed(): void
    {
        // The class is final and its check private, because no caller should name a component by string.
        $component = new ReflectionMethod(SLBP_Plugin::class, 'component');

        $this->expectException(SLBP_Exception::class);
        $this->expectExceptionMessage('does not have SLBP_Time_Machine');
        $component->invoke(SLBP_Plugin::get_instance(), 'SLBP_Time_Machine');
    }

    /** A host's own class wins, whether it is declared before our autoloader or after it. */
    public function testAHostsOwnClassWins(): void
    {
        $autoload = var_export(realpath(__DIR__ . '/../../php/src/autoload.php'), true);
        $host = "class SLBP_Plugin { public static function get_instance() { return 'host'; } }";
        foreach (["eval('$host'); require $autoload;", "require $autoload; eval('$host');"] as $order) {
            $order = str_replace("'host'", '"host"', $order);
            $command = [PHP_BINARY, '-n', '-r', "$order echo SLBP_Plugin::get_instance();"];
            self::assertSame('host', shell_exec(implode(' ', array_map('escapeshellarg', $command))));
        }
    }
}
