//! The index that serves what a query wants.
//!
//! Column order is SOAR's: columns compared with one value, the most selective first; then one list or
//! range, after which an index cannot go on; or instead, where every condition is an equality, the
//! columns of GROUP BY, or of ORDER BY. Nothing is proposed that an existing index does already.

use super::Evidence;
use super::catalog::{Index, Key, Table};
use super::want::{Compared, Want};

/// An index with more columns is seldom read to its end.
const MOST_COLUMNS: usize = 4;

/// How much of a long text an index holds: what fits into every row format.
const PREFIX: u64 = 191;

/// An index's name is no longer.
const LONGEST_NAME: usize = 64;

/// An index to create.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Its columns in order.
    pub columns: Vec<Part>,
    /// How many of them, from the first on, are compared with one value: their order does not matter.
    pub equal: usize,
}

/// A column of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part(pub String);

impl Part {
    /// As it stands in a definition.
    pub fn definition(&self, table: &Table) -> String {
        let is_long = table.column(&self.0).is_some_and(|column| column.is_long);
        Key { column: self.0.clone(), prefix: is_long.then_some(PREFIX) }.definition()
    }
}

impl Candidate {
    /// What `want` lacks on `table`. `distinct` tells how many values columns have; without it the
    /// order is that of the question.
    pub fn of(want: &Want, table: &Table, distinct: &[(String, u64)]) -> Option<Self> {
        let known = |name: &String| table.column(name).map(|column| column.name.clone());
        let selective = |name: &String| {
            distinct.iter().find(|(column, _)| column == name).map_or(0, |(_, distinct)| *distinct)
        };
        let compared = |with: Compared| {
            let own = want.conditions.iter().filter(move |(_, compared)| *compared == with);
            let mut columns: Vec<String> = own.filter_map(|(column, _)| known(column)).collect();
            columns.sort_by_key(|column| std::cmp::Reverse(selective(column)));
            columns
        };
        let mut columns = compared(Compared::Equal);
        let equal = columns.len();
        if table.is_unique_for(&columns) {
            return None;
        }
        let bounded = [compared(Compared::Listed), compared(Compared::Range)].concat();
        let sorted = if want.group.is_empty() { &want.order } else { &want.group };
        match bounded.into_iter().next() {
            Some(column) => columns.push(column),
            None => columns.extend(sorted.iter().map_while(known)),
        }
        dedup(&mut columns);
        columns.truncate(MOST_COLUMNS);
        let candidate =
            Self { equal: equal.min(columns.len()), columns: columns.into_iter().map(Part).collect() };
        // Long texts alone, or nothing at all.
        if candidate.columns.is_empty() || candidate.is_long(table) {
            return None;
        }
        let is_there =
            table.indexes.iter().any(|index| candidate.is_served_by(&index.columns()) && index.is_whole());
        (!is_there).then_some(candidate)
    }

    /// Whether an index of these columns does the same: it begins with the columns compared with one
    /// value, in any order, and goes on as this one does.
    pub fn is_served_by(&self, columns: &[String]) -> bool {
        let names = self.names();
        let (equal, rest) = names.split_at(self.equal.min(names.len()));
        let Some((head, tail)) = columns.split_at_checked(equal.len()) else { return false };
        let has = |name: &String| head.iter().any(|column| column.eq_ignore_ascii_case(name));
        equal.iter().all(has)
            && tail.len() >= rest.len()
            && tail.iter().zip(rest).all(|(column, name)| column.eq_ignore_ascii_case(name))
    }

    /// The names of its columns.
    pub fn names(&self) -> Vec<String> {
        self.columns.iter().map(|Part(name)| name.clone()).collect()
    }

    /// A name for it, as the documentation names them: `idx_transactions_user_status`.
    pub fn name(&self, prefix: &str, table: &Table) -> String {
        let of_table = table.name.strip_prefix(prefix).unwrap_or(&table.name);
        let of_table = of_table.strip_prefix("slbp_").unwrap_or(of_table);
        let columns = self.columns.iter().map(|Part(name)| {
            let name = name.to_lowercase();
            let short = name.strip_suffix("_id").or_else(|| name.strip_suffix("_at"));
            short.map_or(name.clone(), str::to_owned)
        });
        let mut name = format!("idx_{of_table}_{}", columns.collect::<Vec<_>>().join("_"));
        name.truncate(name.floor_char_boundary(LONGEST_NAME - 4));
        let is_taken = |name: &str| table.indexes.iter().any(|index| index.name.eq_ignore_ascii_case(name));
        let free = (1..100)
            .map(|n| if n == 1 { name.clone() } else { format!("{name}_{n}") })
            .find(|name| !is_taken(name));
        free.unwrap_or(name)
    }

    /// Bytes it will take, about: its columns, the primary key behind them, and half as much again for
    /// pages that are not full.
    pub fn size(&self, table: &Table) -> u64 {
        let bytes = |name: &str| {
            table.column(name).map_or(8, |column| column.bytes.min(PREFIX * 4).div_ceil(2).max(2))
        };
        let own: u64 = self.columns.iter().map(|Part(name)| bytes(name)).sum();
        let key: u64 = table.primary_key().iter().map(|name| bytes(name)).sum();
        table.rows.saturating_mul(own + key + 6).saturating_mul(3) / 2
    }

    /// In words.
    pub fn reason(&self, want: &Want, evidence: Option<&Evidence>) -> String {
        let columns = self.names().join(", ");
        let sorted =
            if want.order.is_empty() && want.group.is_empty() { "found" } else { "found and sorted" };
        match evidence {
            Some(seen) => format!(
                "Rows are {sorted} by {columns}. In a sample of {} rows the server read {} to answer, and {} with the index.",
                seen.sample_rows, seen.rows_read_before, seen.rows_read_after
            ),
            None => format!(
                "Rows are {sorted} by {columns}, and no index begins with these. Not measured: the table is small, or time was up."
            ),
        }
    }

    fn is_long(&self, table: &Table) -> bool {
        self.columns.iter().all(|Part(name)| table.column(name).is_some_and(|column| column.is_long))
    }
}

impl Table {
    /// Whether at most one row has these values.
    fn is_unique_for(&self, columns: &[String]) -> bool {
        let has = |key: &Key| columns.iter().any(|column| column.eq_ignore_ascii_case(&key.column));
        self.indexes.iter().any(|index| index.is_unique && index.is_whole() && index.keys.iter().all(has))
    }
}

impl Index {
    /// Whether it holds its columns' values to their ends.
    fn is_whole(&self) -> bool {
        self.keys.iter().all(|key| key.prefix.is_none_or(|prefix| prefix >= PREFIX))
    }
}

fn dedup(columns: &mut Vec<String>) {
    let mut seen: Vec<String> = Vec::new();
    columns.retain(|column| {
        let is_new = !seen.contains(column);
        seen.extend(is_new.then(|| column.clone()));
        is_new
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::advice::catalog::Column;

    fn index(name: &str, is_unique: bool, columns: &[&str]) -> Index {
        let keys = columns.iter().map(|column| Key { column: (*column).to_owned(), prefix: None }).collect();
        Index { name: name.to_owned(), is_unique, keys }
    }

    fn table(extra: &[Index]) -> Table {
        let column = |name: &str| Column { name: name.into(), bytes: 8, is_long: name == "metadata" };
        let mut indexes = vec![index("PRIMARY", true, &["id"]), index("user_id", false, &["user_id"])];
        indexes.extend_from_slice(extra);
        Table {
            name: "wp_slbp_transactions".into(),
            rows: 0,
            data_bytes: 0,
            index_bytes: 0,
            free_bytes: 0,
            columns: ["id", "user_id", "status", "amount", "created_at", "metadata"].map(column).to_vec(),
            indexes,
        }
    }

    fn wanted(shape: &str) -> Want {
        Want::from_shape(&format!("SELECT * FROM wp_slbp_transactions {shape}")).unwrap()
    }

    fn columns(shape: &str, extra: &[Index], distinct: &[(String, u64)]) -> Option<String> {
        Candidate::of(&wanted(shape), &table(extra), distinct).map(|found| found.names().join(","))
    }

    #[test]
    fn equalities_come_first_then_one_range_or_the_order() {
        for (shape, expected) in [
            ("WHERE user_id = ? AND status = ?", Some("user_id,status")),
            ("WHERE created_at > ? AND status = ?", Some("status,created_at")),
            ("WHERE status IN (?+) AND created_at > ?", Some("status")),
            ("WHERE status = ? ORDER BY created_at DESC", Some("status,created_at")),
            ("WHERE status = ? AND amount > ? ORDER BY created_at", Some("status,amount")),
            ("WHERE status = ? GROUP BY amount ORDER BY created_at", Some("status,amount")),
            ("ORDER BY created_at", Some("created_at")),
            ("WHERE id = ? AND status = ?", None),
            ("WHERE user_id = ?", None),
            ("WHERE metadata = ?", None),
            ("WHERE unknown = ?", None),
        ] {
            assert_eq!(columns(shape, &[], &[]).as_deref(), expected, "{shape}");
        }
        let distinct = [("status".to_owned(), 900), ("user_id".to_owned(), 3)];
        assert_eq!(
            columns("WHERE user_id = ? AND status = ?", &[], &distinct).as_deref(),
            Some("status,user_id")
        );
    }

    #[test]
    fn an_index_that_does_it_already_ends_the_matter() {
        let both = "WHERE user_id = ? AND status = ?";
        assert_eq!(columns(both, &[index("x", false, &["user_id", "status"])], &[]), None);
        assert_eq!(columns(both, &[index("x", false, &["status", "user_id", "amount"])], &[]), None);
        assert!(columns(both, &[index("x", false, &["amount", "user_id", "status"])], &[]).is_some());
        let range = "WHERE status = ? AND created_at > ?";
        assert!(columns(range, &[index("x", false, &["created_at", "status"])], &[]).is_some());
        let short =
            Index { keys: vec![Key { column: "status".into(), prefix: Some(5) }], ..index("x", false, &[]) };
        assert!(columns("WHERE status = ?", &[short], &[]).is_some(), "five characters are not the column");
    }

    #[test]
    fn names_are_those_of_the_documentation_and_free() {
        let found = Candidate::of(&wanted("WHERE user_id = ? AND status = ?"), &table(&[]), &[]).unwrap();
        assert_eq!(found.name("wp_", &table(&[])), "idx_transactions_user_status");
        let taken = [index("idx_transactions_user_status", false, &["amount"])];
        assert_eq!(found.name("wp_", &table(&taken)), "idx_transactions_user_status_2");
    }
}
