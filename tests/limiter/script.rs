//! The script in Redis and the policy in Rust are one arithmetic: random histories, one clock.

use proptest::prelude::*;
use redis::Value;
use slbp::clock::Timestamp;
use slbp::limiter::policy::{Algorithm, Quota, Verdict};
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

/// What the script has decided, as the policy explains it.
fn explained(reply: &Value, quota: &Quota, now: Timestamp, cost: u32) -> Verdict {
    let Value::BulkString(bytes) = reply else { panic!("no bytes: {reply:?}") };
    let number = |at: usize| u64::from_be_bytes(bytes[at..at + 8].try_into().unwrap());
    assert_eq!((bytes.len(), number(0)), (33, now.nanos() / 1000));
    quota.explain(bytes[8] == 1, quota.word_of([9, 17, 25].map(number)), now, cost)
}

/// The script's argument, as its head describes it.
fn order(quota: &Quota, step: &Step) -> Vec<u8> {
    let numbers =
        [quota.limit(), quota.window(), quota.capacity()].map(|number| u64::from(number).to_be_bytes());
    let algorithm = quota.algorithm().name().as_bytes()[..1].to_vec();
    let head = [vec![step.spend.into()], u64::from(step.cost).to_be_bytes().to_vec(), algorithm];
    [head.concat(), numbers.concat()].concat()
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
            let seconds = [micros / 1_000_000, micros % 1_000_000].map(|part| part.to_string());
            let arguments = [&order(&quota, &step)[..], seconds[0].as_bytes(), seconds[1].as_bytes()];
            let reply: Value = link.eval(&script, &[&key], &arguments, Replay::Never).unwrap();
            let got = explained(&reply, &quota, now, step.cost);
            prop_assert_eq!(got, expected.verdict, "{:?} at {} µs", step, micros);
        }
        Ok(())
    };
    let mut runner =
        proptest::test_runner::TestRunner::new(ProptestConfig { cases: 400, ..ProptestConfig::default() });
    runner.run(&(quotas(), histories()), |(quota, history)| run(quota, history)).unwrap();
}
