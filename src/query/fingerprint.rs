//! The shape of a statement: what stays when its values are taken out.
//!
//! One walk over the tokens serves both uses: hashing every statement ([`scan`], which allocates
//! nothing), and writing a shape out once, when it is new ([`text`]). The output follows the grammar of
//! pt-query-digest: values become `?`, lists of them `(?+)`, further rows of a bulk insert and `ASC` go,
//! comments go unless the server executes them. On purpose unlike it: digits in names stay (`wp_2_posts`
//! is another table than `wp_3_posts`), keywords are folded and names are not, because table names differ
//! by case, and `IS NULL` stays, because it is no value.

use super::keywords::{self, Keyword};
use super::mix::Mix;
use super::token::{Lexer, Token};

/// No more of a statement is looked at: what follows in a longer one is rows of values.
const MOST_READ: usize = 64 << 10;

/// No more of a shape is written out.
pub const LONGEST_TEXT: usize = 1000;

/// What tells statements apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Scan {
    /// The hash of the shape.
    pub fingerprint: u64,
    /// The hash of the values.
    pub literals: u64,
}

impl Scan {
    /// The same statement executed with these bound values.
    #[must_use]
    pub fn bound_to<'v>(self, values: impl IntoIterator<Item = &'v [u8]>) -> Self {
        let mut mix = Mix::new();
        mix.word(self.literals);
        values.into_iter().for_each(|value| mix.add(value));
        Self { literals: mix.finish(), ..self }
    }
}

/// Hashes a statement.
pub fn scan(sql: &[u8]) -> Scan {
    let mut walk = Walk::new(sql, Hashing(Mix::new()));
    walk.run();
    Scan { fingerprint: walk.sink.0.finish(), literals: walk.literals.finish() }
}

/// The shape of a statement in words, cut after [`LONGEST_TEXT`] bytes. Bytes of names that are not
/// UTF-8 are replaced.
pub fn text(sql: &[u8]) -> String {
    let mut walk = Walk::new(sql, Writing { text: Vec::new(), last: Piece::Open, is_full: false });
    walk.run();
    let mut text = String::from_utf8_lossy(&walk.sink.text).into_owned();
    if walk.sink.is_full {
        text.push('…');
    }
    text
}

/// What a piece of a shape is, as far as the space around it goes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Piece {
    /// A name, or a keyword that is a function: its parenthesis follows at once.
    Name,
    Apart,
    Open,
    Close,
    Comma,
    Dot,
    /// The end of a name that was put together.
    Tail,
}

trait Sink {
    fn piece(&mut self, kind: Piece, text: &[u8]);
}

struct Hashing(Mix);

impl Sink for Hashing {
    #[inline]
    fn piece(&mut self, _kind: Piece, text: &[u8]) {
        self.0.add(text);
    }
}

struct Writing {
    text: Vec<u8>,
    last: Piece,
    is_full: bool,
}

impl Sink for Writing {
    fn piece(&mut self, kind: Piece, text: &[u8]) {
        if self.is_full {
            return;
        }
        let joined = matches!(self.last, Piece::Open | Piece::Dot)
            || matches!(kind, Piece::Close | Piece::Comma | Piece::Dot | Piece::Tail)
            || (kind == Piece::Open && matches!(self.last, Piece::Name | Piece::Tail));
        let needed = text.len() + usize::from(!joined);
        if self.text.len() + needed > LONGEST_TEXT {
            self.is_full = true;
            return;
        }
        if !joined {
            self.text.push(b' ');
        }
        self.text.extend_from_slice(text);
        self.last = kind;
    }
}

/// What the walk has to know of the token before.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Before {
    /// A value, a name or a closing parenthesis: a sign behind it is an operator.
    Operand,
    /// `IS` or `NOT`: a NULL behind it is no value.
    Is,
    Other,
}

struct Walk<'s, S> {
    lexer: Lexer<'s>,
    sink: S,
    literals: Mix,
    before: Before,
    /// Open parentheses in the first row of a `VALUES` list.
    row_depth: u32,
    in_rows: bool,
}

impl<'s, S: Sink> Walk<'s, S> {
    fn new(sql: &'s [u8], sink: S) -> Self {
        let sql = sql.get(..MOST_READ).unwrap_or(sql);
        Self {
            lexer: Lexer::new(sql),
            sink,
            literals: Mix::new(),
            before: Before::Other,
            row_depth: 0,
            in_rows: false,
        }
    }

    fn run(&mut self) {
        while let Some(token) = self.lexer.next() {
            self.take(token);
        }
    }

    fn take(&mut self, token: Token<'s>) {
        match token {
            Token::Word(word) => match keywords::find(word) {
                Some(keyword) => self.keyword(keyword),
                None => self.put(Piece::Name, word, Before::Operand),
            },
            Token::Quoted(name) => self.quoted(name),
            Token::Literal(literal) => self.value(literal),
            Token::Parameter => self.value(b"?"),
            Token::Open => self.open(),
            Token::Close => self.close(),
            Token::Comma => self.put(Piece::Comma, b",", Before::Other),
            Token::Dot => self.put(Piece::Dot, b".", Before::Other),
            Token::HintOpen(sign) => self.put(Piece::Apart, sign, Before::Other),
            Token::HintClose => self.put(Piece::Apart, b"*/", Before::Other),
            Token::Operator(b"-" | b"+") if self.is_sign() => {}
            // What ends a statement is no part of it.
            Token::Operator(b";") if self.lexer.rest().iter().all(u8::is_ascii_whitespace) => {}
            Token::Operator(operator) => self.put(Piece::Apart, operator, Before::Other),
        }
    }

    #[inline]
    fn put(&mut self, kind: Piece, text: &[u8], before: Before) {
        self.sink.piece(kind, text);
        self.before = before;
    }

    fn value(&mut self, literal: &[u8]) {
        self.literals.add(literal);
        self.put(Piece::Apart, b"?", Before::Operand);
    }

    fn keyword(&mut self, keyword: Keyword) {
        match keyword.text {
            "ASC" => return,
            "TRUE" | "FALSE" => return self.value(keyword.text.as_bytes()),
            "NULL" if self.before != Before::Is => return self.value(b"NULL"),
            _ => {}
        }
        let kind = if keyword.is_function { Piece::Name } else { Piece::Apart };
        let before = if matches!(keyword.text, "IS" | "NOT") { Before::Is } else { Before::Other };
        self.put(kind, keyword.text.as_bytes(), before);
        match keyword.text {
            "IN" => _ = self.list(),
            "VALUES" | "VALUE" if !self.in_rows => self.rows(),
            "LIMIT" => self.limit(),
            _ => {}
        }
    }

    /// A name in backticks. They go where the name is the same without them.
    fn quoted(&mut self, name: &[u8]) {
        let is_plain = name.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$'))
            && name.iter().any(|byte| !byte.is_ascii_digit())
            && keywords::find(name).is_none();
        if is_plain {
            return self.put(Piece::Name, name, Before::Operand);
        }
        self.sink.piece(Piece::Apart, b"`");
        self.sink.piece(Piece::Dot, name);
        self.put(Piece::Tail, b"`", Before::Operand);
    }

    /// Whether a sign belongs to the number behind it.
    fn is_sign(&self) -> bool {
        let mut ahead = self.lexer;
        self.before != Before::Operand && matches!(ahead.next(), Some(Token::Literal(_)))
    }

    /// Writes `(?+)` for a parenthesis with nothing but values in it; false, and nothing done, for
    /// any other. A list of lists is one too.
    fn list(&mut self) -> bool {
        let (mut ahead, mut literals, mut depth) = (self.lexer, self.literals, 0_u32);
        loop {
            match ahead.next() {
                Some(Token::Open) => depth += 1,
                Some(Token::Close) if depth == 1 => break,
                Some(Token::Close) if depth > 1 => depth -= 1,
                _ if depth == 0 => return false,
                Some(Token::Literal(literal)) => literals.add(literal),
                Some(Token::Parameter | Token::Comma | Token::Operator(b"-" | b"+")) => {}
                Some(Token::Word(word)) if word.eq_ignore_ascii_case(b"NULL") => literals.add(b"NULL"),
                // Cut off: the rest of it would have been values too.
                None => break,
                _ => return false,
            }
        }
        (self.lexer, self.literals) = (ahead, literals);
        self.sink.piece(Piece::Open, b"(");
        self.sink.piece(Piece::Apart, b"?+");
        self.put(Piece::Close, b")", Before::Operand);
        true
    }

    /// The rows behind `VALUES`: the first is written, the others are like it.
    fn rows(&mut self) {
        let mut ahead = self.lexer;
        if ahead.next() != Some(Token::Open) {
            return;
        }
        if self.list() {
            self.skip_rows();
        } else {
            (self.in_rows, self.row_depth) = (true, 0);
        }
    }

    fn open(&mut self) {
        self.put(Piece::Open, b"(", Before::Other);
        self.row_depth = self.row_depth.saturating_add(u32::from(self.in_rows));
    }

    fn close(&mut self) {
        self.put(Piece::Close, b")", Before::Operand);
        if self.in_rows {
            self.row_depth = self.row_depth.saturating_sub(1);
            if self.row_depth == 0 {
                self.in_rows = false;
                self.skip_rows();
            }
        }
    }

    fn skip_rows(&mut self) {
        loop {
            let mut ahead = self.lexer;
            if ahead.next() != Some(Token::Comma) || ahead.next() != Some(Token::Open) {
                return;
            }
            ahead.pass_group(|token| {
                if let Token::Literal(literal) = token {
                    self.literals.add(literal);
                }
            });
            self.lexer = ahead;
        }
    }

    /// `LIMIT ?, ?` and `LIMIT ? OFFSET ?` are `LIMIT ?`.
    fn limit(&mut self) {
        let mut ahead = self.lexer;
        let Some(first) = number(ahead.next()) else { return };
        self.lexer = ahead;
        self.value(first);
        while ahead.next().is_some_and(leads_on)
            && let Some(more) = number(ahead.next())
        {
            self.literals.add(more);
            self.lexer = ahead;
        }
    }
}

/// Whether another number of a LIMIT follows.
fn leads_on(token: Token<'_>) -> bool {
    match token {
        Token::Comma => true,
        Token::Word(word) => word.eq_ignore_ascii_case(b"OFFSET"),
        _ => false,
    }
}

fn number(token: Option<Token<'_>>) -> Option<&[u8]> {
    match token? {
        Token::Literal(literal) => Some(literal),
        Token::Parameter => Some(b"?"),
        Token::Word(word)
            if ["NULL", "TRUE", "FALSE"].iter().any(|value| word.eq_ignore_ascii_case(value.as_bytes())) =>
        {
            Some(word)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests;
