//! The shared tables against a plain `HashMap`: any sequence of operations, the same answers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use std::collections::HashMap;

use proptest::prelude::*;
use slbp::shm::{Decision, Key, Plan, Record, RecordTable, Refused, Segment, WordTable, Written};

fn segment() -> Segment {
    Segment::anonymous(&Plan { words: 128, records: 32, ..Plan::smallest() }).unwrap()
}

/// Keys that all fall near each other: one run of the word table, one group of the index.
fn crowded(name: u8) -> Key {
    Key::from_bits(u128::from(name) << 72 | 1 << 64 | u128::from(name % 2))
}

#[derive(Clone, Debug)]
enum WordStep {
    Update { name: u8, add: u64, lifetime: u64 },
    Look { name: u8 },
    Remove { name: u8 },
    Wait { seconds: u64 },
}

fn word_step() -> impl Strategy<Value = WordStep> {
    let name = 0..6u8;
    prop_oneof![
        4 => (name.clone(), 1..100u64, 0..5u64).prop_map(|(name, add, lifetime)| WordStep::Update { name, add, lifetime }),
        2 => name.clone().prop_map(|name| WordStep::Look { name }),
        1 => name.prop_map(|name| WordStep::Remove { name }),
        1 => (1..4u64).prop_map(|seconds| WordStep::Wait { seconds }),
    ]
}

/// What a key's state is, and until when the table must remember it.
#[derive(Default)]
struct WordModel {
    now: u64,
    states: HashMap<u8, (u64, u64)>,
}

impl WordModel {
    fn must_know(&self, name: u8) -> Option<u64> {
        self.states.get(&name).filter(|(_, until)| *until >= self.now).map(|(state, _)| *state)
    }

    /// What the table may say: the state, or nothing once it has expired.
    fn allows(&self, name: u8, said: Option<u64>) -> bool {
        match said {
            Some(state) => self.states.get(&name).is_some_and(|(known, _)| *known == state),
            None => self.must_know(name).is_none(),
        }
    }

    fn step(&mut self, words: &WordTable<'_>, step: &WordStep) -> Result<(), TestCaseError> {
        match *step {
            WordStep::Update { name, add, lifetime } => {
                let expires = self.now + lifetime;
                let decide =
                    |old: Option<u64>| Decision { new: Some(old.unwrap_or(0) + add), expires, result: old };
                match words.update(crowded(name), self.now, decide) {
                    Ok(old) => {
                        prop_assert!(self.allows(name, old), "{name} was {old:?}");
                        self.states.insert(name, (old.unwrap_or(0) + add, expires));
                    }
                    Err(refused) => {
                        prop_assert_eq!(refused, Refused::Full);
                        prop_assert!(self.must_know(name).is_none());
                        // A run of this plan has one line of two slots.
                        let others = (0..6).filter(|other| self.must_know(*other).is_some()).count();
                        prop_assert_eq!(others, 2, "refused although a slot could be reused");
                        self.states.remove(&name);
                    }
                }
            }
            WordStep::Look { name } => prop_assert!(self.allows(name, words.peek(crowded(name)))),
            WordStep::Remove { name } => {
                let removed = words.remove(crowded(name));
                prop_assert!(removed || self.must_know(name).is_none());
                self.states.remove(&name);
            }
            WordStep::Wait { seconds } => self.now += seconds,
        }
        Ok(())
    }
}

#[derive(Clone, Debug)]
enum RecordStep {
    Put { name: u8, group: u16, lifetime: Option<u64>, payload: Vec<u8> },
    Get { name: u8 },
    Remove { name: u8 },
    RemoveGroup { group: u16 },
    Wait { seconds: u64 },
}

fn record_step() -> impl Strategy<Value = RecordStep> {
    let name = 0..48u8;
    let payload = proptest::collection::vec(any::<u8>(), 0..=128);
    prop_oneof![
        6 => (name.clone(), 0..3u16, proptest::option::of(1..20u64), payload)
            .prop_map(|(name, group, lifetime, payload)| RecordStep::Put { name, group, lifetime, payload }),
        2 => name.clone().prop_map(|name| RecordStep::Get { name }),
        2 => name.prop_map(|name| RecordStep::Remove { name }),
        1 => (0..3u16).prop_map(|group| RecordStep::RemoveGroup { group }),
        1 => (1..6u64).prop_map(|seconds| RecordStep::Wait { seconds }),
    ]
}

#[derive(Default)]
struct RecordModel {
    now: u64,
    records: HashMap<u8, Record>,
}

impl RecordModel {
    fn get(&self, name: u8) -> Option<&Record> {
        self.records.get(&name).filter(|record| record.expires.is_none_or(|expires| expires > self.now))
    }

    fn live(&self) -> usize {
        self.records.keys().filter(|name| self.get(**name).is_some()).count()
    }

    fn step(&mut self, table: &RecordTable<'_>, step: &RecordStep) -> Result<(), TestCaseError> {
        match step {
            RecordStep::Put { name, group, lifetime, payload } => {
                let expires = lifetime.map(|seconds| self.now + seconds);
                let record = Record::new(crowded(*name), *group, expires, payload).unwrap();
                let expected = match self.get(*name) {
                    Some(_) => Ok(Written::Replaced),
                    None if self.live() < table.capacity() => Ok(Written::Inserted),
                    None => Err(Refused::Full),
                };
                let known = self.records.contains_key(name);
                match table.put(&record, self.now) {
                    // An expired record that was not swept still has its place.
                    Ok(Written::Inserted) if known && expected == Err(Refused::Full) => {}
                    answer => prop_assert_eq!(answer, expected),
                }
                if expected.is_ok() || table.get(crowded(*name), self.now).is_some() {
                    self.records.insert(*name, record);
                }
            }
            RecordStep::Get { name } => {
                prop_assert_eq!(table.get(crowded(*name), self.now), self.get(*name).cloned());
            }
            RecordStep::Remove { name } => {
                let removed = table.remove(crowded(*name)).unwrap();
                prop_assert!(removed || self.get(*name).is_none());
                prop_assert!(!removed || self.records.contains_key(name));
                self.records.remove(name);
            }
            RecordStep::RemoveGroup { group } => {
                let removed = table.remove_if(|record| record.group == *group).unwrap();
                let doomed = |record: &Record| record.group == *group;
                let live = self.records.keys().filter(|name| self.get(**name).is_some_and(doomed)).count();
                prop_assert!(removed >= live);
                self.records.retain(|_, record| !doomed(record));
                prop_assert_eq!(table.len(*group), 0);
            }
            RecordStep::Wait { seconds } => self.now += seconds,
        }
        self.agrees(table)
    }

    fn agrees(&self, table: &RecordTable<'_>) -> Result<(), TestCaseError> {
        let mut seen = 0;
        let mut stranger = None;
        table.for_each(self.now, |record| {
            let name = (record.key.bits() >> 72) as u8;
            seen += 1;
            if self.get(name) != Some(record) {
                stranger = Some(name);
            }
        });
        prop_assert_eq!(stranger, None);
        prop_assert_eq!(seen, self.live());
        prop_assert!(table.used() >= seen && table.used() <= table.capacity());
        prop_assert_eq!(table.used(), (0..3).map(|group| table.len(group)).sum::<usize>());
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn words_answer_like_a_map(steps in proptest::collection::vec(word_step(), 1..120)) {
        let segment = segment();
        let words = segment.words().unwrap();
        let mut model = WordModel { now: 1, ..WordModel::default() };
        for step in &steps {
            model.step(&words, step)?;
        }
    }

    #[test]
    fn records_answer_like_a_map(steps in proptest::collection::vec(record_step(), 1..250)) {
        let segment = segment();
        let records = segment.records().unwrap();
        let mut model = RecordModel { now: 1, ..RecordModel::default() };
        for step in &steps {
            model.step(&records, step)?;
        }
    }

    #[test]
    fn bytes_come_back_as_they_went_in(bytes: Vec<u8>, room in 0usize..64) {
        let words: Vec<_> = (0..room).map(|_| std::sync::atomic::AtomicU64::new(u64::MAX)).collect();
        let mut back = vec![0; bytes.len()];
        let fits = bytes.len() <= room * 8;
        prop_assert_eq!(slbp::shm::store_bytes(&words, &bytes), fits);
        prop_assert_eq!(slbp::shm::load_bytes(&words, &mut back), fits);
        prop_assert!(!fits || back == bytes);
    }
}
