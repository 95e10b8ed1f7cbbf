<?php

/**
 * SLBP_Monitoring_Manager against apcu_inc, on which Prometheus' PHP client builds its counters.
 *
 *   php -d extension=slbp.so -d apc.enable_cli=1 tests/bench/metrics.php
 */

declare(strict_types=1);

require __DIR__ . '/measure.php';

use function Slbp\Bench\best;
use function Slbp\Bench\row;

function increments(SLBP_Monitoring_Manager $monitoring): void
{
    $monitoring->register_metric('bench_orders_total', 'counter', 'Orders.');
    $monitoring->register_metric('bench_plans_total', 'counter', 'Orders by plan.', ['plan']);
    apcu_store('bench:orders', 0);
    $times = best([
        'plain' => static function (int $n) use ($monitoring): void {
            for ($i = 0; $i < $n; $i++) {
                $monitoring->increment('bench_orders_total');
            }
        },
        'labelled' => static function (int $n) use ($monitoring): void {
            for ($i = 0; $i < $n; $i++) {
                $monitoring->increment('bench_plans_total', 1, ['plan' => 'pro']);
            }
        },
        'apcu' => static function (int $n): void {
            for ($i = 0; $i < $n; $i++) {
                apcu_inc('bench:orders');
            }
        },
    ], 100_000);
    row('metrics: increment a counter', $times['plain'], 'apcu_inc', $times['apcu'], 0.8);
    row('metrics: increment with a label', $times['labelled'], 'apcu_inc', $times['apcu'], 10);
}

/** As many series as the table of the default size takes from one site. */
function scrape(SLBP_Monitoring_Manager $monitoring): void
{
    for ($family = 0; $family < 20; $family++) {
        $monitoring->register_metric("bench_full_{$family}_total", 'counter', 'A family of 200.', ['x']);
        for ($series = 0; $series < 200; $series++) {
            $monitoring->increment("bench_full_{$family}_total", 1, ['x' => "series $series"]);
        }
    }
    $times = best([
        'ours' => static function (int $n) use ($monitoring): void {
            for ($i = 0; $i < $n; $i++) {
                $text = $monitoring->render_metrics();
            }
        },
    ], 5, 5);
    row('metrics: scrape of a full table', $times['ours'] / 1e6, 'asked for', 50, 1, 'ms');
}

$monitoring = new SLBP_Monitoring_Manager();
increments($monitoring);
scrape($monitoring);
