<?php

/**
 * What core's object cache guarantees, as scenarios whose observations are printed as one JSON object.
 *
 *   php scenarios.php <wp-load.php> core|dropin [multisite]
 *
 * The same scenarios run on core's class and on the drop-in; test_semantics.py compares what was seen.
 */

declare(strict_types=1);

[, $load, $cache] = $argv;
$_SERVER['HTTP_HOST'] = 'localhost';
if ($cache === 'core') {
    $refuse = ['function' => static fn () => false, 'accepted_args' => 1];
    $GLOBALS['wp_filter'] = ['enable_loading_object_cache_dropin' => [10 => ['core' => $refuse]]];
}
require $load;

if ((bool) wp_using_ext_object_cache() !== ($cache === 'dropin')) {
    fwrite(STDERR, "this is not the $cache cache\n");
    exit(1);
}
if (isset($argv[3])) {
    $GLOBALS['wp_object_cache']->multisite = true;
    wp_cache_switch_to_blog(1);
    wp_cache_add_global_groups(['everywhere']);
}

/** The complaints of _doing_it_wrong() and _deprecated_function() that `$act` causes. */
function complaints(callable $act): array
{
    $seen = [];
    $record = static function (...$about) use (&$seen): void {
        $seen[] = array_slice($about, 0, 2);
    };
    add_action('doing_it_wrong_run', $record, 10, 3);
    add_action('deprecated_function_run', $record, 10, 3);
    add_filter('doing_it_wrong_trigger_error', '__return_false');
    add_filter('deprecated_function_trigger_error', '__return_false');
    $result = $act();
    remove_action('doing_it_wrong_run', $record);
    remove_action('deprecated_function_run', $record);
    return [$result, $seen];
}

/** An object in an array, a nested list and keys of both kinds. */
function composed(): array
{
    return ['a' => 1, 7 => [true, null, 1.5, "\0bin\xff"], 'o' => (object) ['p' => [1, 2]]];
}

$scenarios = [
    'a miss is false' => static fn () => [wp_cache_get('no'), wp_cache_get('no', 'g', false, $found), $found],
    'values come back as they were' => static function () {
        $seen = [];
        foreach ([0, 1, -5, 1.5, '', '0', 'text', "\0\xff", true, false, null, [], composed()] as $number => $value) {
            wp_cache_set("v$number", $value, 'values');
            $seen[] = wp_cache_get("v$number", 'values', false, $found) == $value;
            $seen[] = $found;
        }
        return $seen;
    },
    'a stored false is found' => static fn () => [wp_cache_set('f', false), wp_cache_get('f', '', false, $found), $found],
    'a stored null is found' => static fn () => [
        wp_cache_set('n', null), wp_cache_get('n', '', false, $found), $found, wp_cache_add('n', 1),
    ],
    'add keeps what is there' => static fn () => [wp_cache_add('k', 1, 'a'), wp_cache_add('k', 2, 'a'), wp_cache_get('k', 'a')],
    'replace needs something there' => static fn () => [
        wp_cache_replace('k', 1, 'r'), wp_cache_get('k', 'r'), wp_cache_set('k', 1, 'r'), wp_cache_replace('k', 2, 'r'),
        wp_cache_get('k', 'r'),
    ],
    'no group is the group default' => static fn () => [
        wp_cache_set('d', 1), wp_cache_get('d', 'default'), wp_cache_set('d', 2, '0'), wp_cache_get('d'),
        wp_cache_delete('d', 'default'), wp_cache_get('d'),
    ],
    'groups are apart' => static fn () => [
        wp_cache_set('k', 1, 'x'), wp_cache_set('k', 2, 'y'), wp_cache_get('k', 'x'), wp_cache_get('k', 'y'),
    ],
    'numbers as keys' => static fn () => [
        wp_cache_set(5, 'five', 'i'), wp_cache_get('5', 'i'), wp_cache_get(5, 'i'), wp_cache_set(0, 'zero', 'i'),
        wp_cache_get('0', 'i'),
    ],
    'odd keys' => static fn () => [
        wp_cache_set(' k ', 1, 'o'), wp_cache_get('k', 'o'), wp_cache_get(' k ', 'o'), wp_cache_set("\0é:", 2, 'o'),
        wp_cache_get("\0é:", 'o'),
    ],
    'invalid keys are refused aloud' => static function () {
        $seen = [];
        foreach (['', '  ', null, false, true, 1.5, [], new stdClass()] as $key) {
            $seen[] = complaints(static fn () => wp_cache_get($key));
            $seen[] = complaints(static fn () => wp_cache_set($key, 1));
            $seen[] = complaints(static fn () => wp_cache_add($key, 1));
            $seen[] = complaints(static fn () => wp_cache_replace($key, 1));
            $seen[] = complaints(static fn () => wp_cache_delete($key));
            $seen[] = complaints(static fn () => wp_cache_incr($key));
            $seen[] = complaints(static fn () => wp_cache_decr($key));
        }
        return $seen;
    },
    'invalid keys among many' => static fn () => [
        complaints(static fn () => wp_cache_set_multiple(['' => 1, 'good' => 2], 'm')),
        complaints(static fn () => wp_cache_add_multiple(['' => 1, 'other' => 2], 'm')),
        complaints(static fn () => wp_cache_get_multiple(['', 'good', 'other'], 'm')),
        complaints(static fn () => wp_cache_delete_multiple(['', 'good'], 'm')),
    ],
    'deleting says whether there was something' => static fn () => [
        wp_cache_delete('k', 'd'), wp_cache_set('k', 1, 'd'), wp_cache_delete('k', 'd'), wp_cache_delete('k', 'd'),
    ],
    'several at once, in order' => static fn () => [
        wp_cache_set_multiple(['b' => 1, 'a' => 2, 3 => null], 'many'),
        wp_cache_get_multiple(['a', 'none', 3, 'b', 'a'], 'many'),
        wp_cache_add_multiple(['a' => 9, 'c' => 4], 'many'),
        wp_cache_delete_multiple(['a', 'none', 'c'], 'many'),
        wp_cache_get_multiple(['a', 'b', 'c'], 'many', true),
    ],
    'nothing at once' => static fn () => [
        wp_cache_get_multiple([], 'e'), wp_cache_set_multiple([], 'e'), wp_cache_add_multiple([], 'e'),
        wp_cache_delete_multiple([], 'e'),
    ],
    'counting' => static fn () => [
        wp_cache_incr('n', 1, 'c'), wp_cache_set('n', 5, 'c'), wp_cache_incr('n', 1, 'c'), wp_cache_incr('n', 10, 'c'),
        wp_cache_decr('n', 3, 'c'),
        wp_cache_decr('n', 100, 'c'), wp_cache_get('n', 'c'), wp_cache_incr('n', -4, 'c'), wp_cache_decr('n', -4, 'c'),
        wp_cache_decr('none', 1, 'c'),
    ],
    'counting what is no integer' => static function () {
        $seen = [];
        foreach (['7', '2.5', 1.5, 'text', [], false, null, '-3'] as $value) {
            wp_cache_set('n', $value, 'c');
            $seen[] = wp_cache_incr('n', 2, 'c');
            $seen[] = wp_cache_get('n', 'c');
            wp_cache_set('n', $value, 'c');
            $seen[] = wp_cache_decr('n', 1, 'c');
            wp_cache_set('n', $value, 'c');
            $seen[] = wp_cache_incr('n', '3', 'c');
        }
        return $seen;
    },
    'objects are copies' => static function () {
        $object = (object) ['name' => 'before'];
        wp_cache_set('o', $object, 'objects');
        $object->name = 'changed by the writer';
        $first = wp_cache_get('o', 'objects');
        $first->name = 'changed by a reader';
        $many = wp_cache_get_multiple(['o'], 'objects')['o'];
        wp_cache_add('added', $object, 'objects');
        $object->name = 'again';
        return [$first->name, wp_cache_get('o', 'objects')->name, $many->name, wp_cache_get('added', 'objects')->name];
    },
    'objects of classes' => static function () {
        wp_cache_set('p', new WP_Post((object) ['ID' => 3, 'post_title' => 't', 'filter' => 'raw']), 'objects');
        wp_cache_set('e', new WP_Error('code', 'message'), 'objects');
        wp_cache_set('t', new DateTimeImmutable('2020-01-02 03:04:05'), 'objects');
        return [
            get_class(wp_cache_get('p', 'objects', true)), wp_cache_get('p', 'objects', true)->post_title,
            wp_cache_get('e', 'objects', true)->get_error_message(), wp_cache_get('t', 'objects', true)->format('c'),
        ];
    },
    'what cannot leave the request stays in it' => static fn () => [
        wp_cache_set('c', 'older', 'closures'), wp_cache_set('c', static fn () => 5, 'closures'), (wp_cache_get('c', 'closures'))(),
        wp_cache_set_multiple(['x' => static fn () => 6, 'y' => 7], 'closures'), (wp_cache_get('x', 'closures'))(),
        wp_cache_get('y', 'closures'),
        wp_cache_add('z', static fn () => 8, 'closures'), (wp_cache_get('z', 'closures'))(),
    ],
    'suspended additions' => static function () {
        wp_suspend_cache_addition(true);
        $seen = [
            wp_cache_add('s', 1), wp_cache_add_multiple(['s' => 1, 't' => 2]), wp_cache_set('u', 3), wp_cache_get('u'),
            wp_cache_get('s'),
        ];
        wp_suspend_cache_addition(false);
        return $seen;
    },
    'a flush empties all' => static fn () => [
        wp_cache_set('k', 1, 'x'), wp_cache_flush(), wp_cache_get('k', 'x'), wp_cache_add('k', 2, 'x'),
    ],
    'a group flush empties one' => static fn () => [
        wp_cache_set('k', 1, 'x'), wp_cache_set('k', 2, 'y'), wp_cache_flush_group('x'), wp_cache_get('k', 'x'),
        wp_cache_get('k', 'y'), wp_cache_flush_group('unknown'),
    ],
    'features' => static fn () => array_map(
        'wp_cache_supports',
        ['add_multiple', 'set_multiple', 'get_multiple', 'delete_multiple', 'flush_runtime', 'flush_group', 'nonsense', ''],
    ),
    'closing' => static fn () => wp_cache_close(),
    'non-persistent groups' => static fn () => [
        wp_cache_add_non_persistent_groups(['local']), wp_cache_add('k', 1, 'local'), wp_cache_add('k', 2, 'local'),
        wp_cache_get('k', 'local', true), wp_cache_replace('k', 4, 'local'),
        wp_cache_incr('k', 2, 'local'), wp_cache_decr('k', 9, 'local'), wp_cache_set_multiple(['a' => 1], 'local'),
        wp_cache_get_multiple(['a', 'k', 'z'], 'local', true),
        wp_cache_delete_multiple(['a', 'z'], 'local'), wp_cache_delete('k', 'local'), wp_cache_delete('k', 'local'),
        wp_cache_replace('k', 4, 'local'), wp_cache_flush_group('local'),
    ],
    'hits and misses are counted' => static function () {
        global $wp_object_cache;
        wp_cache_set('h', 1, 'hits');
        $before = [$wp_object_cache->cache_hits, $wp_object_cache->cache_misses];
        wp_cache_get('h', 'hits');
        wp_cache_get('no', 'hits');
        wp_cache_get_multiple(['h', 'no', 'no2'], 'hits');
        return [$wp_object_cache->cache_hits - $before[0], $wp_object_cache->cache_misses - $before[1]];
    },
    'properties are open' => static function () {
        global $wp_object_cache;
        wp_cache_set('k', 'v', 'props');
        $wp_object_cache->mine = 5;
        $seen = [
            isset($wp_object_cache->cache), isset($wp_object_cache->nothing), $wp_object_cache->mine,
            is_array($wp_object_cache->global_groups), $wp_object_cache->global_groups['users'] ?? null,
        ];
        unset($wp_object_cache->mine);
        return [...$seen, isset($wp_object_cache->mine), get_class($wp_object_cache), array_values($wp_object_cache->cache['props'])];
    },
    'statistics are printed' => static function () {
        ob_start();
        $GLOBALS['wp_object_cache']->stats();
        return preg_match('/Cache Hits:.*Cache Misses:.*Group:/s', ob_get_clean());
    },
    'blogs are apart and global groups are not' => static function () {
        wp_cache_set('k', 'one', 'posts');
        wp_cache_set('g', 'all', 'everywhere');
        wp_cache_switch_to_blog(2);
        $seen = [
            wp_cache_get('k', 'posts'), wp_cache_get('g', 'everywhere'), wp_cache_set('k', 'two', 'posts'),
            wp_cache_get_multiple(['k', 'z'], 'posts'), $GLOBALS['wp_object_cache']->blog_prefix,
        ];
        wp_cache_add_multiple(['k' => 'no', 'z' => 'yes'], 'posts');
        wp_cache_switch_to_blog(1);
        return [...$seen, wp_cache_get('k', 'posts'), wp_cache_get('z', 'posts'), wp_cache_delete('k', 'posts')];
    },
    'a reset keeps global groups' => static fn () => [
        wp_cache_set('k', 1, 'users'), wp_cache_set('k', 1, 'gone'), complaints(static fn () => wp_cache_reset()),
        array_key_exists('users', $GLOBALS['wp_object_cache']->cache),
        array_key_exists('gone', $GLOBALS['wp_object_cache']->cache),
    ],
    'last_changed is kept' => static function () {
        $first = wp_cache_get_last_changed('lc');
        $again = wp_cache_get_last_changed('lc');
        $moved = wp_cache_set_last_changed('lc');
        return [
            $first === $again, $moved !== $first, $moved === wp_cache_get_last_changed('lc'),
            preg_match('/^0\.\d{8} \d{10}$/', $moved),
        ];
    },
    'options' => static fn () => [
        get_option('scenario', 'none'), add_option('scenario', ['x' => 1]), get_option('scenario'),
        update_option('scenario', 'new'), get_option('scenario'),
        update_option('scenario', 'new'), delete_option('scenario'), get_option('scenario', 'none'),
        add_option('scenario2', 'y', '', false), get_option('scenario2'),
        update_option('scenario2', 'z', true), isset(wp_load_alloptions()['scenario2']), delete_option('scenario2'),
        get_option('scenario2', 'none'), isset(wp_load_alloptions(true)['scenario2']),
    ],
    'transients' => static fn () => [
        set_transient('scenario', ['a'], 100), get_transient('scenario'), delete_transient('scenario'),
        get_transient('scenario'), delete_transient('scenario'),
    ],
];

$seen = [];
foreach ($scenarios as $name => $scenario) {
    wp_cache_flush();
    $seen[$name] = $scenario();
}
$printable = static fn (mixed $value): string => var_export($value, true);
echo json_encode(array_map($printable, $seen), JSON_THROW_ON_ERROR | JSON_INVALID_UTF8_SUBSTITUTE);
