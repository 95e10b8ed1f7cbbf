//! `CREATE TABLE` statements, taken apart by line as the server prints them.

use super::column::identifier;

/// A definition without its foreign keys, and those.
///
/// The name of a foreign key is unique in its database, so a copy of a table cannot have them
/// while the original exists.
pub(crate) fn without_foreign_keys(create: &str) -> (String, Vec<String>) {
    let mut kept: Vec<&str> = Vec::new();
    let mut keys = Vec::new();
    for line in create.split('\n') {
        match foreign_key(line) {
            Some(key) => keys.push(key.to_owned()),
            None => kept.push(line),
        }
    }
    if keys.is_empty() {
        return (create.to_owned(), keys);
    }
    let last_of_body = kept.iter().rposition(|line| line.starts_with("  "));
    if let Some(line) = last_of_body.and_then(|at| kept.get_mut(at)) {
        *line = line.strip_suffix(',').unwrap_or(line);
    }
    (kept.join("\n"), keys)
}

fn foreign_key(line: &str) -> Option<&str> {
    let rest = line.strip_prefix("  CONSTRAINT `")?;
    let mut letters = rest.char_indices().peekable();
    while let Some((at, letter)) = letters.next() {
        if letter == '`' && letters.next_if(|(_, next)| *next == '`').is_none() {
            let after = rest.get(at + 1..)?;
            let clause = line.trim_start();
            return after.starts_with(" FOREIGN KEY ").then(|| clause.strip_suffix(',').unwrap_or(clause));
        }
    }
    None
}

/// The definition under another name; `None` when it does not begin as the server prints it.
pub(crate) fn renamed(create: &str, from: &str, to: &str) -> Option<String> {
    let rest = create.strip_prefix(&format!("CREATE TABLE {} ", identifier(from)))?;
    Some(format!("CREATE TABLE {} {rest}", identifier(to)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CREATE: &str = "CREATE TABLE `child` (\n  `id` int(11) NOT NULL,\n  `p` int(11) DEFAULT NULL,\n  PRIMARY KEY (`id`),\n  KEY `p` (`p`),\n  CONSTRAINT `fk ``1` FOREIGN KEY (`p`) REFERENCES `parent` (`id`) ON DELETE CASCADE,\n  CONSTRAINT `c` CHECK (`id` > 0),\n  CONSTRAINT `fk2` FOREIGN KEY (`id`) REFERENCES `parent` (`id`)\n) ENGINE=InnoDB";

    #[test]
    fn foreign_keys_leave_a_definition_that_still_parses() {
        let (rest, keys) = without_foreign_keys(CREATE);
        assert_eq!(
            rest,
            "CREATE TABLE `child` (\n  `id` int(11) NOT NULL,\n  `p` int(11) DEFAULT NULL,\n  PRIMARY KEY (`id`),\n  KEY `p` (`p`),\n  CONSTRAINT `c` CHECK (`id` > 0)\n) ENGINE=InnoDB"
        );
        assert_eq!(
            keys,
            [
                "CONSTRAINT `fk ``1` FOREIGN KEY (`p`) REFERENCES `parent` (`id`) ON DELETE CASCADE",
                "CONSTRAINT `fk2` FOREIGN KEY (`id`) REFERENCES `parent` (`id`)"
            ]
        );
        assert_eq!(without_foreign_keys(&rest), (rest.clone(), vec![]));
    }

    #[test]
    fn a_definition_gets_another_name() {
        assert!(renamed(CREATE, "child", "x`y").unwrap().starts_with("CREATE TABLE `x``y` (\n"));
        assert_eq!(renamed(CREATE, "other", "x"), None);
    }
}
