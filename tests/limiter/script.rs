//! The script in Redis and the policy in Rust are one arithmetic: random histories, one clock.

use proptest::prelude::*;
use redis::Value;
use slbp::clock::Timestamp;
use slbp::limiter::policy::{Algorithm, Quota, Verdict, Wait};
use slbp::remote::redis::{RedisLink, Replay, Script};

use crate::common::redis::RedisServer;
use crate::support::START;

/// The script as it is, but `TIME` answers what the last two arguments say, and nothing expires by
/// the server's own clock.
fn script_on_a_given_clock() -> Script {
    let source = include_str!("../../src/limiter/store/redis/charge.lua");
    let clock = "local server = redis\n\
        local redis = {call = function(command, ...)\n\
          if command == 'TIME' then return {ARGV[#ARGV - 1], ARGV[#ARGV]} end\n\
          if command == 'SET' then return server.call('SET', (select(1, ...)), (select(2, ...))) end\n\
          return server.call(command, ...)\n\
        end}\n";
    Script::new(Box::leak(format!("{clock}{source}").into_boxed_str()))
}

#[derive(Clone, Debug)]
struct Step {
    /// Microseconds since the step before; negative when the clock is set back.
    pause: i64,
    cost: u32,
    spend: bool,
}

fn quotas() -> impl Strategy<Value = Quota> {
    let algorithm = prop::sample::select(Algorithm::NAMES.map(|(_, algorithm)| algorithm).to_vec());
    let limit = prop_oneof![1_u64..30, 1_u64..4_000_000];
    let window = prop_oneof![1_u64..60, 1_u64..7_776_000];
    (algorithm, limit, window, prop::option::of(1_u64..500))
        .prop_filter_map("outside the bounds", |(a, l, w, b)| {
            Quota::new(a, l, w, b.filter(|_| a == Algorithm::Gcra)).ok()
        })
}

fn histories() -> impl Strategy<Value = Vec<Step>> {
    let pause = prop_oneof![
        4 => Just(0_i64),
        4 => 0_i64..2_000_000,
        2 => 0_i64..200_000_000,
        1 => 0_i64..20_000_000_000_000,
        1 => -4_000_000_000_i64..0,
    ];
    let cost = prop_oneof![6 => Just(1_u32), 3 => 1_u32..40, 1 => 1_u32..5_000_000];
    let step =
        (pause, cost, prop::bool::weighted(0.8)).prop_map(|(pause, cost, spend)| Step { pause, cost, spend });
    prop::collection::vec(step, 1..40)
}

/// The verdict as the script writes it.
fn numbers(verdict: &Verdict, now: Timestamp) -> [i64; 4] {
    let wait = match verdict.wait {
        Wait::For(wait) => wait.as_nanos() as i64,
        Wait::Forever => -1,
    };
    [verdict.allowed.into(), verdict.remaining.into(), wait, verdict.reset.since(now).as_nanos() as i64]
}

#[test]
fn the_script_computes_what_the_policy_computes() {
    let server = RedisServer::start();
    let mut link = RedisLink::new(server.settings_unix());
    let script = script_on_a_given_clock();
    let cases = std::cell::Cell::new(0);
    let link = std::cell::RefCell::new(&mut link);
    let run = |quota: Quota, history: Vec<Step>| {
        cases.set(cases.get() + 1);
        let key = format!("rl:{}", cases.get()).into_bytes();
        let mut link = link.borrow_mut();
        let (mut word, mut idle_at) = (0, Timestamp::default());
        let mut micros = START as i64 * 1_000_000;
        for step in history {
            micros += step.pause;
            let now = Timestamp::from_nanos(micros as u64 * 1000);
            if now >= idle_at {
                // As a store would: what lies idle is dropped.
                word = 0;
                link.run(redis::cmd("DEL").arg(&key), Replay::Safe).unwrap();
            }
            let expected = match step.spend {
                true => quota.spend(word, now, step.cost),
                false => quota.peek(word, now, step.cost),
            };
            if let Some(write) = expected.write {
                (word, idle_at) = (write, expected.verdict.reset);
            }
            let arguments = [
                if step.spend { "spend" } else { "peek" }.to_owned(),
                step.cost.to_string(),
                quota.algorithm().name().to_owned(),
                quota.limit().to_string(),
                quota.window().to_string(),
                quota.capacity().to_string(),
                (micros / 1_000_000).to_string(),
                (micros % 1_000_000).to_string(),
            ];
            let arguments: Vec<&[u8]> = arguments.iter().map(|text| text.as_bytes()).collect();
            let reply: Value = link.eval(&script, &[&key], &arguments, Replay::Never).unwrap();
            let got: Vec<i64> = redis::from_redis_value(reply).unwrap();
            prop_assert_eq!(got, numbers(&expected.verdict, now).to_vec(), "{:?} at {} µs", step, micros);
        }
        Ok(())
    };
    let mut runner =
        proptest::test_runner::TestRunner::new(ProptestConfig { cases: 400, ..ProptestConfig::default() });
    runner.run(&(quotas(), histories()), |(quota, history)| run(quota, history)).unwrap();
}
