<?php

/**
 * Measuring one thing against another in the same run.
 *
 * The machine is noisy, so candidates take turns, round after round, and the fastest round of each counts: noise only
 * ever adds time. What is reported is the ratio.
 */

declare(strict_types=1);

namespace Slbp\Bench;

/**
 * @param array<string, callable(int): void> $candidates Each runs its operation the given number of times.
 * @return array<string, float> Nanoseconds an operation, the best of all rounds.
 */
function best(array $candidates, int $operations, int $rounds = 15): array
{
    $best = array_fill_keys(array_keys($candidates), INF);
    foreach ($candidates as $candidate) {
        $candidate(max(1, intdiv($operations, 10)));
    }
    for ($round = 0; $round < $rounds; $round++) {
        foreach ($candidates as $name => $candidate) {
            $started = hrtime(true);
            $candidate($operations);
            $best[$name] = min($best[$name], (hrtime(true) - $started) / $operations);
        }
    }
    return $best;
}

/** One row of the report: what was measured, ours, the peer's, and the ratio that was asked for. */
function row(string $what, float $ours, string $peer, float $theirs, float $goal, string $unit = 'ns'): void
{
    echo json_encode([
        'what' => $what,
        'ours_ns' => round($ours, 1),
        'peer' => $peer,
        'peer_ns' => round($theirs, 1),
        'ratio' => round($ours / $theirs, 3),
        'goal' => round($goal, 3),
        'unit' => $unit,
    ], JSON_THROW_ON_ERROR), "\n";
}
