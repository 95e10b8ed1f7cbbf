//! The script minifier and isolation.

use slbp::assets::Unfit;
use slbp::assets::js::isolate::{Piece, bundle};
use slbp::assets::js::minify::minify;

fn text(source: &str) -> String {
    minify(source, false).unwrap().text
}

#[test]
fn white_space_and_comments_go_and_licences_stay() {
    assert_eq!(text("var a = 1\nvar b = 2 // x\n"), "var a=1;var b=2;");
    assert_eq!(text("/*! MIT */\nf( );"), "/*! MIT */\nf();");
    assert_eq!(text("x = a + +b; y = a - --b; z = a++ + ++b"), "x=a+ +b;y=a- --b;z=a+++ ++b;");
    assert_eq!(text("if (1) return_\n(2)"), "if(1)return_(2);");
}

#[test]
fn names_are_shortened_only_when_asked_and_only_inside() {
    let source = "function outer(argument) { var local = argument; return local + local; } var top = 1;";
    assert!(text(source).contains("argument"));
    let short = minify(source, true).unwrap().text;
    assert!(!short.contains("argument") && !short.contains("local"), "{short}");
    assert!(short.contains("outer") && short.contains("top"), "{short}");
}

#[test]
fn what_is_no_script_is_refused() {
    assert!(matches!(minify("var = ;", false), Err(Unfit::Invalid(_))));
    assert_eq!(minify("import a from 'b'; export default a;", false), Err(Unfit::Module));
    assert_eq!(minify(&"(".repeat(50_000), false), Err(Unfit::Nested));
}

#[test]
fn scripts_share_a_file_when_the_top_level_is_nothing_to_them() {
    for source in [
        "f();",
        "var a = 1;",
        "(function () { 'use strict'; f(); })();",
        "if (a) { f(); }",
        "try { f() } catch (e) {}",
    ] {
        assert!(minify(source, false).unwrap().shares, "{source}");
    }
    for source in [
        "'use strict'; f();",
        "function f() {}",
        "let a;",
        "const a = 1;",
        "class A {}",
        "async function f() {}",
    ] {
        assert!(!minify(source, false).unwrap().shares, "{source}");
    }
}

#[test]
fn a_bundle_is_a_script_however_hostile_its_parts_are() {
    let hostile = ["'\\\n\r\u{2028}\u{2029}\0</script><!--", "*/ // `${", "}", "", "\\", "'); alert(1); ('"];
    for text in hostile {
        let piece = |shares| Piece { name: "a b\n*/.js".to_owned(), text: text.to_owned(), shares };
        let alone = bundle(&[piece(false), piece(false)]);
        minify(&alone, false).unwrap_or_else(|unfit| panic!("{unfit}: {alone}"));
        assert!(!alone.contains("</script") && !alone.contains("<!--"), "{alone}");
    }
}

/// Syntax that nests without a bracket, as deep as the largest file allows, on the stack that it gets.
#[test]
fn a_file_of_one_chain_overflows_no_stack() {
    for link in ["!", "a?b:", "if(a);else ", "a=>", "`${", "if(a)"] {
        let length = 300_000 / link.len();
        let source = link.repeat(length) + "a";
        let answer = std::thread::Builder::new().stack_size(2048 << 20).spawn(move || minify(&source, true));
        let answer = answer.unwrap().join().unwrap();
        assert!(
            answer.is_ok() || length > slbp::assets::js::minify::MOST_BRACKETS || link == "`${",
            "{link}: {answer:?}"
        );
    }
}
