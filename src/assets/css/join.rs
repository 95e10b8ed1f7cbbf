//! Several stylesheets as one.
//!
//! Owns: that the cascade sees the rules in the order of the files. An `@import` counts only before
//! all other rules, and hoisting one would move its rules before those of earlier files; so where a
//! file needs to begin anew, the bundle becomes a list of imports, each of a part.

use super::minify::Sheet;

/// A member of a bundle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Member {
    /// A minified stylesheet.
    Sheet(Sheet),
    /// The URL of one that has to stay where it is.
    Elsewhere(String),
}

/// A piece of a bundle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// Text that is to be a file.
    Text(String),
    /// The URL of a file that is there already.
    Elsewhere(String),
}

/// Joins `members`: one part is the bundle itself, several are to be imported in this order.
pub fn join(members: Vec<Member>) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut open: Option<String> = None;
    for member in members {
        match member {
            Member::Elsewhere(url) => {
                parts.extend(open.take().map(Part::Text));
                parts.push(Part::Elsewhere(url));
            }
            Member::Sheet(sheet) if sheet.namespace => {
                parts.extend(open.take().map(Part::Text));
                parts.push(Part::Text(sheet.text));
            }
            Member::Sheet(sheet) if sheet.imports => {
                parts.extend(open.replace(sheet.text).map(Part::Text));
            }
            Member::Sheet(sheet) => open.get_or_insert_default().push_str(&sheet.text),
        }
    }
    parts.extend(open.map(Part::Text));
    parts
}

/// A stylesheet that imports these URLs in order.
pub fn imports(urls: &[String]) -> String {
    let mut text = String::new();
    for url in urls {
        text.push_str("@import ");
        let _ = cssparser::serialize_string(url, &mut text);
        text.push(';');
    }
    text
}

/// The text with its encoding said, where that matters: no header may contradict it then.
pub fn with_charset(text: String) -> String {
    if text.is_ascii() { text } else { format!("@charset \"UTF-8\";{text}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sheet(text: &str) -> Member {
        Member::Sheet(Sheet {
            text: text.to_owned(),
            imports: text.starts_with("@import"),
            namespace: text.starts_with("@namespace"),
        })
    }

    fn text(text: &str) -> Part {
        Part::Text(text.to_owned())
    }

    #[test]
    fn plain_files_are_one_text() {
        assert_eq!(join(vec![sheet("a{}"), sheet("b{}")]), [text("a{}b{}")]);
        assert_eq!(join(vec![sheet("@import 'x';a{}"), sheet("b{}")]), [text("@import 'x';a{}b{}")]);
        assert_eq!(join(Vec::new()), []);
    }

    #[test]
    fn an_import_further_down_begins_a_part() {
        let parts = join(vec![sheet("a{}"), sheet("@import 'x';b{}"), sheet("c{}")]);
        assert_eq!(parts, [text("a{}"), text("@import 'x';b{}c{}")]);
    }

    #[test]
    fn a_namespace_and_a_file_that_stays_are_parts_of_their_own() {
        let elsewhere = Member::Elsewhere("/x.css".to_owned());
        let parts =
            join(vec![sheet("a{}"), sheet("@namespace 'n';b{}"), sheet("c{}"), elsewhere, sheet("d{}")]);
        let expected = [
            text("a{}"),
            text("@namespace 'n';b{}"),
            text("c{}"),
            Part::Elsewhere("/x.css".to_owned()),
            text("d{}"),
        ];
        assert_eq!(parts, expected);
        assert_eq!(imports(&["a\".css".to_owned()]), "@import \"a\\\".css\";");
    }
}
