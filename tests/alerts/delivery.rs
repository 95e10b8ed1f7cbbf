//! Each transition is told once, to everybody who wants to know, whatever happens meanwhile.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use proptest::prelude::*;
use serde_json::json;
use slbp::alerts::book::{Book, MOST_OF_A_RULE};
use slbp::alerts::due;
use slbp::alerts::machine::Phase::{Firing, Inactive, Pending, Resolved};
use slbp::alerts::notify::{Courier, Notice, Outcome, Receiver};
use slbp::alerts::{Labels, Reading, Readings};
use slbp::clock::Timestamp;

use super::world::{START, World, line};

const CONNECTIONS: &str = "slbp_database_connections";
const MEMORY: &str = "slbp_system_memory_usage";

fn database_rule() -> serde_json::Value {
    json!({"database_connection_failure": {
        "metric": "database.connections", "condition": "equals", "threshold": 0, "severity": "critical", "for": 30,
        "webhook_url": "https://hooks.example/x", "email_recipients": ["a@example.com"], "cooldown": 600,
    }})
}

fn failed(after: Option<u64>) -> Outcome {
    Outcome::Failed { reason: "down".to_owned(), after: after.map(Duration::from_secs) }
}

#[test]
fn each_transition_is_told_once_on_every_channel() {
    let world = World::new(&database_rule());
    let name = "database_connection_failure";
    assert_eq!(world.tick(0, &[(CONNECTIONS, 12.0)]), []);
    assert_eq!(world.tick(15, &[(CONNECTIONS, 0.0)]), []);
    let both = |phase| [line("email", name, phase), line("webhook", name, phase)];
    assert_eq!(world.tick(45, &[(CONNECTIONS, 0.0)]), both(Firing));
    assert_eq!(world.tick(60, &[(CONNECTIONS, 0.0)]), []);
    assert_eq!(world.tick(645, &[(CONNECTIONS, 0.0)]), both(Firing), "after the cooldown");
    assert_eq!(world.tick(660, &[(CONNECTIONS, 3.0)]), both(Resolved));
    assert_eq!(world.tick(675, &[(CONNECTIONS, 3.0)]), []);
    assert_eq!(world.tick(7_000, &[(CONNECTIONS, 3.0)]), []);
    let book: Book = world.book.load();
    assert!(book.alerts.is_empty(), "what is over is forgotten");
}

#[test]
fn a_report_says_what_has_changed_and_how_things_stand() {
    let world = World::new(&database_rule());
    let report = |value: f64| world.engine().evaluate(&BTreeMap::from([(CONNECTIONS, value)])).unwrap();
    let states = |phase| BTreeMap::from([("database_connection_failure".to_owned(), phase)]);
    assert_eq!(report(5.0).states, states(Inactive));
    let pending = report(0.0);
    assert_eq!((pending.transitions.len(), pending.transitions[0].state), (1, Pending));
    world.clock.advance(Duration::from_secs(30));
    let firing = report(0.0);
    assert_eq!(firing.states, states(Firing));
    let transition = &firing.transitions[0];
    assert_eq!((transition.value, transition.threshold, transition.severity), (Some(0.0), 0.0, "critical"));
    assert_eq!(transition.since, Timestamp::from_secs(START));
    assert_eq!(report(0.0).transitions, []);
}

#[test]
fn what_nobody_was_told_of_has_no_end_to_tell() {
    let world = World::new(&database_rule());
    world.post.outcomes.borrow_mut().extend([failed(None), Outcome::Delivered]);
    world.tick(0, &[(CONNECTIONS, 0.0)]);
    let told = world.tick(30, &[(CONNECTIONS, 0.0)]);
    assert_eq!(told.len(), 2, "e-mail failed, the webhook got it");
    assert_eq!(
        world.tick(31, &[(CONNECTIONS, 1.0)]),
        [line("webhook", "database_connection_failure", Resolved)]
    );
}

#[test]
fn a_failure_is_tried_again_later_and_later_until_it_is_given_up() {
    let mut config = database_rule();
    config["database_connection_failure"]["email_recipients"] = json!([]);
    config["database_connection_failure"]["cooldown"] = json!(1_000_000);
    let world = World::new(&config);
    world.post.outcomes.borrow_mut().extend((0..100).map(|_| failed(None)));
    world.tick(0, &[(CONNECTIONS, 0.0)]);
    let mut attempts = Vec::new();
    for second in (30..7_500).step_by(15) {
        if !world.tick(second, &[(CONNECTIONS, 0.0)]).is_empty() {
            attempts.push(second);
        }
    }
    let gaps: Vec<u64> = attempts.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert_eq!(attempts.len() as u32, due::MOST_ATTEMPTS, "{attempts:?}");
    assert!(
        gaps.windows(2).all(|pair| pair[0] <= pair[1]) && gaps[0] >= 15 && *gaps.last().unwrap() <= 915,
        "{gaps:?}"
    );
}

#[test]
fn a_receiver_that_asks_for_peace_gets_it() {
    let mut config = database_rule();
    config["database_connection_failure"]["email_recipients"] = json!([]);
    let world = World::new(&config);
    world.post.outcomes.borrow_mut().push_back(failed(Some(300)));
    world.tick(0, &[(CONNECTIONS, 0.0)]);
    assert_eq!(world.tick(30, &[(CONNECTIONS, 0.0)]).len(), 1);
    assert_eq!(world.tick(329, &[(CONNECTIONS, 0.0)]), []);
    assert_eq!(world.tick(330, &[(CONNECTIONS, 0.0)]).len(), 1);
    assert_eq!(world.tick(345, &[(CONNECTIONS, 0.0)]), []);
}

#[test]
fn a_clock_set_back_does_not_silence_a_receiver_for_days() {
    let world = World::new(&database_rule());
    world.post.outcomes.borrow_mut().extend([failed(None), failed(None)]);
    world.tick(1_000_000, &[(CONNECTIONS, 0.0)]);
    assert_eq!(world.tick(1_000_030, &[(CONNECTIONS, 0.0)]).len(), 2);
    assert_eq!(world.tick(0, &[(CONNECTIONS, 0.0)]).len(), 2, "the wait that lies days ahead is none");
}

/// A courier in whose hands the process dies.
struct Dying<'a> {
    delivered: &'a Cell<u32>,
    before_it_arrives: bool,
}

impl Courier for Dying<'_> {
    fn deliver(&self, _: &Receiver, _: &Notice) -> Outcome {
        if !self.before_it_arrives {
            self.delivered.set(self.delivered.get() + 1);
        }
        panic!("killed");
    }
}

#[test]
fn a_worker_killed_while_it_sends_delays_the_message_and_repeats_its_id() {
    let mut config = database_rule();
    config["database_connection_failure"]["email_recipients"] = json!([]);
    let world = World::new(&config);
    world.tick(0, &[(CONNECTIONS, 0.0)]);
    world.clock.set(Timestamp::from_secs(START + 30));
    let mut report = world.engine().evaluate(&BTreeMap::from([(CONNECTIONS, 0.0)])).unwrap();
    let delivered = Cell::new(0);
    let dying = Dying { delivered: &delivered, before_it_arrives: true };
    let killed = catch_unwind(AssertUnwindSafe(|| world.engine().deliver(&dying, &mut report, &|| true)));
    assert!(killed.is_err());
    assert_eq!(world.tick(31, &[(CONNECTIONS, 0.0)]), [], "it may be on its way");
    assert_eq!(world.tick(91, &[(CONNECTIONS, 0.0)]).len(), 1, "it is not lost");
    assert_eq!(world.tick(92, &[(CONNECTIONS, 0.0)]), []);
}

#[test]
fn every_attempt_at_a_message_has_the_same_id_and_the_next_message_another() {
    let mut config = database_rule();
    config["database_connection_failure"]["email_recipients"] = json!([]);
    let world = World::new(&config);
    world.post.outcomes.borrow_mut().push_back(failed(None));
    world.tick(0, &[(CONNECTIONS, 0.0)]);
    world.tick(30, &[(CONNECTIONS, 0.0)]);
    world.tick(60, &[(CONNECTIONS, 0.0)]);
    world.tick(90, &[(CONNECTIONS, 1.0)]);
    let ids: Vec<String> = world.post.notices.borrow().iter().map(|notice| notice.id.clone()).collect();
    assert_eq!(ids.len(), 3);
    assert!(ids[0] == ids[1] && ids[1] != ids[2], "{ids:?}");
}

#[test]
fn who_has_lost_the_lease_stops() {
    let world = World::new(&database_rule());
    world.tick(0, &[(CONNECTIONS, 0.0)]);
    world.clock.set(Timestamp::from_secs(START + 30));
    let mut report = world.engine().evaluate(&BTreeMap::from([(CONNECTIONS, 0.0)])).unwrap();
    let left = Cell::new(1);
    let is_mine = || left.replace(0) == 1;
    world.engine().deliver(&world.post, &mut report, &is_mine).unwrap();
    assert_eq!(world.post.told.take().len(), 1, "of two receivers");
    assert_eq!(world.tick(31, &[(CONNECTIONS, 0.0)]).len(), 1, "the next worker tells the other");
}

#[test]
fn a_silence_holds_back_until_it_ends() {
    let world = World::new(&database_rule());
    world.silence("database_connection_failure", 100);
    world.tick(0, &[(CONNECTIONS, 0.0)]);
    assert_eq!(world.tick(30, &[(CONNECTIONS, 0.0)]), []);
    assert_eq!(world.tick(99, &[(CONNECTIONS, 0.0)]), []);
    assert_eq!(world.tick(100, &[(CONNECTIONS, 0.0)]).len(), 2, "it still fires when the silence ends");
    world.silence("*", 1_000);
    assert_eq!(world.tick(200, &[(CONNECTIONS, 1.0)]), []);
    world.silence("*", 0);
    assert_eq!(world.tick(201, &[(CONNECTIONS, 1.0)]).len(), 2, "a silence of no length takes one back");
}

#[test]
fn a_critical_alert_holds_back_warnings_about_the_same_figure() {
    let hook = json!("https://hooks.example/x");
    let world = World::new(&json!({
        "low": {"metric": "system.memory_usage", "condition": ">", "threshold": 100, "severity": "warning", "webhook_url": hook},
        "high": {"metric": "system.memory_usage", "condition": ">", "threshold": 200, "severity": "critical", "webhook_url": hook},
    }));
    assert_eq!(world.tick(0, &[(MEMORY, 300.0)]), [line("webhook", "high", Firing)]);
    assert_eq!(
        world.tick(15, &[(MEMORY, 150.0)]),
        [line("webhook", "high", Resolved), line("webhook", "low", Firing)],
        "the warning is told when nothing worse is"
    );
}

/// Figures of one metric, by gateway.
struct ByGateway(Vec<(&'static str, f64)>);

impl Readings for ByGateway {
    fn of(&self, _: &str) -> Vec<Reading> {
        let reading = |(gateway, value): &(&str, f64)| Reading {
            labels: Labels::from([("gateway".to_owned(), (*gateway).to_owned())]),
            value: *value,
        };
        self.0.iter().map(reading).collect()
    }
}

fn by_gateway(world: &World, secs: u64, figures: &[(&'static str, f64)]) -> Vec<super::world::Line> {
    world.clock.set(Timestamp::from_secs(START + secs));
    let mut report = world.engine().evaluate(&ByGateway(figures.to_vec())).unwrap();
    world.deliver(&mut report);
    world.post.told.take()
}

#[test]
fn alerts_of_one_rule_share_a_message_unless_grouped_apart() {
    let mut rule = json!({"failing": {
        "metric": "slbp_failed", "condition": ">", "threshold": 5, "webhook_url": "https://hooks.example/x",
    }});
    let figures = [("paypal", 9.0), ("stripe", 8.0), ("bank", 1.0)];
    let message = |count| ("webhook".to_owned(), "failing".to_owned(), Firing, count);
    assert_eq!(by_gateway(&World::new(&rule), 0, &figures), [message(2)]);
    rule["failing"]["group_by"] = json!(["gateway"]);
    let world = World::new(&rule);
    assert_eq!(by_gateway(&world, 0, &figures), [message(1), message(1)]);
    let only_paypal = [("paypal", 9.0), ("stripe", 0.0)];
    assert_eq!(
        by_gateway(&world, 15, &only_paypal),
        [("webhook".to_owned(), "failing".to_owned(), Resolved, 1)]
    );
    assert_eq!(by_gateway(&world, 30, &[]).len(), 1, "a series that is gone is over");
}

#[test]
fn a_metric_with_too_many_labels_cannot_fill_the_memory() {
    let world = World::new(&json!({"failing": {
        "metric": "slbp_failed", "condition": ">", "threshold": 5, "webhook_url": "https://hooks.example/x",
    }}));
    let names: Vec<&'static str> = (0..500).map(|n| &*format!("gateway-{n}").leak()).collect();
    let figures: Vec<_> = names.iter().map(|name| (*name, 9.0)).collect();
    by_gateway(&world, 0, &figures);
    let book: Book = world.book.load();
    assert_eq!(book.alerts.len(), MOST_OF_A_RULE);
    assert_eq!(book.dropped, 500 - MOST_OF_A_RULE as u64);
}

#[test]
fn a_missing_figure_means_what_the_rule_says() {
    let rule = |no_data: &str| {
        json!({"x": {
            "metric": "database.connections", "condition": "equals", "threshold": 0, "no_data": no_data,
            "webhook_url": "https://hooks.example/x",
        }})
    };
    let told = |no_data: &str| {
        let world = World::new(&rule(no_data));
        let at_first = world.tick(0, &[]).len();
        world.tick(15, &[(CONNECTIONS, 0.0)]);
        let later: Vec<_> = world.tick(30, &[]).into_iter().map(|line| line.2).collect();
        (at_first, later)
    };
    assert_eq!(told("ok"), (0, vec![Resolved]), "null == 0 was what upstream fired on");
    assert_eq!(told("alert"), (1, vec![]), "still firing: first missing, then zero");
    assert_eq!(told("keep"), (0, vec![]));
    let world = World::new(&rule("ok"));
    assert_eq!(world.tick(0, &[(CONNECTIONS, f64::NAN)]), [], "not a number is no figure");
}

#[test]
fn a_rule_that_is_switched_off_ends_and_one_that_is_gone_is_forgotten() {
    let mut world = World::new(&database_rule());
    world.tick(0, &[(CONNECTIONS, 0.0)]);
    assert_eq!(world.tick(30, &[(CONNECTIONS, 0.0)]).len(), 2);
    let mut off = database_rule();
    off["database_connection_failure"]["enabled"] = json!(false);
    world.rules = slbp::alerts::rule::read(&off, false).unwrap();
    let told: Vec<_> = world.tick(45, &[(CONNECTIONS, 0.0)]).into_iter().map(|line| line.2).collect();
    assert_eq!(told, [Resolved, Resolved]);
    world.rules = Vec::new();
    assert_eq!(world.tick(60, &[(CONNECTIONS, 0.0)]), []);
    assert!(world.book.load::<Book>().alerts.is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Of any history, a receiver hears firing and resolved in turn and never one of them twice
    /// (repeats apart), whichever attempts fail.
    #[test]
    fn a_receiver_hears_beginnings_and_ends_in_turn(
        steps in prop::collection::vec((1u64..120, any::<bool>(), prop::bool::weighted(0.3)), 1..40),
        wait in 0u64..60,
        keep in 0u64..60,
    ) {
        let world = World::new(&json!({"x": {
            "metric": "database.connections", "condition": "equals", "threshold": 0, "for": wait,
            "keep_firing_for": keep, "cooldown": 31_000_000, "webhook_url": "https://hooks.example/x",
        }}));
        let (mut now, mut heard) = (0, Vec::new());
        for (gap, is_down, fails) in steps {
            now += gap;
            if fails {
                world.post.outcomes.borrow_mut().push_back(failed(None));
            }
            let told = world.tick(now, &[(CONNECTIONS, if is_down { 0.0 } else { 1.0 })]);
            let did_fail = fails && world.post.outcomes.borrow().is_empty() && !told.is_empty();
            world.post.outcomes.borrow_mut().clear();
            if !did_fail {
                heard.extend(told.into_iter().map(|line| line.2));
            }
        }
        // An end that could not be told before it began again leaves two beginnings in a row.
        prop_assert!(heard.windows(2).all(|pair| pair != [Resolved, Resolved]), "{:?}", heard);
        prop_assert!(heard.first().is_none_or(|first| *first == Firing), "{:?}", heard);
    }
}
