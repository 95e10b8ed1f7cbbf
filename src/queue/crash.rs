//! What happens to a task whose worker died or lost its lease while it ran.
//!
//! A worker that vanished may have done all, half or nothing of the task. Running it again is right
//! for most work and wrong for a charge, so each type says what it wants. Types that move money
//! hold by default: a held task is never run again unless a person says so, or its handler has
//! declared itself idempotent.
//!
//! Crashes are counted apart from failures: a task that kills its worker each time would otherwise
//! be retried for ever, because no handler lives to report the failure.

/// The wish of a type or of one task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum OnCrash {
    /// Run it again.
    Retry = 0,
    /// It has failed.
    Fail = 1,
    /// A person decides.
    Hold = 2,
}

impl OnCrash {
    const ALL: [OnCrash; 3] = [Self::Retry, Self::Fail, Self::Hold];

    /// Reads `retry`, `fail` or `hold`.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|wish| wish.word() == word)
    }

    /// The wish with this number in the table.
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.get(usize::from(code)).copied()
    }

    /// The number in the table.
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The word in PHP.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Retry => "retry",
            Self::Fail => "fail",
            Self::Hold => "hold",
        }
    }

    /// What a type wants that says nothing: those that move money hold.
    pub fn default_for(task_type: &str) -> Self {
        match task_type {
            "billing_run" | "subscription_renewal" => Self::Hold,
            _ => Self::Retry,
        }
    }
}

/// What becomes of the task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It runs again.
    Again,
    /// It has failed, and why.
    Dead(String),
    /// It waits for a person, and why.
    Held(String),
}

/// Judges a task that has now crashed `crashes` times; one may crash fewer than `most` times.
pub fn judge(wish: OnCrash, crashes: u32, most: u32, how: &str) -> Verdict {
    match wish {
        OnCrash::Hold => Verdict::Held(format!("{how}; held, because it may have been done already")),
        OnCrash::Fail => Verdict::Dead(how.to_owned()),
        OnCrash::Retry if crashes >= most => Verdict::Dead(format!("{how} (crash {crashes} of {most})")),
        OnCrash::Retry => Verdict::Again,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn money_is_held_whatever_the_count() {
        for task_type in ["billing_run", "subscription_renewal"] {
            let wish = OnCrash::default_for(task_type);
            assert!(matches!(judge(wish, 1, 3, "worker died"), Verdict::Held(_)));
        }
    }

    #[test]
    fn a_task_that_kills_its_worker_stops() {
        let verdicts: Vec<Verdict> = (1..=3).map(|n| judge(OnCrash::Retry, n, 3, "worker died")).collect();
        let last = Verdict::Dead("worker died (crash 3 of 3)".to_owned());
        assert_eq!(verdicts, [Verdict::Again, Verdict::Again, last]);
        assert_eq!(judge(OnCrash::Fail, 1, 3, "worker died"), Verdict::Dead("worker died".to_owned()));
    }

    #[test]
    fn words_and_numbers_round_trip() {
        for wish in OnCrash::ALL {
            assert_eq!(OnCrash::parse(wish.word()), Some(wish));
            assert_eq!(OnCrash::from_code(wish.code()), Some(wish));
        }
        assert_eq!(OnCrash::parse("ignore"), None);
        assert_eq!(OnCrash::from_code(3), None);
    }
}
