<?php

/**
 * Bundles against matthiasmullie/minify, which several optimization plugins use, and pages against WordPress' own
 * WP_HTML_Tag_Processor.
 *
 *   php -d extension=slbp.so tests/bench/assets.php target/wordpress
 */

declare(strict_types=1);

require __DIR__ . '/measure.php';
require '/usr/share/php/MatthiasMullie/Minify/autoload.php';

use function Slbp\Bench\best;
use function Slbp\Bench\row;

/** @return list<string> The smaller files that a person wrote. The peer takes an import of a file it has for a circle. */
function written(string $pattern): array
{
    return array_values(array_filter(glob($pattern), static function (string $file): bool {
        $is_fit = !str_contains($file, '.min.') && filesize($file) < 60_000;

        return $is_fit && !str_contains(file_get_contents($file), '@import');
    }));
}

/** What WP_HTML_Tag_Processor needs of WordPress. */
function load_tag_processor(string $root): void
{
    define('ABSPATH', "$root/");
    eval('function __($text) { return $text; } function _doing_it_wrong() {} function wp_kses_uri_attributes() { return ["src"]; }
        function esc_attr($text) { return htmlspecialchars($text, ENT_QUOTES); } function esc_url($url) { return $url; }
        function wp_has_noncharacters() { return false; } function apply_filters($hook, $value) { return $value; }');
    foreach (['attribute-token', 'span', 'text-replacement', 'decoder', 'doctype-info', 'tag-processor'] as $part) {
        $file = "$root/wp-includes/html-api/class-wp-html-$part.php";
        is_file($file) && require_once $file;
    }
    require_once "$root/wp-includes/class-wp-token-map.php";
    require_once "$root/wp-includes/html-api/html5-named-character-references.php";
}

function rewrite_in_php(string $html): string
{
    $seen = 0;
    $page = new WP_HTML_Tag_Processor($html);
    while ($page->next_tag('IMG')) {
        $page->set_attribute('decoding', 'async');
        if ($seen++ >= 3) {
            $page->set_attribute('loading', 'lazy');
        }
    }

    return $page->get_updated_html();
}

$root = realpath($argv[1]);
$folder = (is_dir('/dev/shm') ? '/dev/shm' : sys_get_temp_dir()) . '/slbp-bench-' . getmypid();
mkdir($folder);
$optimizer = new SLBP_Performance_Optimizer([
    'plugin_path' => $root, 'plugin_url' => 'https://a.test', 'upload_dir' => $folder, 'upload_url' => 'https://a.test/u',
]);

foreach (['css' => written("$root/wp-admin/css/*.css"), 'js' => written("$root/wp-includes/js/*.js")] as $type => $files) {
    $class = 'MatthiasMullie\\Minify\\' . strtoupper($type);
    $best = best([
        'slbp' => static function (int $times) use ($optimizer, $type, $files, $folder): void {
            while ($times-- > 0) {
                array_map('unlink', glob("$folder/slbp-cache/*"));
                $optimizer->optimize_assets($type, $files) ?: throw new RuntimeException('no bundle');
            }
        },
        'peer' => static function (int $times) use ($class, $files, $folder): void {
            while ($times-- > 0) {
                (new $class(...$files))->gzip("$folder/peer.gz", 9);
            }
        },
    ], 1, 5);
    $what = sprintf('assets: %d files of .%s bundled and gzipped', count($files), $type);
    row($what, $best['slbp'] / 1e6, 'matthiasmullie/minify', $best['peer'] / 1e6, 0.5, 'ms');
}

load_tag_processor($root);
$text = str_repeat('<p class="a">Some text with <a href="/b">a link</a> &amp; more of it, as pages have.</p>', 40);
$html = str_repeat("$text<img src=\"/a.png\" width=\"800\" height=\"600\" alt=\"\">", 30);
$best = best([
    'slbp' => static function (int $times) use ($optimizer, $html): void {
        while ($times-- > 0) {
            $optimizer->optimize_html($html);
        }
    },
    'peer' => static function (int $times) use ($html): void {
        while ($times-- > 0) {
            rewrite_in_php($html);
        }
    },
], 20);
$size = round(strlen($html) / 1000);
row("assets: a page of $size kB rewritten", $best['slbp'], 'WP_HTML_Tag_Processor', $best['peer'], 0.1);

exec('rm -rf ' . escapeshellarg($folder));
