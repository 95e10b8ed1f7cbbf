<?php

/**
 * The container through which a site reaches the native components.
 *
 * It keeps one object of each, made on first use, and holds no settings: a component reads its own
 * from WordPress' options and constants and from php.ini. Loaded by autoload.php only where nobody
 * else has defined a class of this name.
 */

declare(strict_types=1);

final class SLBP_Plugin
{
    private static ?self $instance = null;

    /** @var array<class-string, object> */
    private array $components = [];

    private function __construct()
    {
    }

    public static function get_instance(): self
    {
        return self::$instance ??= new self();
    }

    public function get_performance_optimizer(): SLBP_Performance_Optimizer
    {
        return $this->component('SLBP_Performance_Optimizer');
    }

    public function get_background_processor(): SLBP_Background_Processor
    {
        return $this->component('SLBP_Background_Processor');
    }

    public function get_rate_limiter(): SLBP_Rate_Limiter
    {
        return $this->component('SLBP_Rate_Limiter');
    }

    public function get_scalability_manager(): SLBP_Scalability_Manager
    {
        return $this->component('SLBP_Scalability_Manager');
    }

    public function get_monitoring_manager(): SLBP_Monitoring_Manager
    {
        return $this->component('SLBP_Monitoring_Manager');
    }

    public function get_backup_manager(): SLBP_Backup_Manager
    {
        return $this->component('SLBP_Backup_Manager');
    }

    /** The version of the loaded extension. */
    public function get_version(): string
    {
        return slbp_version();
    }

    /** @throws SLBP_Exception when the loaded extension is older than this file and lacks the class. */
    private function component(string $class): object
    {
        if (!class_exists($class, false)) {
            throw new SLBP_Exception(sprintf('slbp.so %s does not have %s: install a newer one', slbp_version(), $class));
        }

        return $this->components[$class] ??= new $class();
    }
}
