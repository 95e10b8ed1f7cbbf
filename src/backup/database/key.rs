//! Ranges of a table's key, as SQL conditions.
//!
//! A table is cut into ranges `[lower, upper)` over its primary key (or a NOT NULL unique key).
//! The first is open below and the last above, so an inserted or deleted row always falls into
//! exactly one. Conditions are written out column by column: MariaDB uses an index badly for row
//! constructors such as `(a, b) >= (1, 2)`.

use super::column::identifier;

/// A bound: one literal per key column.
pub type Bound = Vec<String>;

/// The condition for `lower <= key < upper`, `None` being open; `1` when both are.
pub fn condition(key: &[String], lower: Option<&Bound>, upper: Option<&Bound>) -> String {
    let mut parts = Vec::new();
    parts.extend(lower.map(|bound| side(key, bound, '>', ">=")));
    parts.extend(upper.map(|bound| side(key, bound, '<', "<")));
    if parts.is_empty() { "1".to_owned() } else { parts.join(" AND ") }
}

/// `key <op> bound` in lexical order: `a > 1 OR (a = 1 AND (b > 2 OR (b = 2 AND c >= 3)))`. The
/// outermost column also gets a plain comparison, which is what the optimizer ranges on.
fn side(key: &[String], bound: &[String], strict: char, last: &str) -> String {
    let (Some((column, columns)), Some((literal, literals))) = (key.split_first(), bound.split_first())
    else {
        return "1".to_owned();
    };
    let name = identifier(column);
    if columns.is_empty() {
        return format!("{name} {last} {literal}");
    }
    let inner = side(columns, literals, strict, last);
    format!(
        "({name} {strict}= {literal} AND ({name} {strict} {literal} OR ({name} = {literal} AND {inner})))"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    #[test]
    fn bounds_are_half_open() {
        let key = strings(&["id"]);
        let (low, high) = (strings(&["5"]), strings(&["9"]));
        assert_eq!(condition(&key, None, None), "1");
        assert_eq!(condition(&key, Some(&low), Some(&high)), "`id` >= 5 AND `id` < 9");
    }

    #[test]
    fn composite_bounds_compare_in_lexical_order() {
        let key = strings(&["a", "b"]);
        let bound = strings(&["1", "2"]);
        assert_eq!(condition(&key, Some(&bound), None), "(`a` >= 1 AND (`a` > 1 OR (`a` = 1 AND `b` >= 2)))");
        assert_eq!(condition(&key, None, Some(&bound)), "(`a` <= 1 AND (`a` < 1 OR (`a` = 1 AND `b` < 2)))");
    }
}
