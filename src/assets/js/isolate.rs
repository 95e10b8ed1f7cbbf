//! Several scripts in one file, each as alone as in its own.
//!
//! Owns: that what one script throws does not stop the next, that `'use strict'` ends with its script,
//! and that what a script declares at its top level is global. Joining texts loses all three.
//!
//! Scripts that depend on nothing of it run in a `try` block. The others are given to the browser as the
//! text of a `<script>` element, which is the only way to get the top level of a script: a block or a
//! function would keep `let`, `const` and functions to itself, and hoisting functions out of it would
//! let a later script replace those of an earlier one before that ran. Such an element is inline script to
//! a Content-Security-Policy; the bundle hands its nonce on.

use std::fmt::Write;

/// A script of a bundle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// What error messages and developer tools call it.
    pub name: String,
    /// Its text.
    pub text: String,
    /// It may run in a `try` block (see [`super::minify::Script::shares`]).
    pub shares: bool,
}

/// Reports what a script threw as a browser does for a script of its own, and goes on.
const CATCH: &str = "catch(e){typeof reportError==\"function\"?reportError(e):typeof setTimeout==\"function\"&&setTimeout(function(){throw e})}";

/// Runs texts one after the other, each at the top level; where there is no document, by `eval`.
const RUN: [&str; 2] = [
    "(function(r){",
    "})(function(t){var d=typeof document==\"object\"&&document,c,s;if(d&&d.createElement){\
     c=d.currentScript;s=d.createElement(\"script\");if(c&&c.nonce)s.nonce=c.nonce;s.text=t;\
     (d.head||d.documentElement).appendChild(s);s.parentNode&&s.parentNode.removeChild(s)}\
     else try{(0,eval)(t)}",
];

/// One file that runs `pieces` in order.
pub fn bundle(pieces: &[Piece]) -> String {
    let mut text = String::new();
    for group in pieces.chunk_by(|a, b| !a.shares && !b.shares) {
        match group {
            // The line break ends a comment in the last line.
            [piece] if piece.shares => text.extend(["try{", &piece.text, "\n}", CATCH, ";\n"]),
            alone => {
                text.push_str(RUN[0]);
                alone.iter().for_each(|piece| {
                    let source = format!("{}\n//# sourceURL={}", piece.text, plain(&piece.name));
                    let _ = write!(text, "r({});", quoted(&source));
                });
                text.extend([RUN[1], CATCH, "});\n"]);
            }
        }
    }
    text
}

/// A name without what would end the comment it stands in.
fn plain(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_graphic() && !matches!(c, '\'' | '"') { c } else { '_' }).collect()
}

/// `text` as a string literal.
fn quoted(text: &str) -> String {
    let mut literal = String::with_capacity(text.len() + text.len() / 16 + 2);
    literal.push('\'');
    let mut before = '\0';
    for c in text.chars() {
        match c {
            '\'' => literal.push_str("\\'"),
            '\\' => literal.push_str("\\\\"),
            '\n' => literal.push_str("\\n"),
            '\r' => literal.push_str("\\r"),
            '\0' => literal.push_str("\\x00"),
            '\u{2028}' => literal.push_str("\\u2028"),
            '\u{2029}' => literal.push_str("\\u2029"),
            // Neither `</script` nor `<!--` may stand in a file that somebody may print into a page.
            '/' | '!' if before == '<' => literal.extend(['\\', c]),
            _ => literal.push(c),
        }
        before = c;
    }
    literal.push('\'');
    literal
}
