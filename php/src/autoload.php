<?php

/**
 * Offers SLBP_Plugin to whoever asks for it. A host that has a class of this name keeps its own:
 * PHP calls an autoloader only for a class that nobody has defined.
 */

declare(strict_types=1);

spl_autoload_register(static function (string $class): void {
    if ($class === 'SLBP_Plugin') {
        require __DIR__ . '/SLBP_Plugin.php';
    }
});
