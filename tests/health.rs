//! Health over real shared memory: findings that workers share, registered checks, draining, and what a probe
//! may say that cannot run PHP.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

#[path = "health/external.rs"]
mod external;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::thread;
use std::time::Duration;

use slbp::clock::{Clock, ManualClock, Timestamp};
use slbp::health::check::{Check, Probe, Profile};
use slbp::health::finding::Outcome;
use slbp::health::front::{self, Front};
use slbp::health::known::{self, Known, MOST};
use slbp::health::state::{Group, Groups, State};
use slbp::health::{Health, Site};
use slbp::shm::{Plan, Segment};

struct World {
    segment: Segment,
    clock: ManualClock,
}

impl World {
    fn new() -> Self {
        let clock = ManualClock::at(Timestamp::from_secs(1_800_000_000));
        Self { segment: Segment::private(&Plan::smallest()).unwrap(), clock }
    }

    fn health(&self) -> Health<'_> {
        Health::new(&self.segment, Site::of(&self.segment, b"site"), &self.clock)
    }

    fn after(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }
}

/// A check that counts how often it runs.
fn counting<'a>(profile: Profile, runs: &'a AtomicUsize, state: State) -> Vec<Box<dyn Check + 'a>> {
    vec![Box::new(Probe::new(profile, move || {
        runs.fetch_add(1, SeqCst);
        Outcome { state, ..Outcome::default() }
    }))]
}

fn everywhere(name: &'static str) -> Profile {
    Profile::new(name, "component", "status").asked_by(Groups::READY).critical()
}

#[test]
fn a_check_runs_once_per_time_to_live_however_many_ask() {
    let (world, runs) = (World::new(), AtomicUsize::new(0));
    let checks = counting(everywhere("one").good_for(10), &runs, State::Healthy);
    for _ in 0..1000 {
        world.health().report(Group::Ready, &checks).unwrap();
    }
    assert_eq!(runs.load(SeqCst), 1);

    world.after(10);
    world.health().report(Group::Health, &checks).unwrap();
    assert_eq!(runs.load(SeqCst), 2, "its time was over");
}

#[test]
fn a_clock_that_steps_back_does_not_freeze_a_finding() {
    let (world, runs) = (World::new(), AtomicUsize::new(0));
    let checks = counting(everywhere("one"), &runs, State::Healthy);
    world.health().report(Group::Ready, &checks).unwrap();
    world.clock.set(Timestamp::from_secs(world.clock.now().secs() - 3600));
    world.health().report(Group::Ready, &checks).unwrap();
    assert_eq!(runs.load(SeqCst), 2);
}

#[test]
fn fifty_who_ask_at_once_wait_for_the_one_who_looks() {
    let (world, runs) = (Arc::new(World::new()), Arc::new(AtomicUsize::new(0)));
    let askers = (0..50).map(|_| {
        let (world, runs) = (Arc::clone(&world), Arc::clone(&runs));
        thread::spawn(move || {
            let checks: Vec<Box<dyn Check>> = vec![Box::new(Probe::new(everywhere("slow"), || {
                runs.fetch_add(1, SeqCst);
                thread::sleep(Duration::from_millis(100));
                Outcome::healthy()
            }))];
            world.health().report(Group::Ready, &checks).unwrap().state
        })
    });
    let states: Vec<State> =
        askers.collect::<Vec<_>>().into_iter().map(|asker| asker.join().unwrap()).collect();
    assert_eq!(runs.load(SeqCst), 1);
    assert!(states.iter().all(|state| *state == State::Healthy), "{states:?}");
}

#[test]
fn while_somebody_looks_the_others_answer_with_what_was() {
    let (world, runs) = (World::new(), AtomicUsize::new(0));
    let checks = counting(everywhere("one"), &runs, State::Healthy);
    world.health().report(Group::Ready, &checks).unwrap();
    world.after(11);
    let inner_state = std::cell::Cell::new(None);
    let looking: Vec<Box<dyn Check + '_>> = vec![Box::new(Probe::new(everywhere("one"), || {
        // The lease is taken: this stands for another worker that asks meanwhile.
        let report = world.health().report(Group::Ready, &checks).unwrap();
        inner_state.set(Some(report.state));
        Outcome::unhealthy("down")
    }))];
    let outer = world.health().report(Group::Ready, &looking).unwrap();
    assert_eq!((inner_state.get(), outer.state), (Some(State::Healthy), State::Unhealthy));
    assert_eq!(runs.load(SeqCst), 1);
}

#[test]
fn a_slow_check_is_degraded_whatever_it_says() {
    let world = World::new();
    let profile = Profile { timeout: Duration::from_millis(5), ..everywhere("slow") };
    let checks: Vec<Box<dyn Check>> = vec![Box::new(Probe::new(profile, || {
        thread::sleep(Duration::from_millis(20));
        Outcome::healthy()
    }))];
    let report = world.health().report(Group::Ready, &checks).unwrap();
    assert_eq!(report.state, State::Degraded);
    assert!(report.entries[0].finding.outcome.message.starts_with("took 0.0 s"));
}

#[test]
fn only_critical_checks_take_the_node_out() {
    let (world, runs) = (World::new(), AtomicUsize::new(0));
    let mut checks = counting(Profile { critical: false, ..everywhere("extra") }, &runs, State::Unhealthy);
    assert_eq!(world.health().report(Group::Ready, &checks).unwrap().http_status(), 200);
    checks.extend(counting(everywhere("needed"), &runs, State::Unhealthy));
    assert_eq!(world.health().report(Group::Ready, &checks).unwrap().http_status(), 503);
    assert!(world.health().report(Group::Live, &checks).unwrap().entries.is_empty(), "liveness asks nobody");
}

#[test]
fn draining_is_seen_by_all_and_ends() {
    let (world, other) = (World::new(), World::new());
    assert!(!world.health().drain().is_on(None));
    world.health().drain().set(true).unwrap();
    let since = world.health().drain().since();
    world.after(5);
    world.health().drain().set(true).unwrap();
    assert_eq!(world.health().drain().since(), since, "draining twice began once");
    let neighbour = Health::new(&world.segment, Site::of(&world.segment, b"neighbour"), &world.clock);
    assert!(!neighbour.drain().is_on(None) && !other.health().drain().is_on(None));
    world.health().drain().set(false).unwrap();
    assert!(!world.health().drain().is_on(None));

    let file = tempfile::NamedTempFile::new().unwrap();
    assert!(world.health().drain().is_on(Some(file.path())));
}

#[test]
fn registered_checks_are_known_until_nobody_registers_them() {
    let world = World::new();
    let known = Known::new(&world.segment, world.health().site(), &world.clock);
    let stripe = Profile {
        critical: true,
        groups: Groups::READY,
        ttl: Duration::from_secs(30),
        ..known::profile("stripe".to_owned())
    };
    known.note(&stripe).unwrap();
    known.note(&stripe).unwrap();
    assert_eq!(known.profiles(), std::slice::from_ref(&stripe));

    let changed = Profile { critical: false, ..stripe };
    known.note(&changed).unwrap();
    assert_eq!(known.profiles(), std::slice::from_ref(&changed));
    world.after(400);
    known.note(&changed).unwrap();
    world.after(400);
    assert_eq!(known.profiles().len(), 1, "registering keeps it");
    world.after(601);
    assert!(known.profiles().is_empty());

    for number in 0..MOST {
        known.note(&known::profile(format!("check_{number}"))).unwrap();
    }
    assert!(known.note(&known::profile("one_more".to_owned())).is_err());
}

#[test]
fn what_wordpress_said_of_a_folder_is_known_before_it_runs() {
    let world = World::new();
    let front = Front { site: world.health().site(), prefix: "api".to_owned() };
    front::learn(&world.segment, b"/srv/site", &front, &world.clock).unwrap();
    assert_eq!(front::find(&world.segment, b"/srv/site", world.clock.now()), Some(front));
    assert_eq!(front::find(&world.segment, b"/srv/other", world.clock.now()), None);
}

mod from_outside {
    use super::*;

    fn borrowed() -> Vec<Profile> {
        vec![Profile { critical: true, groups: Groups::READY, ..known::profile("php".to_owned()) }]
    }

    #[test]
    fn what_nobody_has_looked_at_is_asked_of_the_host() {
        let world = World::new();
        assert_eq!(world.health().report_from_outside(Group::Ready, &[], &borrowed(), false).unwrap(), None);
    }

    #[test]
    fn a_good_finding_is_borrowed_and_an_old_one_renewed_by_one_of_all() {
        let (world, runs) = (World::new(), AtomicUsize::new(0));
        let by_php = counting(borrowed().remove(0), &runs, State::Unhealthy);
        world.health().report(Group::Ready, &by_php).unwrap();
        let ask = || world.health().report_from_outside(Group::Ready, &[], &borrowed(), false).unwrap();
        assert_eq!(ask().unwrap().http_status(), 503);

        world.after(10);
        let turns = (0..20).filter(|_| ask().is_none()).count();
        assert_eq!(turns, 1, "one asks PHP, the others repeat what was");
        assert_eq!(ask().unwrap().http_status(), 503);
        world.after(120);
        assert!(ask().is_none(), "what is as old as that is not repeated");
    }

    #[test]
    fn the_host_is_not_asked_when_the_answer_is_no_anyway_or_it_is_closed() {
        let (world, runs) = (World::new(), AtomicUsize::new(0));
        let down = counting(everywhere("database").good_for(0), &runs, State::Unhealthy);
        let report =
            world.health().report_from_outside(Group::Ready, &down, &borrowed(), false).unwrap().unwrap();
        assert_eq!(report.http_status(), 503);
        let report =
            world.health().report_from_outside(Group::Ready, &[], &borrowed(), true).unwrap().unwrap();
        assert_eq!((report.state, report.http_status()), (State::Degraded, 200), "unknown is not a no");
    }
}
