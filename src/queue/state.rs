//! The life of a task: its states, how each is shown, and which may follow which.
//!
//! The number is what the `state` column holds; the word is what the public `status` column and
//! PHP show. Several states share a word, because to a user a task that waits is `pending`,
//! whatever it waits for.

/// Where a task is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum State {
    /// Written by other code that knows only the public columns: to be adopted.
    Foreign = 0,
    /// Waits for its time.
    Scheduled = 1,
    /// Waits for another task or for a batch.
    Blocked = 2,
    /// Waits for its type: paused, or at its concurrency or rate limit.
    Gated = 3,
    /// May run now.
    Ready = 4,
    /// A worker has it.
    Leased = 5,
    /// Ran, and waits for the tasks it started.
    Waiting = 6,
    /// Its worker died while the outcome mattered: a person decides.
    Held = 7,
    /// Ended well.
    Done = 8,
    /// Ended badly, with no attempt left.
    Dead = 9,
    /// Ended by a person before it was done.
    Cancelled = 10,
}

use State::{Blocked, Cancelled, Dead, Done, Foreign, Gated, Held, Leased, Ready, Scheduled, Waiting};

impl State {
    /// Every state, in the order of its number.
    pub const ALL: [State; 11] =
        [Foreign, Scheduled, Blocked, Gated, Ready, Leased, Waiting, Held, Done, Dead, Cancelled];

    /// The number in the table.
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The state with this number.
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.get(usize::from(code)).copied()
    }

    /// The word in the public `status` column.
    pub const fn status(self) -> &'static str {
        match self {
            Foreign | Scheduled | Blocked | Gated | Ready => "pending",
            Leased | Waiting => "processing",
            Held => "held",
            Done => "completed",
            Dead => "failed",
            Cancelled => "cancelled",
        }
    }

    /// The states that `status` stands for; none for an unknown word.
    pub fn with_status(status: &str) -> Vec<State> {
        Self::ALL.into_iter().filter(|state| state.status() == status).collect()
    }

    /// Whether the task has ended.
    pub const fn is_final(self) -> bool {
        matches!(self, Done | Dead | Cancelled)
    }

    /// The states from which a task may come here. Every statement that changes a state asks for
    /// one of these in its WHERE, so a transition that is not listed cannot happen.
    pub const fn entered_from(self) -> &'static [State] {
        match self {
            Foreign => &[],
            Scheduled => &[Foreign, Blocked, Leased],
            Blocked => &[],
            Gated => &[Ready],
            Ready => &[Foreign, Scheduled, Blocked, Gated, Leased, Held, Dead, Cancelled],
            Leased => &[Ready, Gated],
            Waiting => &[Leased],
            Held => &[Foreign, Leased],
            Done => &[Foreign, Leased, Waiting],
            Dead => &[Foreign, Leased],
            Cancelled => &[Foreign, Scheduled, Blocked, Gated, Ready, Leased, Waiting, Held],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_words_are_what_the_table_holds() {
        for state in State::ALL {
            assert_eq!(State::from_code(state.code()), Some(state));
            assert!(State::with_status(state.status()).contains(&state));
        }
        assert_eq!(State::from_code(11), None);
        assert_eq!(State::with_status("processing"), [Leased, Waiting]);
        assert!(State::with_status("unknown").is_empty());
    }

    #[test]
    fn an_ended_task_comes_back_only_as_a_replay() {
        for state in State::ALL {
            let leaves_the_end = state.entered_from().iter().any(|from| from.is_final());
            assert_eq!(leaves_the_end, state == Ready, "{state:?}");
        }
        assert!(!Ready.entered_from().contains(&Done), "what is done is never done again");
    }

    #[test]
    fn only_what_may_run_is_leased() {
        assert_eq!(Leased.entered_from(), [Ready, Gated]);
    }
}
