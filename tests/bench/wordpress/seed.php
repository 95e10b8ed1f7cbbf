<?php

/**
 * Fills a site for measuring: 500 posts in 20 categories, 2,000 comments on them, 200 autoloaded options.
 *
 *   php seed.php <wp-load.php>
 */

declare(strict_types=1);

$_SERVER['HTTP_HOST'] = 'localhost';
require $argv[1];
require_once ABSPATH . 'wp-admin/includes/taxonomy.php';

if (get_option('bench_seeded')) {
    exit(0);
}
wp_defer_term_counting(true);
wp_defer_comment_counting(true);
$categories = array_map(static fn (int $number): int => wp_create_category("Category $number"), range(1, 20));
$paragraph = str_repeat('Words of a paragraph that somebody wrote about courses, invoices and taxes. ', 12);

for ($number = 0; $number < 500; $number++) {
    $post = wp_insert_post([
        'post_title' => "Post number $number",
        'post_content' => "<!-- wp:paragraph --><p>$paragraph</p><!-- /wp:paragraph -->",
        'post_status' => 'publish',
        'post_author' => 1,
        'post_date' => gmdate('Y-m-d H:i:s', time() - 86400 - 3600 * $number),
        'post_category' => [$categories[$number % 20]],
        'tags_input' => ['tag ' . $number % 50],
        'meta_input' => ['price' => $number, 'sku' => "SKU-$number"],
    ]);
    for ($comment = 0; $comment < 4; $comment++) {
        $said = ['comment_content' => "Comment $comment", 'comment_author' => 'Reader', 'comment_approved' => 1];
        wp_insert_comment($said + ['comment_post_ID' => $post]);
    }
}
for ($number = 0; $number < 200; $number++) {
    add_option("bench_option_$number", ['enabled' => true, 'text' => str_repeat('setting ', 8), 'number' => $number], '', true);
}
wp_defer_term_counting(false);
wp_defer_comment_counting(false);
add_option('bench_seeded', 1);
