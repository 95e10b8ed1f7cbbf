//! Index advice over a connection of our own, so that nothing of it is in the request's transaction.

use std::collections::HashMap;

use serde_json::{Map, Value, json};

use super::watch;
use crate::binding::segment;
use crate::binding::wordpress::constants::PhpEnvironment;
use crate::binding::wordpress::site;
use crate::binding::wordpress::wpdb::Wpdb;
use crate::config::Section;
use crate::config::lax;
use crate::error::{Error, Result};
use crate::ports::Detached;
use crate::query::advice::want::Want;
use crate::query::advice::{Advice, Limits, Recommendation, advise};
use crate::query::observed::Observed;
use crate::query::report::{self, List, Options};
use crate::query::shared::SharedQueries;
use crate::remote::database::{DatabaseLink, DatabaseSettings};

const OPTIONS: Section = Section { name: "$options", keys: &["table", "limit"], fallbacks: &[] };

/// So many of the queries that took most time are looked at.
const MOST_QUERIES: usize = 100;

/// So many tables are.
const MOST_TABLES: usize = 10;

#[derive(serde::Deserialize)]
#[serde(default)]
struct Asked {
    #[serde(deserialize_with = "lax::text")]
    table: Option<String>,
    #[serde(deserialize_with = "lax::u64")]
    limit: u64,
}

impl Default for Asked {
    fn default() -> Self {
        Self { table: None, limit: 10 }
    }
}

/// Where the site's database is: `$config['database']`, WordPress, or php.ini.
pub struct Advisor {
    database: Value,
}

impl Advisor {
    /// The keys of `$config` that it reads.
    pub const KEYS: &[&str] = &["database"];

    /// Takes `$config`'s word for it. Nothing is read or connected yet.
    pub fn new(config: &Value) -> Self {
        Self { database: config.get("database").cloned().unwrap_or_default() }
    }

    /// All about one table, and its slow queries; `{"error": …}` for an unknown one.
    ///
    /// # Errors
    /// The database's, or a wrong setting.
    pub fn table(&self, name: &str, params: &Map<String, Value>) -> Result<Value> {
        let (link, prefix) = self.connect()?;
        for table in [format!("{prefix}{name}"), name.to_owned()] {
            let mut wants = vec![Want::from_params(&table, params)];
            wants.extend(self.seen()?.into_iter().filter(|query| query.table == table).filter_map(want));
            if let Some(advice) = advise(&link, &prefix, &table, &wants, &Limits::default())? {
                return self.described(&advice);
            }
        }
        Ok(json!({"error": format!("Table '{name}' does not exist.")}))
    }

    /// The indexes that the site's queries lack, those first that save most time.
    ///
    /// # Errors
    /// The database's, or a wrong option or setting.
    pub fn recommend(&self, options: Value) -> Result<Vec<Recommendation>> {
        let asked: Asked = OPTIONS.read(options, &Detached::default())?;
        let limit = usize::try_from(asked.limit).ok().filter(|limit| (1..=100).contains(limit));
        let limit = limit
            .ok_or_else(|| Error::invalid("limit", format!("expected 1 to 100, got {}", asked.limit)))?;
        let (link, prefix) = self.connect()?;
        let is_asked = |table: &str| {
            asked
                .table
                .as_ref()
                .is_none_or(|asked| table == asked || table.strip_prefix(&prefix) == Some(asked))
        };
        let mut tables: Vec<String> = Vec::new();
        let mut wants: HashMap<String, Vec<Want>> = HashMap::new();
        for found in self.seen()?.into_iter().filter_map(want).filter(|want| is_asked(&want.table)) {
            if !tables.contains(&found.table) {
                tables.push(found.table.clone());
            }
            wants.entry(found.table.clone()).or_default().push(found);
        }
        let mut all = Vec::new();
        for table in tables.iter().take(MOST_TABLES) {
            let own = wants.get(table).map_or(&[][..], Vec::as_slice);
            if let Some(advice) = advise(&link, &prefix, table, own, &Limits::default())? {
                all.extend(advice.missing_indexes);
            }
        }
        all.truncate(limit);
        Ok(all)
    }

    fn connect(&self) -> Result<(DatabaseLink, String)> {
        let settings = DatabaseSettings::read(self.database.clone(), &PhpEnvironment)?;
        let given = self.database.get("prefix").map(|_| settings.prefix.clone());
        let prefix = given.or_else(Wpdb::prefix).or_else(site::table_prefix);
        let prefix = prefix.unwrap_or_else(|| settings.prefix.clone());
        Ok((DatabaseLink::new(settings), prefix))
    }

    /// The queries that took most time, of this request and of all before.
    fn seen(&self) -> Result<Vec<Observed>> {
        let (mut seen, _) = watch::seen();
        seen.extend(SharedQueries::open(segment::get()?)?.of_site(&site::identity()));
        seen.sort_by_key(|query| std::cmp::Reverse(query.tally.total));
        seen.truncate(MOST_QUERIES);
        Ok(seen)
    }

    fn described(&self, advice: &Advice) -> Result<Value> {
        let mut described = serde_json::to_value(advice).unwrap_or_default();
        let options = Options { limit: 10, ..Options::default() };
        let of_table = self.seen()?.into_iter().filter(|query| query.table == advice.table);
        let slow = report::rows(of_table, List::Slow, &options);
        if let Some(map) = described.as_object_mut() {
            map.insert("slow_queries".to_owned(), serde_json::to_value(slow).unwrap_or_default());
        }
        Ok(described)
    }
}

fn want(query: Observed) -> Option<Want> {
    Want::from_shape(&query.shape)
}
