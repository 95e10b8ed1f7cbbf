//! Which quotas a request falls under.
//!
//! Owns: the rules, their defaults, and the order in which an endpoint finds its rule: the exact
//! name, then the first matching pattern in the order of the settings, then a word in the name
//! (`auth` or `login`, `payment` or `billing`, `webhook`), else `general`. A plan lays its rules over
//! those of the site. Refuses to do: count.
//!
//! Names are compared as WordPress compares routes, without regard to (ASCII) case and to a newline
//! at the end: a visitor who could spell a route in a way that reaches its handler but not its rule
//! would have found a door without a limit.
//!
//! Everything is worked out when the settings are read: finding a rule allocates nothing, unless the
//! endpoint has a capital letter in it.

mod read;

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use super::glob::Glob;
use super::policy::{Algorithm, Quota};
use crate::error::{Error, Kind, Result};

pub(super) use read::RULE_KEYS;
pub use read::{ReadingDefaults, read_plans, read_rules};

/// The name of the rule for every endpoint that no other rule takes.
pub const GENERAL: &str = "general";

/// The rules every site has: name, limit per [`DEFAULT_WINDOW`].
pub const DEFAULTS: [(&str, u64); 4] = [(GENERAL, 100), ("auth", 10), ("payment", 50), ("webhook", 1000)];

/// The window of a rule that names none: an hour, in seconds.
pub const DEFAULT_WINDOW: u64 = 3600;

/// Words in an endpoint's name, and the rule each stands for.
const WORDS: [(&str, &str); 5] = [
    ("auth", "auth"),
    ("login", "auth"),
    ("payment", "payment"),
    ("billing", "payment"),
    ("webhook", "webhook"),
];

/// How the routes of the site's own REST API begin. It has a word of [`WORDS`] in it that says nothing about a route.
const OWN_NAMESPACE: &[u8] = b"/skylearn-billing-pro/";

/// What a rule does while the store does not answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnStoreFailure {
    /// Counts on this host alone.
    #[default]
    Local,
    /// Lets everything through.
    Open,
    /// Refuses everything.
    Closed,
}

impl OnStoreFailure {
    /// Every choice with its name in settings.
    pub const NAMES: [(&'static str, OnStoreFailure); 3] = [
        ("local", OnStoreFailure::Local),
        ("open", OnStoreFailure::Open),
        ("closed", OnStoreFailure::Closed),
    ];
}

/// A quota and the counter that it is charged to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// Names the counter: the same for the same rule, algorithm and window in every process and on
    /// every host, so that a word is never read under another arithmetic than it was written.
    pub counter: u128,
    /// What is allowed.
    pub quota: Quota,
}

impl Limit {
    /// The `position`-th limit of the rule `rule`.
    pub fn new(rule: &str, position: usize, quota: Quota) -> Self {
        let name = format!("{rule}\0{}\0{}\0{position}", quota.algorithm().name(), quota.window());
        let digest = blake3::hash(name.as_bytes());
        let (head, _) = digest.as_bytes().split_first_chunk::<16>().unwrap_or((&[0; 16], &[]));
        Self { counter: u128::from_le_bytes(*head), quota }
    }
}

/// How requests to some endpoints are limited.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// The rule's name: what it is called in settings, results and headers.
    pub name: String,
    /// At least one limit. All are checked before any is spent.
    pub limits: Vec<Limit>,
    /// How many units one request costs.
    pub cost: u32,
    /// Whether a refusal is only reported.
    pub dry_run: bool,
    /// What happens while the store does not answer.
    pub on_store_failure: OnStoreFailure,
}

impl Rule {
    fn is_called(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }

    fn counters(&self) -> impl Iterator<Item = u128> + '_ {
        self.limits.iter().map(|limit| limit.counter)
    }
}

/// Rules as one group of clients sees them.
#[derive(Clone, Debug)]
struct RuleSet {
    all: Vec<Arc<Rule>>,
    /// By canonical name, sorted: among a handful of rules a binary search takes a third of a keyed
    /// hash's time.
    exact: Vec<(Vec<u8>, Arc<Rule>)>,
    patterns: Vec<(Glob, Arc<Rule>)>,
    words: Vec<(&'static str, Arc<Rule>)>,
    general: Arc<Rule>,
}

impl RuleSet {
    /// `first` laid over `rest`: a name in both is taken from `first`.
    fn new(first: Vec<Rule>, rest: &[Arc<Rule>]) -> Result<Self> {
        let mut all: Vec<Arc<Rule>> = first.into_iter().map(Arc::new).collect();
        let others = rest.iter().filter(|rule| !all.iter().any(|own| own.is_called(&rule.name)));
        all.extend(others.cloned().collect::<Vec<_>>());
        let named = |name: &str| all.iter().find(|rule| rule.is_called(name)).cloned();
        let general = named(GENERAL).ok_or_else(|| Error::new(Kind::Config, "there is no general rule"))?;
        Ok(Self {
            exact: sorted_by_name(&all),
            patterns: all
                .iter()
                .filter(|rule| Glob::is_pattern(&rule.name))
                .map(|rule| (Glob::fnmatch(&rule.name.to_ascii_lowercase()), rule.clone()))
                .collect(),
            words: WORDS.iter().filter_map(|(word, rule)| Some((*word, named(rule)?))).collect(),
            general,
            all,
        })
    }

    fn resolve(&self, endpoint: &[u8]) -> &Rule {
        if endpoint.is_empty() {
            return &self.general;
        }
        let endpoint = &*canonical(endpoint);
        let exact = self.exact.binary_search_by(|(name, _)| name.as_slice().cmp(endpoint));
        if let Some((_, rule)) = exact.ok().and_then(|at| self.exact.get(at)) {
            return rule;
        }
        if let Some((_, rule)) = self.patterns.iter().find(|(pattern, _)| pattern.matches(endpoint)) {
            return rule;
        }
        let telling = endpoint.strip_prefix(OWN_NAMESPACE).unwrap_or(endpoint);
        let by_word = self.words.iter().find(|(word, _)| contains_word(telling, word));
        by_word.map_or(&self.general, |(_, rule)| rule)
    }
}

/// Of two names that differ only in case the first in the settings counts.
fn sorted_by_name(rules: &[Arc<Rule>]) -> Vec<(Vec<u8>, Arc<Rule>)> {
    let mut sorted: Vec<_> =
        rules.iter().map(|rule| (rule.name.to_ascii_lowercase().into_bytes(), rule.clone())).collect();
    sorted.sort_by(|(one, _), (other, _)| one.cmp(other));
    sorted.dedup_by(|(next, _), (first, _)| next == first);
    sorted
}

/// The one spelling of an endpoint.
fn canonical(endpoint: &[u8]) -> Cow<'_, [u8]> {
    let endpoint = endpoint.strip_suffix(b"\n").unwrap_or(endpoint);
    match endpoint.iter().any(u8::is_ascii_uppercase) {
        true => Cow::Owned(endpoint.to_ascii_lowercase()),
        false => Cow::Borrowed(endpoint),
    }
}

fn contains_word(endpoint: &[u8], word: &str) -> bool {
    endpoint.windows(word.len()).any(|part| part == word.as_bytes())
}

/// Every rule of a site: those for everybody, and those of its plans.
#[derive(Clone, Debug)]
pub struct Rules {
    everybody: RuleSet,
    plans: HashMap<String, RuleSet>,
}

impl Rules {
    /// The site's own rules laid over the defaults, each plan's laid over both.
    ///
    /// # Errors
    /// Invalid argument when the defaults themselves do not fit together (an algorithm that cannot
    /// hold a built-in limit).
    pub fn new(own: Vec<Rule>, plans: Vec<(String, Vec<Rule>)>, defaults: &ReadingDefaults) -> Result<Self> {
        let built_in: Vec<_> = defaults.built_in()?.into_iter().map(Arc::new).collect();
        let everybody = RuleSet::new(own, &built_in)?;
        let over_everybody = |(plan, rules)| Ok((plan, RuleSet::new(rules, &everybody.all)?));
        let plans = plans.into_iter().map(over_everybody).collect::<Result<_>>()?;
        Ok(Self { everybody, plans })
    }

    /// The rule for `endpoint` (empty: the general one) and a client on `plan`. A plan without
    /// rules of its own is everybody's.
    pub fn resolve(&self, endpoint: &[u8], plan: Option<&str>) -> &Rule {
        plan.and_then(|plan| self.plans.get(plan)).unwrap_or(&self.everybody).resolve(endpoint)
    }

    /// Whether any plan has rules of its own, so that it is worth asking which plan a client is on.
    pub fn has_plans(&self) -> bool {
        !self.plans.is_empty()
    }

    /// Every counter that a client may be charged to, on any plan.
    pub fn counters(&self) -> Vec<u128> {
        self.sets().flat_map(|set| &set.all).flat_map(|rule| rule.counters()).collect()
    }

    /// The counters that a request to `endpoint` may be charged to, on any plan.
    pub fn counters_for(&self, endpoint: &[u8]) -> Vec<u128> {
        self.sets().flat_map(|set| set.resolve(endpoint).counters()).collect()
    }

    fn sets(&self) -> impl Iterator<Item = &RuleSet> {
        std::iter::once(&self.everybody).chain(self.plans.values())
    }

    /// The rule called `name`, if everybody has one.
    pub fn named(&self, name: &str) -> Option<&Rule> {
        self.iter().find(|rule| rule.name == name)
    }

    /// Every rule of everybody, in the order in which patterns are tried.
    pub fn iter(&self) -> impl Iterator<Item = &Rule> {
        self.everybody.all.iter().map(AsRef::as_ref)
    }
}
