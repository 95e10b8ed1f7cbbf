<?php

/**
 * A plugin that enqueues what real ones do: dependencies, inline code before and after, hacks, and a script that throws.
 */

declare(strict_types=1);

add_action('wp_enqueue_scripts', static function (): void {
    $url = static fn (string $name): string => plugins_url($name, __FILE__);
    wp_enqueue_style('demo-base', $url('css/base.css'), [], '1');
    wp_enqueue_style('demo-colors', $url('css/colors.css'), ['demo-base'], '1');
    wp_enqueue_style('demo-inline', $url('css/inline.css'), ['demo-colors'], '1');
    wp_add_inline_style('demo-inline', '#demo-inline { color: rgb(1, 2, 3); }');
    wp_enqueue_style('demo-late', $url('css/late.css'), ['demo-inline'], '1');
    wp_enqueue_style('demo-print', $url('css/print.css'), [], '1', 'print');
    wp_enqueue_style('demo-excluded', $url('css/excluded.css'), [], '1');
    wp_enqueue_script('demo-first', $url('js/first.js'), ['jquery'], '1', true);
    wp_add_inline_script('demo-first', 'window.demo = ["before first"];', 'before');
    wp_enqueue_script('demo-throws', $url('js/throws.js'), ['demo-first'], '1', true);
    wp_enqueue_script('demo-strict', $url('js/strict.js'), ['demo-throws'], '1', true);
    wp_enqueue_script('demo-sloppy', $url('js/sloppy.js'), ['demo-strict'], '1', true);
    wp_add_inline_script('demo-sloppy', 'demo.push("after sloppy " + demoSloppy() + demoConstant);');
});

add_filter('script_loader_tag', static function (string $tag, string $handle): string {
    return $handle === 'demo-strict' && isset($_GET['pinned']) ? str_replace(' src=', ' integrity="sha256-AAAA" src=', $tag) : $tag;
}, 10, 2);

add_action('wp_body_open', static function (): void {
    $image = '<img src="' . plugins_url('pixel.svg', __FILE__) . '" width="400" height="300" alt="">';
    echo '<div id="demo"><p id="demo-base">a</p><p id="demo-colors" class="x"><b>b</b></p><p id="demo-inline">c</p>',
    '<p id="demo-late">d</p><p id="demo-excluded">e</p></div>', str_repeat($image, 6);
});
