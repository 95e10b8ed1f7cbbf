//! How fast tasks run here, and what follows from it: how many to take, and which results can wait.

use std::collections::HashMap;
use std::time::Duration;

/// What a worker takes at once it should have run in this time; the rest is better with others.
const TAKE: Duration = Duration::from_secs(1);

/// What a worker that knows nothing yet takes at once.
const FIRST_BATCH: u32 = 10;

/// A type is quick while its tasks take less than this on average.
const QUICK: Duration = Duration::from_millis(20);

/// The weight of the last task in the moving average.
const WEIGHT: f64 = 0.2;

/// Moving averages of how long tasks take, by type.
#[derive(Debug)]
pub struct Tempo {
    most: u32,
    average: Option<f64>,
    by_type: HashMap<String, f64>,
}

impl Tempo {
    /// Of a worker that takes `most` tasks at once at most.
    pub fn new(most: u32) -> Self {
        Self { most: most.max(1), average: None, by_type: HashMap::new() }
    }

    /// A task of this type ran for `time`.
    pub fn ran(&mut self, task_type: &str, time: Duration) {
        let seconds = time.as_secs_f64();
        let moved = |average: f64| average + WEIGHT * (seconds - average);
        self.average = Some(self.average.map_or(seconds, moved));
        match self.by_type.get_mut(task_type) {
            Some(average) => *average = moved(*average),
            None => drop(self.by_type.insert(task_type.to_owned(), seconds)),
        }
    }

    /// How many tasks to take.
    pub fn batch(&self) -> u32 {
        match self.average {
            None => self.most.min(FIRST_BATCH),
            Some(average) => ((TAKE.as_secs_f64() / average.max(1e-9)) as u32).clamp(1, self.most),
        }
    }

    /// Whether results may wait while a task of this type runs. A type that was not seen yet is
    /// not quick.
    pub fn is_quick(&self, task_type: &str) -> bool {
        self.by_type.get(task_type).is_some_and(|average| *average < QUICK.as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_batch_follows_the_tempo() {
        let mut tempo = Tempo::new(100);
        assert_eq!(tempo.batch(), 10);
        tempo.ran("mail", Duration::from_millis(1));
        assert_eq!(tempo.batch(), 100);
        for _ in 0..50 {
            tempo.ran("export", Duration::from_secs(5));
        }
        assert_eq!(tempo.batch(), 1, "others can take the rest");
        assert_eq!(Tempo::new(3).batch(), 3);
    }

    #[test]
    fn a_type_is_quick_when_it_has_been() {
        let mut tempo = Tempo::new(100);
        assert!(!tempo.is_quick("mail"));
        tempo.ran("mail", Duration::from_millis(1));
        assert!(tempo.is_quick("mail") && !tempo.is_quick("export"));
        for _ in 0..50 {
            tempo.ran("mail", Duration::from_millis(200));
        }
        assert!(!tempo.is_quick("mail"));
    }
}
