//! The stylesheet minifier: what it drops, and that browsers see nothing of it.

use cssparser::{Parser, ParserInput, ToCss, Token};
use proptest::prelude::*;
use slbp::assets::Unfit;
use slbp::assets::css::minify::minify;

fn text(source: &str) -> String {
    minify(source, &|_| None).unwrap().text
}

fn rebased(source: &str) -> String {
    minify(source, &|url| Some(format!("/new/{url}"))).unwrap().text
}

#[track_caller]
fn same(source: &str) {
    assert_eq!(text(source), source);
}

#[test]
fn white_space_without_meaning_goes() {
    assert_eq!(
        text("a {\n  color : red ;\n  margin: 0 auto;\n}\n\nb , c > d{}"),
        "a{color:red;margin:0 auto}b,c>d{}"
    );
    assert_eq!(
        text("@media screen and ( min-width : 640px ) { a { b: c } }"),
        "@media screen and (min-width :640px){a{b:c}}"
    );
    assert_eq!(text("a { color: rgba( 0 , 0 , 0 , .5 ) !important; }"), "a{color:rgba(0,0,0,.5)!important}");
    assert_eq!(text("@import url( \"a.css\" ) screen;\na { }"), "@import url(\"a.css\") screen;a{}");
    assert_eq!(text("a{;b:c;;d:e;;}"), "a{b:c;d:e}");
}

#[test]
fn white_space_with_meaning_stays() {
    for source in [
        "a :hover{b:c}",
        ".a:not(.b) *{b:c}",
        ".m ::selection{b:c}",
        "@supports (a:b) and (c:d){e{f:g}}",
        "a{b:calc(-1px + 2px)}",
        "a{b:calc(1px*(2 + 3))}",
        "a{font:12px / 1.5 b}",
        "a{b:c d e}",
        "a{--x: }",
        "a{--x:{ a : b }}",
        "a{grid-template-areas:\"a b\" \"c d\"}",
        "li:nth-child(2n + 1){b:c}",
        "@media (a) and (b){c{d:e}}",
        "@container x (width > 1px){a{b:c}}",
        "a{b:var(--x,)}",
        "h1 :where(.a){b:c}",
    ] {
        same(source);
    }
}

#[test]
fn hacks_and_new_syntax_stay() {
    for source in [
        "a{*zoom:1;_height:1px;color:red\\9}",
        "a{filter:progid:DXImageTransform.Microsoft.gradient(startColorstr='#80000000',endColorstr='#80000000')}",
        "@layer a,b;@layer a{b{c:d}}",
        "a{&:hover{b:c}.d &{e:f}>g{h:i}}",
        "@property --x{syntax:'<length>';inherits:false;initial-value:0px}",
        "a{width:calc(100% - (2 * var(--x)))}",
        "@font-face{font-family:x;unicode-range:U+26,U+0-7F}",
        "a{b:\"\\201C\"}",
        ".\\31 0{b:c}",
        "a{background:url(data:image/svg+xml;base64,AA==)}",
    ] {
        same(source);
    }
}

#[test]
fn comments_go_but_not_what_they_keep_apart() {
    assert_eq!(text("/* x */a/* y */{b/**/:/**/c/* z */}"), "a{b:c}");
    assert_eq!(text("a{b:c/**/d}"), "a{b:c/**/d}");
    assert_eq!(text("a{b:c /* x */ d}"), "a{b:c d}");
    assert_eq!(text("a/**/b{c:d}"), "a/**/b{c:d}");
    assert_eq!(text("/*! MIT */ a{b:c} /* @license X */"), "/*! MIT */a{b:c}/* @license X */");
    assert_eq!(text("a{/*! in */b:c;/*! end */}"), "a{/*! in */b:c;/*! end */}");
    assert_eq!(text("a /*! x */ b{c:d}"), "a /*! x */ b{c:d}");
}

#[test]
fn what_the_file_cuts_off_is_closed() {
    assert_eq!(text("a{b:c"), "a{b:c}");
    assert_eq!(text("@media x{a{b:c"), "@media x{a{b:c}}");
    assert_eq!(text("a{b:url(x"), "a{b:url(x)}");
    assert_eq!(text("a{b:\"x"), "a{b:\"x\"}");
    assert_eq!(text("a{b:f(x"), "a{b:f(x)}");
    assert_eq!(text("a{b:c}/* open"), "a{b:c}");
    assert_eq!(text("a{b:c}/*! open"), "a{b:c}/*! open*/");
    assert_eq!(text("@import 'x'"), "@import \"x\";");
    // What begins no rule of its own must not become part of the next file's first.
    assert_eq!(text("a{b:c}} d"), "a{b:c}");
    assert_eq!(text("a{b:c}\n@"), "a{b:c}");
}

#[test]
fn a_string_that_a_line_break_ends_still_ends() {
    assert_eq!(text("a{b:\"x\n;c:d}"), "a{b:\"x\n;c:d}");
    assert_eq!(text("a{b:\"x\n}"), "a{b:\"x\n}");
    let sheet = text("a{b:\"x\n ;c:d}");
    assert_eq!(tokens(&sheet), tokens("a{b:\"x\n ;c:d}"));
}

#[test]
fn urls_are_rebased_where_they_name_something() {
    assert_eq!(rebased("a{b:url(x.png)}"), "a{b:url(/new/x.png)}");
    assert_eq!(rebased("a{b:url( 'x y.png' )}"), "a{b:url(\"/new/x y.png\")}");
    assert_eq!(
        rebased("@import 'x.css';@import url(y.css);"),
        "@import \"/new/x.css\";@import url(/new/y.css);"
    );
    assert_eq!(
        rebased("a{b:image-set('x.png' 1x,url(y.png) 2x type('image/png'))}"),
        "a{b:image-set(\"/new/x.png\" 1x,url(/new/y.png) 2x type('image/png'))}"
    );
    assert_eq!(rebased("a{--x:url(x.png)}"), "a{--x:url(/new/x.png)}");
    assert_eq!(
        rebased("@namespace url(http://x);a{content:'x.png'}"),
        "@namespace url(http://x);a{content:'x.png'}"
    );
    assert_eq!(rebased("@namespace svg 'x';"), "@namespace svg 'x';");
}

#[test]
fn what_a_bundle_must_know_is_told() {
    let sheet = |source: &str| minify(source, &|_| None).unwrap();
    assert_eq!(sheet("@charset 'utf-8';a{b:c}").text, "a{b:c}");
    assert!(sheet("@charset 'x';@layer a;@import 'x';").imports);
    assert!(!sheet("a{}@import 'x';").imports);
    assert!(sheet("@namespace 'x';").namespace);
}

#[test]
fn nesting_is_limited() {
    for open in ["a{", "a{b:f(", "@media x{", "(", "["] {
        let deep = open.repeat(100_000);
        assert_eq!(minify(&deep, &|_| None).unwrap_err(), Unfit::Nested, "{open}");
    }
    assert!(minify(&"a{".repeat(150), &|_| None).is_ok());
}

#[test]
fn large_flat_files_take_linear_time() {
    let started = std::time::Instant::now();
    text(&"a{b:c(d)}".repeat(100_000));
    text(&format!("a{{{}}}", "b:c(d);".repeat(100_000)));
    text(&format!("a{{b:{}}}", "c(d) ".repeat(100_000)));
    text(&"a ".repeat(400_000));
    assert!(started.elapsed().as_secs() < 60, "{:?}", started.elapsed());
}

/// The tokens of a sheet that a browser acts on, white space that only separates left out.
pub fn tokens(source: &str) -> Vec<String> {
    let mut input = ParserInput::new(source);
    let mut parser = Parser::new(&mut input);
    let mut found = Vec::new();
    collect(&mut parser, &mut found);
    // A semicolon that ends nothing, or that the end of its block stands for, says nothing.
    let mut kept: Vec<String> = Vec::new();
    for token in found {
        while token == "}" && kept.last().is_some_and(|last| last == ";") {
            kept.pop();
        }
        if token != ";" || kept.last().is_some_and(|last| !matches!(&**last, "{" | "}" | ";")) {
            kept.push(token);
        }
    }
    kept
}

fn collect(parser: &mut Parser<'_, '_>, found: &mut Vec<String>) {
    while let Ok(token) = parser.next_including_whitespace_and_comments() {
        let token = token.clone();
        match &token {
            Token::Comment(_) | Token::WhiteSpace(_) => continue,
            _ => found.push(token.to_css_string()),
        }
        let close = match token {
            Token::Function(_) | Token::ParenthesisBlock => ")",
            Token::SquareBracketBlock => "]",
            Token::CurlyBracketBlock => "}",
            _ => continue,
        };
        let _ = parser.parse_nested_block(|inner| {
            collect(inner, found);
            Ok::<(), cssparser::ParseError<'_, ()>>(())
        });
        found.push(close.to_owned());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn any_text_is_answered_and_answered_alike_again(source in ".{0,200}") {
        let once = text(&source);
        prop_assert_eq!(text(&once), once);
    }

    #[test]
    fn tokens_stay_as_they_are(source in css()) {
        let sheet = format!("a{{{source}}}");
        let minified = text(&sheet);
        prop_assert_eq!(tokens(&minified), tokens(&sheet), "{}", minified);
        let again = text(&minified);
        prop_assert_eq!(again, minified);
    }

    #[test]
    fn nothing_leaks_into_what_follows(source in "[ab(){}\\[\\];:@\"'\\\\/*u rl\n]{0,40}") {
        let sheet = text(&source);
        let joined = tokens(&format!("{sheet}end{{}}"));
        let tail = ["end", "{", "}"].map(str::to_owned);
        prop_assert!(joined.ends_with(&tail), "{:?} of {:?}", joined, sheet);
        let before = tokens(&sheet);
        prop_assert_eq!(&joined[..joined.len() - 3], before.as_slice(), "{}", sheet);
    }
}

/// Statements of a block, put together from what stylesheets are made of.
fn css() -> impl Strategy<Value = String> {
    let word = prop_oneof![
        Just("a"),
        Just(" "),
        Just("\n"),
        Just("/* x */"),
        Just(":"),
        Just(";"),
        Just(","),
        Just(">"),
        Just("+"),
        Just("~"),
        Just("--x"),
        Just("1px"),
        Just("-1"),
        Just("+1"),
        Just(".5"),
        Just("#f00"),
        Just("@media "),
        Just("!important"),
        Just("(a)"),
        Just("f( a , b )"),
        Just("{ c : d ; }"),
        Just("[ e ]"),
        Just("'s'"),
        Just("url(u)"),
        Just("*"),
        Just("&"),
        Just("."),
        Just("/"),
        Just("%"),
        Just("/*! k */"),
    ];
    proptest::collection::vec(word, 0..24).prop_map(|words| words.concat())
}
