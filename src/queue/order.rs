//! Who runs next: priority with ageing, as one number.
//!
//! The sort key of a ready task is the moment it became ready, in ticks, plus a fixed number of
//! ticks per point of priority. Two tasks age at the same rate, so their order never changes once
//! both are ready: it can be stored and indexed, and claiming needs no sort. It is "earliest
//! virtual deadline first": one point of priority is worth [`POINT`] of waiting, hence a task with
//! priority `p` waits behind tasks of priority `q < p` only if they came less than
//! `(p - q) × POINT` after it. No task starves. (None of the queues surveyed ages by default.)
//!
//! A tick is half a point, so a point always decides between tasks that came in the same half
//! minute; equal keys are ordered by `run_at`, then `id`.

use std::fmt::Display;
use std::time::Duration;

/// The waiting that one point of priority is worth.
pub const POINT: Duration = Duration::from_secs(60);

const TICK_MICROS: i64 = 30_000_000;
const TICKS_PER_POINT: i64 = 2;

/// The sort key of a task that becomes ready at `ready_at` (microseconds since the epoch).
pub fn key(priority: i32, ready_at: i64) -> i64 {
    ready_at / TICK_MICROS + i64::from(priority) * TICKS_PER_POINT
}

/// [`key`] as SQL over the expressions `priority` and `ready_at`.
pub fn key_sql(priority: impl Display, ready_at: &str) -> String {
    format!("(({ready_at}) DIV {TICK_MICROS} + {priority} * {TICKS_PER_POINT})")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECOND: i64 = 1_000_000;

    proptest! {
        #[test]
        fn a_better_priority_goes_first_among_tasks_of_the_same_half_minute(
            at in 0..i64::from(u32::MAX), later in 0..=30i64, better in -1000..1000i32
        ) {
            prop_assert!(key(better, (at + later) * SECOND) < key(better + 1, at * SECOND));
        }

        #[test]
        fn nobody_waits_behind_those_who_came_a_point_per_priority_later(
            at in 0..i64::from(u32::MAX), worse in 0..100i32, better in -100..0i32
        ) {
            let points = i64::from(worse - better);
            let much_later = at + points * POINT.as_secs() as i64 + 31;
            prop_assert!(key(worse, at * SECOND) < key(better, much_later * SECOND));
        }
    }

    #[test]
    fn extreme_priorities_do_not_overflow() {
        assert!(key(i32::MIN, 0) < key(i32::MAX, i64::MAX));
    }
}
