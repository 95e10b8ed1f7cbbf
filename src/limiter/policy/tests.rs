//! The invariants of the module, on histories that proptest makes up, and the edges by hand.

use proptest::prelude::*;

use super::*;

const START: u64 = 1_700_000_000;

fn quota(algorithm: Algorithm, limit: u64, window: u64) -> Quota {
    Quota::new(algorithm, limit, window, None).unwrap()
}

fn secs(secs: u64) -> Timestamp {
    Timestamp::from_secs(secs)
}

fn just_before(instant: Timestamp) -> Timestamp {
    Timestamp::from_nanos(instant.nanos() - 1)
}

/// One client's word, kept as a store keeps it.
struct Client {
    quota: Quota,
    word: u64,
}

impl Client {
    fn new(quota: Quota) -> Self {
        Self { quota, word: 0 }
    }

    fn spend(&mut self, now: Timestamp, cost: u32) -> Verdict {
        let step = self.quota.spend(self.word, now, cost);
        self.word = step.write.unwrap_or(self.word);
        step.verdict
    }

    fn peek(&self, now: Timestamp, cost: u32) -> Verdict {
        self.quota.peek(self.word, now, cost).verdict
    }
}

fn algorithms() -> impl Strategy<Value = Algorithm> {
    prop::sample::select(Algorithm::NAMES.map(|(_, algorithm)| algorithm).to_vec())
}

fn quotas() -> impl Strategy<Value = Quota> {
    (algorithms(), 1_u64..200, 1_u64..100, prop::option::of(1_u64..300)).prop_map(
        |(algorithm, limit, window, burst)| {
            let burst = burst.filter(|_| algorithm == Algorithm::Gcra);
            Quota::new(algorithm, limit, window, burst).unwrap()
        },
    )
}

/// Requests as (nanoseconds since the one before, cost): bursts, pauses, and everything between.
fn history() -> impl Strategy<Value = Vec<(u64, u32)>> {
    let pause = prop_oneof![
        3 => Just(0_u64),
        3 => 0_u64..NANOS_PER_SEC,
        2 => 0_u64..40 * NANOS_PER_SEC,
        1 => 0_u64..400 * NANOS_PER_SEC,
    ];
    prop::collection::vec((pause, 0_u32..8), 1..120)
}

proptest! {
    #[test]
    fn the_wait_is_true_to_the_nanosecond(quota in quotas(), history in history(), cost in 1_u32..40) {
        let mut client = Client::new(quota);
        let mut now = secs(START);
        for (pause, spent) in history {
            now = now.plus(Duration::from_nanos(pause));
            client.spend(now, spent);
            let verdict = client.peek(now, cost);
            match verdict.wait {
                Wait::Forever => prop_assert!(!verdict.allowed && cost > quota.capacity()),
                Wait::For(wait) if verdict.allowed => prop_assert_eq!(wait, Duration::ZERO),
                Wait::For(wait) => {
                    let then = now.plus(wait);
                    prop_assert!(then > now);
                    prop_assert!(client.peek(then, cost).allowed, "refused at the promised instant");
                    prop_assert!(!client.peek(just_before(then), cost).allowed, "allowed before it");
                }
            }
        }
    }

    #[test]
    fn refusing_and_peeking_spend_nothing(quota in quotas(), history in history(), cost in 0_u32..300) {
        let mut client = Client::new(quota);
        let mut now = secs(START);
        for (pause, spent) in history {
            now = now.plus(Duration::from_nanos(pause));
            client.spend(now, spent);
            let before = client.word;
            prop_assert_eq!(quota.peek(before, now, cost).write, None);
            let step = quota.spend(before, now, cost);
            prop_assert_eq!(step.verdict.allowed, client.peek(now, cost).allowed);
            if !step.verdict.allowed {
                prop_assert_eq!(step.write, None);
            }
        }
    }

    #[test]
    fn remaining_is_what_would_be_allowed_now(quota in quotas(), history in history()) {
        let mut client = Client::new(quota);
        let mut now = secs(START);
        for (pause, spent) in history {
            now = now.plus(Duration::from_nanos(pause));
            let remaining = client.spend(now, spent).remaining;
            prop_assert_eq!(client.peek(now, 1).remaining, remaining);
            prop_assert!(remaining == 0 || client.peek(now, remaining).allowed);
            prop_assert!(!client.peek(now, remaining + 1).allowed);
        }
    }

    #[test]
    fn from_the_reset_on_a_word_is_worth_no_more_than_none(quota in quotas(), history in history()) {
        let mut client = Client::new(quota);
        let mut now = secs(START);
        for (pause, spent) in history {
            now = now.plus(Duration::from_nanos(pause));
            let reset = client.spend(now, spent).reset;
            prop_assert_eq!(client.peek(reset, 0).remaining, quota.capacity());
            if reset > now {
                prop_assert!(client.peek(just_before(reset), 0).remaining < quota.capacity());
            }
        }
    }

    #[test]
    fn a_refund_undoes_a_spend(quota in quotas(), history in history(), cost in 1_u32..40, later in 0_u64..90) {
        let mut client = Client::new(quota);
        let mut now = secs(START);
        for (pause, spent) in history {
            now = now.plus(Duration::from_nanos(pause));
            client.spend(now, spent);
        }
        let mut undone = Client { word: client.word, quota };
        if undone.spend(now, cost).allowed {
            undone.word = quota.refund(undone.word, now, cost);
        }
        let then = now.plus(Duration::from_secs(later));
        prop_assert_eq!(undone.peek(then, 1), client.peek(then, 1));
    }

    /// The bound stated in each module: an interval `d` holds at most burst + rate × d.
    #[test]
    fn no_interval_holds_more_than_the_stated_bound(quota in quotas(), history in history()) {
        let mut client = Client::new(quota);
        let mut now = secs(START);
        let mut admitted: Vec<(Timestamp, u64)> = Vec::new();
        for (pause, cost) in history {
            now = now.plus(Duration::from_nanos(pause));
            if client.spend(now, cost).allowed {
                admitted.push((now, cost.into()));
            }
        }
        for (first, (from, _)) in admitted.iter().enumerate() {
            let mut units = 0;
            for (until, cost) in &admitted[first..] {
                units += cost;
                let interval = u128::from(until.nanos() - from.nanos());
                let refill = (u128::from(quota.limit()) * interval).div_ceil(u128::from(quota.window_nanos()));
                let most = match quota.algorithm() {
                    Algorithm::FixedWindow => {
                        let windows = until.secs() / u64::from(quota.window()) - from.secs() / u64::from(quota.window());
                        u128::from(quota.limit()) * u128::from(windows + 1)
                    }
                    _ => u128::from(quota.capacity()) + refill,
                };
                prop_assert!(units <= most as u64, "{units} in {interval} ns, bound {most}");
            }
        }
    }

    #[test]
    fn a_clock_set_back_locks_nobody_out(quota in quotas(), history in history(), back in 1_u64..50_000) {
        let mut client = Client::new(quota);
        let mut now = secs(START);
        for (pause, spent) in history {
            now = now.plus(Duration::from_nanos(pause));
            client.spend(now, spent);
        }
        let now = secs(now.secs() - back);
        client.spend(now, 1);
        let Wait::For(wait) = client.peek(now, 1).wait else { panic!("cost 1 can always be had") };
        prop_assert!(wait <= Duration::from_secs(2 * u64::from(quota.window())));
        prop_assert!(client.peek(now.plus(wait), 1).allowed, "the wait is true after a step as well");
    }

    #[test]
    fn no_word_whatever_makes_it_panic(quota in quotas(), word: u64, now in 0_u64..u64::MAX / 4, cost: u32) {
        let now = Timestamp::from_nanos(now);
        quota.spend(word, now, cost);
        quota.peek(word, now, cost);
        quota.refund(word, now, cost);
    }
}

#[test]
fn a_fixed_window_starts_at_a_multiple_of_its_length_and_excludes_its_end() {
    let mut client = Client::new(quota(Algorithm::FixedWindow, 2, 60));
    let start = secs(START - START % 60);
    let end = start.plus(Duration::from_secs(60));
    assert!(client.spend(start, 2).allowed);
    let refused = client.spend(just_before(end), 1);
    assert_eq!((refused.allowed, refused.wait), (false, Wait::For(Duration::from_nanos(1))));
    assert_eq!(refused.reset, end);
    assert!(client.spend(end, 2).allowed);
}

#[test]
fn gcra_lets_a_burst_through_and_then_one_per_interval() {
    let quota = Quota::new(Algorithm::Gcra, 60, 60, Some(5)).unwrap();
    let mut client = Client::new(quota);
    for left in (0..5).rev() {
        assert_eq!(client.spend(secs(START), 1).remaining, left);
    }
    assert_eq!(client.spend(secs(START), 1).wait, Wait::For(Duration::from_secs(1)));
    assert!(client.spend(secs(START + 1), 1).allowed);
    assert!(!client.spend(secs(START + 1), 1).allowed);
    assert_eq!(client.spend(secs(START + 1), 6).wait, Wait::Forever);
}

#[test]
fn without_a_burst_gcra_lets_a_whole_limit_come_at_once() {
    let mut client = Client::new(quota(Algorithm::Gcra, 120, 60));
    assert!(client.spend(secs(START), 120).allowed);
    assert_eq!(client.spend(secs(START), 1).wait, Wait::For(Duration::from_millis(500)));
}

#[test]
fn a_smaller_plan_does_not_lock_a_client_out() {
    let large = Quota::new(Algorithm::Gcra, 10, 3600, Some(100)).unwrap();
    let mut client = Client::new(large);
    assert!(client.spend(secs(START), 100).allowed);
    client.quota = quota(Algorithm::Gcra, 10, 3600);
    let first = client.spend(secs(START), 1);
    assert_eq!(first.wait, Wait::For(Duration::from_secs(360)), "one interval, not ten hours");
    assert!(client.spend(secs(START + 360), 1).allowed);
}

#[test]
fn the_sliding_window_fades_the_last_window_out() {
    let mut client = Client::new(quota(Algorithm::SlidingWindow, 100, 100));
    let start = START - START % 100;
    assert!(client.spend(secs(start), 100).allowed);
    // At the edge of the next window the last one still counts whole; a quarter later, 75 of it.
    assert!(!client.spend(secs(start + 100), 1).allowed);
    assert_eq!(client.peek(secs(start + 125), 1).remaining, 25);
    assert!(client.spend(secs(start + 125), 25).allowed);
    let Wait::For(wait) = client.spend(secs(start + 125), 10).wait else { panic!() };
    assert_eq!(wait, Duration::from_millis(9_001), "100 × left / 100 s must fall below 66");
}

#[test]
fn an_evenly_spread_client_loses_at_most_one_request_a_window_to_rounding() {
    let mut client = Client::new(quota(Algorithm::SlidingWindow, 60, 60));
    let start = START - START % 60;
    let admitted = (0..600).filter(|second| client.spend(secs(start + second), 1).allowed).count();
    assert!((590..=600).contains(&admitted), "{admitted} of 600");
}

#[test]
fn bounds_are_refused_with_the_number_that_would_fit() {
    let refusal = |algorithm, limit, window, burst| {
        Quota::new(algorithm, limit, window, burst).unwrap_err().to_string()
    };
    assert_eq!(
        refusal(Algorithm::SlidingWindow, 4_194_304, 60, None),
        "limit: expected 1 to 4194303 (with algorithm sliding_window and a window of 60 s), got 4194304"
    );
    assert!(refusal(Algorithm::Gcra, 1_000_001, 1, None).contains("expected 1 to 1000000"));
    assert!(refusal(Algorithm::FixedWindow, 0, 1, None).starts_with("limit: expected 1 to 4294967295"));
    assert_eq!(refusal(Algorithm::Gcra, 1, 0, None), "window: expected 1 to 7776000 (seconds), got 0");
    assert_eq!(
        refusal(Algorithm::Gcra, 1, 7_776_001, None),
        "window: expected 1 to 7776000 (seconds), got 7776001"
    );
    assert!(refusal(Algorithm::FixedWindow, 1, 1, Some(1)).starts_with("burst: only algorithm 'gcra'"));
    assert!(Quota::new(Algorithm::SlidingWindow, 4_194_303, 60, None).is_ok());
    assert!(Quota::new(Algorithm::FixedWindow, 4_294_967_295, 7_776_000, None).is_ok());
}
