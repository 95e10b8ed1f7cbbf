//! What a query wants of a table: by which columns it finds and sorts rows.
//!
//! Read from a shape, or given as column => value. Only conditions that all must hold count: what stands
//! beside an OR is left out, as are columns inside functions, LIKE, and comparisons of two columns, which
//! no index of this table serves.

use serde_json::{Map, Value};

use crate::query::keywords;
use crate::query::token::{Lexer, Token};

/// How a column is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Compared {
    /// With one value.
    Equal,
    /// With a list of values.
    Listed,
    /// With a border.
    Range,
}

/// What a query wants.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Want {
    /// The table.
    pub table: String,
    /// Columns that rows are found by.
    pub conditions: Vec<(String, Compared)>,
    /// Columns that they are grouped by.
    pub group: Vec<String>,
    /// Columns that they are sorted by.
    pub order: Vec<String>,
    /// The query's shape, when it was seen.
    pub shape: Option<String>,
}

impl Want {
    /// Reads `$query_params`: a column and its value, a list of values, or `[operator, value]`;
    /// `order_by` and `group_by` name columns.
    pub fn from_params(table: &str, params: &Map<String, Value>) -> Self {
        let mut want = Self { table: table.to_owned(), ..Self::default() };
        for (key, value) in params {
            match key.as_str() {
                "order_by" | "orderby" => want.order.extend(names(value)),
                "group_by" | "groupby" => want.group.extend(names(value)),
                column => want.conditions.push((column.to_owned(), compared(value))),
            }
        }
        want
    }

    /// Reads the shape of a query of one table. `None` when it joins several, or wants nothing that an
    /// index could serve.
    pub fn from_shape(shape: &str) -> Option<Self> {
        let mut reader = Reader::new(shape);
        let want = Self { shape: Some(shape.to_owned()), ..reader.read()? };
        let is_served = !want.conditions.is_empty() || !want.order.is_empty() || !want.group.is_empty();
        is_served.then_some(want)
    }

    /// Every column that it names.
    pub fn columns(&self) -> impl Iterator<Item = &String> {
        self.conditions.iter().map(|(column, _)| column).chain(&self.group).chain(&self.order)
    }
}

fn names(value: &Value) -> Vec<String> {
    match value {
        Value::String(name) => {
            name.split(',').filter_map(|part| part.split_whitespace().next()).map(str::to_owned).collect()
        }
        Value::Array(list) => list.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        _ => Vec::new(),
    }
}

fn compared(value: &Value) -> Compared {
    match value {
        Value::Array(list) => match list.first().and_then(Value::as_str) {
            Some("<" | "<=" | ">" | ">=" | "BETWEEN" | "between") => Compared::Range,
            Some("=") if list.len() == 2 => Compared::Equal,
            _ => Compared::Listed,
        },
        Value::Object(map) if map.keys().any(|key| matches!(key.as_str(), "<" | "<=" | ">" | ">=")) => {
            Compared::Range
        }
        _ => Compared::Equal,
    }
}

/// Conditions between two parentheses.
#[derive(Default)]
struct Group {
    conditions: Vec<(String, Compared)>,
    has_or: bool,
}

struct Reader<'s> {
    lexer: Lexer<'s>,
    table: String,
    alias: String,
}

/// What the reader makes of a token.
enum Part {
    Keyword(&'static str),
    Name(String),
    Value,
    Open,
    Close,
    Comma,
    Operator(String),
    Other,
}

impl<'s> Reader<'s> {
    fn new(shape: &'s str) -> Self {
        Self { lexer: Lexer::new(shape.as_bytes()), table: String::new(), alias: String::new() }
    }

    /// The next token; a qualified name is one, and is [`Part::Other`] when it is another table's.
    fn next(&mut self) -> Option<Part> {
        Some(match self.lexer.next()? {
            Token::Word(word) => match keywords::find(word) {
                Some(keyword) => Part::Keyword(keyword.text),
                None => self.name(word),
            },
            Token::Quoted(name) => self.name(name),
            Token::Literal(_) | Token::Parameter => Part::Value,
            Token::Open => Part::Open,
            Token::Close => Part::Close,
            Token::Comma => Part::Comma,
            Token::Operator(sign) => Part::Operator(text(sign)),
            _ => Part::Other,
        })
    }

    fn name(&mut self, first: &[u8]) -> Part {
        let mut ahead = self.lexer;
        if ahead.next() != Some(Token::Dot) {
            return Part::Name(text(first));
        }
        let Some(Token::Word(second) | Token::Quoted(second)) = ahead.next() else { return Part::Other };
        self.lexer = ahead;
        let owner = text(first);
        if self.table.is_empty() || owner == self.table || owner == self.alias {
            Part::Name(text(second))
        } else {
            Part::Other
        }
    }

    fn read(&mut self) -> Option<Want> {
        let clause = self.find_table()?;
        let mut want = Want { table: self.table.clone(), ..Want::default() };
        let mut clause = Some(clause);
        while let Some(keyword) = clause {
            clause = match keyword {
                "WHERE" => self.conditions(&mut want),
                "GROUP" => self.columns(&mut want.group),
                "ORDER" => self.columns(&mut want.order),
                // A join, a union, a lock: not one table's simple question.
                "JOIN" | "LEFT" | "RIGHT" | "INNER" | "CROSS" | "STRAIGHT_JOIN" | "NATURAL" | "UNION" => {
                    return None;
                }
                _ => self.skip(),
            };
        }
        Some(want)
    }

    /// Reads up to the table and its alias; returns the clause that follows.
    fn find_table(&mut self) -> Option<&'static str> {
        loop {
            match self.next()? {
                Part::Keyword("FROM" | "UPDATE") => break,
                Part::Keyword("INSERT" | "REPLACE" | "CREATE" | "ALTER" | "SET" | "SHOW") => return None,
                _ => {}
            }
        }
        loop {
            match self.next()? {
                Part::Name(table) => break self.table = table,
                Part::Keyword("IGNORE" | "LOW_PRIORITY") => {}
                _ => return None,
            }
        }
        loop {
            match self.next()? {
                Part::Keyword("AS") => {}
                Part::Name(alias) => self.alias = alias,
                Part::Keyword(clause) => return Some(clause),
                // A second table.
                _ => return None,
            }
        }
    }

    /// Passes over what is between two clauses.
    fn skip(&mut self) -> Option<&'static str> {
        let mut depth = 0_u32;
        loop {
            match self.next()? {
                Part::Open => depth += 1,
                Part::Close => depth = depth.saturating_sub(1),
                Part::Keyword(
                    clause @ ("WHERE" | "GROUP" | "ORDER" | "LIMIT" | "HAVING" | "UNION" | "FOR"),
                ) if depth == 0 => {
                    return Some(clause);
                }
                _ => {}
            }
        }
    }

    /// Reads `BY a, b DESC`; a list with anything else in it, or with two directions, is of no use.
    fn columns(&mut self, into: &mut Vec<String>) -> Option<&'static str> {
        let (mut is_plain, mut descending, mut depth) = (true, 0, 0_u32);
        let next = loop {
            match self.next() {
                Some(Part::Keyword("BY")) | Some(Part::Comma) => {}
                Some(Part::Keyword("DESC")) => descending += 1,
                Some(Part::Name(column)) if depth == 0 => into.push(column),
                Some(Part::Keyword(clause @ ("GROUP" | "ORDER" | "LIMIT" | "HAVING" | "UNION" | "FOR")))
                    if depth == 0 =>
                {
                    break Some(clause);
                }
                Some(Part::Open) => (depth, is_plain) = (depth + 1, false),
                Some(Part::Close) => depth = depth.saturating_sub(1),
                Some(_) => is_plain = false,
                None => break None,
            }
        };
        if !is_plain || (descending != 0 && descending != into.len()) {
            into.clear();
        }
        next
    }

    fn conditions(&mut self, want: &mut Want) -> Option<&'static str> {
        let mut groups = vec![Group::default()];
        let next = loop {
            let Some(part) = self.next() else { break None };
            match part {
                Part::Open => groups.push(Group::default()),
                Part::Close => close(&mut groups),
                Part::Keyword("OR" | "XOR" | "NOT") => {
                    groups.iter_mut().rev().take(1).for_each(|group| group.has_or = true)
                }
                Part::Operator(sign) if sign == "||" => {
                    groups.iter_mut().rev().take(1).for_each(|group| group.has_or = true);
                }
                Part::Name(column) => {
                    if let (Some(compared), Some(group)) = (self.comparison(), groups.last_mut()) {
                        group.conditions.push((column, compared));
                    }
                }
                Part::Keyword(clause @ ("GROUP" | "ORDER" | "LIMIT" | "UNION" | "FOR"))
                    if groups.len() == 1 =>
                {
                    break Some(clause);
                }
                Part::Keyword("AND") => {}
                // A function: what is inside is no plain column.
                Part::Keyword(_) => self.skip_call(),
                _ => {}
            }
        };
        while groups.len() > 1 {
            close(&mut groups);
        }
        if let Some(all) = groups.pop().filter(|group| !group.has_or) {
            for (column, compared) in all.conditions {
                match want.conditions.iter_mut().find(|(known, _)| *known == column) {
                    Some((_, known)) => *known = (*known).min(compared),
                    None => want.conditions.push((column, compared)),
                }
            }
        }
        next
    }

    /// What follows a column: `= ?`, `IN (?+)`, `> ?`, `BETWEEN ? AND ?`, `IS NULL`.
    fn comparison(&mut self) -> Option<Compared> {
        let mut ahead = Self { lexer: self.lexer, table: self.table.clone(), alias: self.alias.clone() };
        let compared = match ahead.next()? {
            Part::Operator(sign) => match sign.as_str() {
                "=" | "<=>" => Compared::Equal,
                "<" | ">" | "<=" | ">=" => Compared::Range,
                _ => return None,
            },
            Part::Keyword("BETWEEN") => {
                let is_plain = matches!(ahead.next(), Some(Part::Value))
                    && matches!(ahead.next(), Some(Part::Keyword("AND")))
                    && matches!(ahead.next(), Some(Part::Value));
                self.lexer = ahead.lexer;
                return is_plain.then_some(Compared::Range);
            }
            Part::Keyword("IS") => {
                let is_null = matches!(ahead.next(), Some(Part::Keyword("NULL")));
                self.lexer = ahead.lexer;
                return is_null.then_some(Compared::Equal);
            }
            Part::Keyword("IN") => {
                let is_list =
                    matches!(ahead.next(), Some(Part::Open)) && matches!(ahead.next(), Some(Part::Value));
                return is_list.then_some(Compared::Listed);
            }
            _ => return None,
        };
        let is_value = matches!(ahead.next(), Some(Part::Value));
        self.lexer = ahead.lexer;
        is_value.then_some(compared)
    }

    /// Passes over the parenthesis of a function.
    fn skip_call(&mut self) {
        let mut ahead = self.lexer;
        if ahead.next() != Some(Token::Open) {
            return;
        }
        ahead.pass_group(|_| ());
        self.lexer = ahead;
    }
}

/// Ends the innermost group: what is beside an OR in it is left out.
fn close(groups: &mut Vec<Group>) {
    if groups.len() < 2 {
        return;
    }
    if let (Some(inner), Some(outer)) = (groups.pop(), groups.last_mut())
        && !inner.has_or
    {
        outer.conditions.extend(inner.conditions);
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn read(shape: &str) -> String {
        let Some(want) = Want::from_shape(shape) else { return "nothing".to_owned() };
        let sign = |compared| match compared {
            Compared::Equal => "=",
            Compared::Listed => "in",
            Compared::Range => "<",
        };
        let conditions: Vec<String> =
            want.conditions.iter().map(|(column, compared)| format!("{column}{}", sign(*compared))).collect();
        format!(
            "{}: {} / {} / {}",
            want.table,
            conditions.join(" "),
            want.group.join(" "),
            want.order.join(" ")
        )
    }

    #[test]
    fn conditions_that_all_must_hold_are_read() {
        for (shape, expected) in [
            ("SELECT * FROM t WHERE a = ? AND b = ?", "t: a= b= /  / "),
            ("SELECT * FROM t AS x WHERE x.a IN (?+) AND t.b > ? AND y.c = ?", "t: ain b< /  / "),
            ("SELECT * FROM t WHERE a BETWEEN ? AND ? AND b IS NULL AND c IS NOT NULL", "t: a< b= /  / "),
            (
                "SELECT * FROM t WHERE ? = ? AND ((a = ? AND (b = ? OR c = ?))) ORDER BY d DESC LIMIT ?",
                "t: a= /  / d",
            ),
            ("SELECT * FROM t WHERE a = ? OR b = ?", "nothing"),
            ("SELECT * FROM t WHERE a LIKE ? AND DATE(b) = ? AND c != ?", "nothing"),
            ("SELECT * FROM t WHERE LOWER(a) = ? AND b = ?", "t: b= /  / "),
            ("SELECT * FROM t WHERE a = b AND c = ?", "t: c= /  / "),
            ("SELECT a, COUNT(*) FROM t GROUP BY a", "t:  / a / "),
            ("SELECT * FROM t ORDER BY a, b DESC", "nothing"),
            ("SELECT * FROM t ORDER BY RAND() LIMIT ?", "nothing"),
            ("SELECT * FROM t, u WHERE a = ?", "nothing"),
            ("SELECT * FROM t INNER JOIN u ON t.a = u.b WHERE c = ?", "nothing"),
            ("UPDATE t SET a = ? WHERE b = ?", "t: b= /  / "),
            ("DELETE FROM t WHERE b < ?", "t: b< /  / "),
            ("INSERT INTO t VALUES (?+)", "nothing"),
            ("SELECT ?", "nothing"),
        ] {
            assert_eq!(read(shape), expected, "{shape}");
        }
    }

    #[test]
    fn params_are_read_as_php_writes_them() {
        let params = json!({"user_id": 1, "status": "completed", "at": ["<", "2025-01-01"], "kind": ["a", "b"], "order_by": "id DESC"});
        let want = Want::from_params("t", params.as_object().unwrap());
        let compared: Vec<Compared> = want.conditions.iter().map(|(_, compared)| *compared).collect();
        assert_eq!(compared, [Compared::Equal, Compared::Equal, Compared::Range, Compared::Listed]);
        assert_eq!(want.order, ["id"]);
    }

    proptest! {
        #[test]
        fn any_shape_is_read(shape: String) {
            Want::from_shape(&shape);
        }

        #[test]
        fn what_looks_like_a_query_is_read(
            shape in "SELECT a FROM t WHERE (AND|OR|NOT|IN|BETWEEN|IS NULL|ORDER BY|[(),=<?.a-c ]){0,40}"
        ) {
            Want::from_shape(&shape);
        }
    }
}
