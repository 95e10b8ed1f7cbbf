//! SQL cut into tokens, as MySQL and MariaDB cut it: over bytes, whatever their encoding.
//!
//! Anything is accepted. A quote or a comment that is never closed reaches to the end of the text, and
//! a byte that belongs nowhere is an operator. Double quotes are text, as in the SQL mode that WordPress
//! sets. Comments are passed over, except those that the server executes (`/*!`, `/*M!`, `/*+`): their
//! insides are cut like everything else.

/// A piece of SQL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Token<'s> {
    /// A keyword, a name without quotes, or a variable.
    Word(&'s [u8]),
    /// A name in backticks, without them.
    Quoted(&'s [u8]),
    /// A number or a text, as written.
    Literal(&'s [u8]),
    /// `?` or `:name`.
    Parameter,
    Open,
    Close,
    Comma,
    Dot,
    /// `/*!40101`, `/*M!` or `/*+`.
    HintOpen(&'s [u8]),
    /// The `*/` of such a comment.
    HintClose,
    Operator(&'s [u8]),
}

/// Where in a text the next token begins. Copying it marks a place to come back to.
#[derive(Clone, Copy)]
pub(super) struct Lexer<'s> {
    rest: &'s [u8],
    in_hint: bool,
    /// Whether the last token was a name, so that a dot belongs to it and is not a number's.
    after_name: bool,
    after_dot: bool,
}

impl<'s> Lexer<'s> {
    pub fn new(sql: &'s [u8]) -> Self {
        Self { rest: sql, in_hint: false, after_name: false, after_dot: false }
    }

    /// What has not been read yet.
    pub fn rest(&self) -> &'s [u8] {
        self.rest
    }

    /// Passes over what is in a parenthesis that was just opened, and its end; `see` gets each token
    /// between.
    pub fn pass_group(&mut self, mut see: impl FnMut(Token<'s>)) {
        let mut depth = 1_u32;
        while depth > 0 {
            match self.next() {
                Some(Token::Open) => depth += 1,
                Some(Token::Close) => depth -= 1,
                Some(token) => see(token),
                None => break,
            }
        }
    }

    fn byte(&self, at: usize) -> u8 {
        self.rest.get(at).copied().unwrap_or(0)
    }

    /// Takes the next `len` bytes.
    fn take(&mut self, len: usize) -> &'s [u8] {
        let (taken, rest) = self.rest.split_at_checked(len).unwrap_or((self.rest, &[]));
        self.rest = rest;
        taken
    }

    fn take_while(&mut self, wanted: impl Fn(u8) -> bool) -> &'s [u8] {
        let len = self.rest.iter().position(|byte| !wanted(*byte)).unwrap_or(self.rest.len());
        self.take(len)
    }

    /// Passes over white space and comments.
    fn skip_blank(&mut self) {
        loop {
            let len = self.rest.iter().position(|byte| !is_space(*byte)).unwrap_or(self.rest.len());
            self.take(len);
            match (self.byte(0), self.byte(1), self.byte(2)) {
                (b'#', ..) => self.skip_line(),
                (b'-', b'-', third) if is_space(third) || self.rest.len() == 2 => self.skip_line(),
                (b'/', b'*', b'!' | b'+') => return,
                (b'/', b'*', b'M') if self.byte(3) == b'!' => return,
                (b'/', b'*', _) => self.skip_comment(),
                _ => return,
            }
        }
    }

    fn skip_line(&mut self) {
        let len = self.rest.iter().position(|byte| *byte == b'\n').unwrap_or(self.rest.len());
        self.take(len);
    }

    fn skip_comment(&mut self) {
        self.take(2);
        let len = self.rest.windows(2).position(|pair| pair == b"*/").map_or(self.rest.len(), |at| at + 2);
        self.take(len);
    }

    /// A text in `quote`, in which a doubled quote and a backslash before one do not end it.
    fn text(&mut self, prefix: usize, quote: u8) -> &'s [u8] {
        let mut at = prefix + 1;
        loop {
            let next =
                self.rest.get(at..).and_then(|rest| rest.iter().position(|b| *b == quote || *b == b'\\'));
            let Some(found) = next else { return self.take(self.rest.len()) };
            at += found;
            match (self.byte(at), self.byte(at + 1)) {
                (b'\\', _) => at += 2,
                (_, next) if next == quote => at += 2,
                _ => return self.take(at + 1),
            }
        }
    }

    /// A name in backticks, in which a doubled one does not end it.
    fn quoted(&mut self) -> &'s [u8] {
        self.take(1);
        let mut at = 0;
        loop {
            let next = self.rest.get(at..).and_then(|rest| rest.iter().position(|byte| *byte == b'`'));
            let Some(found) = next else { return self.take(self.rest.len()) };
            at += found;
            if self.byte(at + 1) == b'`' {
                at += 2;
                continue;
            }
            let name = self.take(at);
            self.take(1);
            return name;
        }
    }

    /// A number, or a name that begins like one.
    fn number(&mut self) -> Token<'s> {
        let digits = self.rest.iter().position(|byte| !is_name(*byte)).unwrap_or(self.rest.len());
        let head = self.rest.get(..digits).unwrap_or_default();
        let is_hex = matches!(head, [b'0', b'x', digits @ ..] if !digits.is_empty() && digits.iter().all(u8::is_ascii_hexdigit));
        let is_bits = matches!(head, [b'0', b'b', bits @ ..] if !bits.is_empty() && bits.iter().all(|bit| matches!(bit, b'0' | b'1')));
        if is_hex || is_bits {
            return Token::Literal(self.take(digits));
        }
        let len = self.decimal_len();
        if digits > len {
            return self.name();
        }
        Token::Literal(self.take(len))
    }

    /// Bytes of the decimal number at the front: digits, a fraction, an exponent.
    fn decimal_len(&self) -> usize {
        let digits = |from: usize| {
            self.rest
                .get(from..)
                .map_or(0, |rest| rest.iter().take_while(|byte| byte.is_ascii_digit()).count())
        };
        let mut len = digits(0);
        if self.byte(len) == b'.' {
            len += 1 + digits(len + 1);
        }
        if matches!(self.byte(len), b'e' | b'E') {
            let sign = usize::from(matches!(self.byte(len + 1), b'+' | b'-'));
            let exponent = digits(len + 1 + sign);
            if exponent > 0 {
                len += 1 + sign + exponent;
            }
        }
        len
    }

    fn name(&mut self) -> Token<'s> {
        Token::Word(self.take_while(is_name))
    }

    /// A word, or the text that a letter or a character set before its quote belongs to.
    fn word(&mut self) -> Token<'s> {
        let len = self.rest.iter().position(|byte| !is_name(*byte)).unwrap_or(self.rest.len());
        let quote = self.byte(len);
        let is_prefix = match self.byte(0) {
            b'x' | b'X' | b'b' | b'B' | b'n' | b'N' => len == 1,
            b'_' => true,
            _ => false,
        };
        if is_prefix && matches!(quote, b'\'' | b'"') {
            return Token::Literal(self.text(len, quote));
        }
        self.name()
    }

    /// `@name`, `@@name` or `@'name'`.
    fn variable(&mut self) -> Token<'s> {
        let signs = 1 + usize::from(self.byte(1) == b'@');
        match self.byte(signs) {
            quote @ (b'\'' | b'"' | b'`') => Token::Word(self.text(signs, quote)),
            _ => {
                let len = self.rest.iter().skip(signs).take_while(|byte| is_name(**byte)).count();
                Token::Word(self.take(signs + len))
            }
        }
    }

    fn hint_open(&mut self) -> Token<'s> {
        self.in_hint = true;
        let sign = if self.byte(2) == b'M' { 4 } else { 3 };
        let version = self.rest.iter().skip(sign).take_while(|byte| byte.is_ascii_digit()).count();
        Token::HintOpen(self.take(sign + version))
    }

    fn operator(&mut self) -> Token<'s> {
        let pair = [self.byte(0), self.byte(1)];
        let len = match &pair {
            b"<=" if self.byte(2) == b'>' => 3,
            b"->" if self.byte(2) == b'>' => 3,
            b"<=" | b">=" | b"<>" | b"!=" | b":=" | b"||" | b"&&" | b"<<" | b">>" | b"->" => 2,
            _ => 1,
        };
        Token::Operator(self.take(len))
    }

    fn read(&mut self) -> Option<Token<'s>> {
        let (first, second) = (*self.rest.first()?, self.byte(1));
        let name_follows = self.after_dot;
        Some(match first {
            b'(' => self.single(Token::Open),
            b')' => self.single(Token::Close),
            b',' => self.single(Token::Comma),
            b'.' if self.after_name || !second.is_ascii_digit() => self.single(Token::Dot),
            b'?' => self.single(Token::Parameter),
            b':' if second.is_ascii_alphabetic() || second == b'_' => {
                self.take(1);
                self.take_while(is_name);
                Token::Parameter
            }
            b'\'' | b'"' => Token::Literal(self.text(0, first)),
            b'`' => Token::Quoted(self.quoted()),
            b'@' => self.variable(),
            b'/' if second == b'*' => self.hint_open(),
            b'*' if second == b'/' && self.in_hint => {
                self.in_hint = false;
                self.take(2);
                Token::HintClose
            }
            _ if name_follows && is_name(first) => self.name(),
            b'0'..=b'9' | b'.' => self.number(),
            _ if is_name(first) => self.word(),
            _ => self.operator(),
        })
    }

    fn single(&mut self, token: Token<'s>) -> Token<'s> {
        self.take(1);
        token
    }
}

impl<'s> Iterator for Lexer<'s> {
    type Item = Token<'s>;

    #[inline]
    fn next(&mut self) -> Option<Token<'s>> {
        self.skip_blank();
        let token = self.read()?;
        self.after_name = matches!(token, Token::Word(_) | Token::Quoted(_));
        self.after_dot = matches!(token, Token::Dot);
        Some(token)
    }
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c | 0)
}

/// What a name may consist of; every byte above ASCII, so that no encoding is taken apart.
fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$' | 0x80..)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn cut(sql: &str) -> Vec<Token<'_>> {
        Lexer::new(sql.as_bytes()).collect()
    }

    #[test]
    fn every_notation_of_a_literal_is_one_token() {
        for literal in [
            "1",
            "1.5",
            ".5",
            "1e10",
            "1.5e-3",
            "0xFF",
            "0b01",
            "'a'",
            "''",
            "'it''s'",
            r"'it\'s'",
            r"'\\'",
            r#""a""#,
            r#""a""b""#,
            "x'4D'",
            "b'01'",
            "N'a'",
            "_utf8mb4'a'",
            "'a--b'",
            "'/* a */'",
            "'a",
            r"'a\",
            "\"a",
        ] {
            assert_eq!(cut(literal), [Token::Literal(literal.as_bytes())], "{literal}");
        }
    }

    #[test]
    fn digits_in_names_and_names_of_digits_stay_names() {
        for name in ["wp_2_posts", "2fa_tokens", "t1", "1e", "0xZ", "0b2", "größe", "a$b"] {
            assert_eq!(cut(name), [Token::Word(name.as_bytes())], "{name}");
        }
        assert_eq!(cut("t.1e5"), [Token::Word(b"t"), Token::Dot, Token::Word(b"1e5")]);
        assert_eq!(cut("`t`.5"), [Token::Quoted(b"t"), Token::Dot, Token::Word(b"5")]);
        assert_eq!(cut("`a``b`"), [Token::Quoted(b"a``b")]);
    }

    #[test]
    fn comments_are_passed_over_unless_the_server_executes_them() {
        assert_eq!(cut("a -- b\n# c\n/* d */ e --"), [Token::Word(b"a"), Token::Word(b"e")]);
        assert_eq!(cut("/* never closed"), []);
        // Two signs, and no comment, because nothing blank follows.
        assert_eq!(cut("1--1").len(), 4);
        let hint = cut("/*!40101 SET x */ /*+ NO_ICP(t) */ /*M! y */");
        assert_eq!(hint.first(), Some(&Token::HintOpen(b"/*!40101")));
        assert_eq!(hint.iter().filter(|token| **token == Token::HintClose).count(), 3);
    }

    proptest! {
        #[test]
        fn any_bytes_are_cut_to_their_end(sql: Vec<u8>) {
            let mut lexer = Lexer::new(&sql);
            let mut before = lexer.rest().len();
            while lexer.next().is_some() {
                prop_assert!(lexer.rest().len() < before, "a token of no bytes");
                before = lexer.rest().len();
            }
            prop_assert!(lexer.rest().is_empty());
        }

        #[test]
        fn what_looks_like_sql_is_cut_to_its_end(sql in r#"[-'"`\\/*!+#(),.?:@0-9a-ex \n]{0,60}"#) {
            prop_assert!(Lexer::new(sql.as_bytes()).count() <= sql.len());
        }
    }
}
