<?php

/**
 * Installs WordPress and activates the plugin, as its web installer would; run by tests/support/wordpress.py.
 *
 * Reads one JSON object from standard input: root, url, title, user, password, email, plugin, options, object_cache.
 * A second run on an installed site only brings the plugin and the permalinks into place, and keeps
 * the options that the site has.
 */

declare(strict_types=1);

$setup = json_decode(stream_get_contents(STDIN), true, 16, JSON_THROW_ON_ERROR);

define('WP_INSTALLING', true);
$_SERVER['HTTP_HOST'] = parse_url($setup['url'], PHP_URL_HOST) . ':' . parse_url($setup['url'], PHP_URL_PORT);
$_SERVER['REQUEST_URI'] = '/';

require $setup['root'] . '/wp-load.php';
require_once ABSPATH . 'wp-admin/includes/upgrade.php';
require_once ABSPATH . 'wp-admin/includes/plugin.php';

if (!is_blog_installed()) {
    wp_install($setup['title'], $setup['user'], $setup['email'], false, '', $setup['password']);
}

$GLOBALS['wp_rewrite']->set_permalink_structure('/%postname%/');
$GLOBALS['wp_rewrite']->flush_rules();

foreach ($setup['options'] as $name => $value) {
    add_option($name, $value);
}

if (!is_plugin_active($setup['plugin'])) {
    $error = activate_plugin($setup['plugin']);
    if (is_wp_error($error)) {
        fwrite(STDERR, $error->get_error_message() . "\n");
        exit(1);
    }
}

if ($setup['object_cache'] && extension_loaded('slbp')) {
    require_once WP_PLUGIN_DIR . '/' . $setup['plugin']; // an installing WordPress loads no plugin by itself
    $failure = slbp_enable_object_cache();
    if ($failure !== '') {
        fwrite(STDERR, slbp_dropin_failure($failure, SLBP_OBJECT_CACHE) . "\n");
        exit(1);
    }
}

echo "installed\n";
