//! Pages: what is set, and that nothing else changes.

use proptest::prelude::*;
use slbp::assets::html::cdn::Cdn;
use slbp::assets::html::media::Loading;
use slbp::assets::html::{Options, Stream, rewrite};

fn page(html: &str) -> String {
    String::from_utf8(rewrite(html.as_bytes(), &Options::default()).unwrap()).unwrap()
}

#[test]
fn media_below_the_first_viewport_are_lazy() {
    let image = |more: &str| format!("<img src=\"/a.png\" width=800 height=600{more}>");
    let html = format!("<p>{}<iframe src=\"/f\" width=1 height=1></iframe>", image("").repeat(4));
    let expected = [
        image(" decoding=\"async\" fetchpriority=\"high\""),
        image(" decoding=\"async\""),
        image(" decoding=\"async\""),
        image(" decoding=\"async\" loading=\"lazy\""),
    ];
    let frame = "<iframe src=\"/f\" width=1 height=1 loading=\"lazy\"></iframe>";
    assert_eq!(page(&html), format!("<p>{}{frame}", expected.concat()));
}

#[test]
fn what_is_no_element_stays() {
    for html in [
        "<script>var a = '<img src=\"/a.png\" width=1 height=1>';</script>",
        "<!-- <img src=/a.png> --><noscript><img src=/a.png></noscript>",
        "<textarea><img src=/a.png></textarea><title><img src=/a.png></title>",
        "<p>no image & no &amp; change < here <img src=/a.png",
        "",
        "plain text",
    ] {
        assert_eq!(page(html), html);
    }
}

#[test]
fn bytes_that_are_no_text_stay() {
    let html = b"<p>\xff\xfe\0<img src=\"/\xff.png\" alt=\"\xff\">";
    let page = rewrite(html, &Options::default()).unwrap();
    assert_eq!(page, b"<p>\xff\xfe\0<img src=\"/\xff.png\" alt=\"\xff\" decoding=\"async\">");
}

#[test]
fn a_page_that_cannot_be_followed_is_left_alone() {
    let ambiguous = "<select><xmp><img src=\"/a.png\"></xmp></select>";
    assert_eq!(rewrite(ambiguous.as_bytes(), &Options::default()), None);
}

#[test]
fn files_come_from_the_cdn() {
    let cdn = Cdn { site: "https://a.test".to_owned(), url: "https://cdn.test".to_owned() };
    let options = Options {
        loading: Loading { lazy: false, decoding: false, priority: false, ..Loading::default() },
        cdn: Some(cdn),
    };
    let html = "<link rel=stylesheet href=\"https://a.test/x.css?a=1&amp;b=2\"><link rel=canonical href=\"https://a.test/x.css\">\
        <script src=\"/x.js\"></script><script type=module src=\"/m.js\"></script><a href=\"/x.png\">x</a>\
        <img src='/x.png' srcset='/x.png 1x, /y.png 2x'>";
    let expected = "<link rel=stylesheet href=\"https://cdn.test/x.css?a=1&amp;b=2\"><link rel=canonical href=\"https://a.test/x.css\">\
        <script src=\"https://cdn.test/x.js\"></script><script type=module src=\"/m.js\"></script><a href=\"/x.png\">x</a>\
        <img src=\"https://cdn.test/x.png\" srcset=\"https://cdn.test/x.png 1x, https://cdn.test/y.png 2x\">";
    assert_eq!(String::from_utf8(rewrite(html.as_bytes(), &options).unwrap()).unwrap(), expected);
}

proptest! {
    #[test]
    fn any_bytes_are_answered(html in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = rewrite(&html, &Options::default());
    }

    #[test]
    fn pieces_make_the_same_page(html in page_text(), at in 0usize..200) {
        let options = Options::default();
        let mut out = Vec::new();
        let mut stream = Stream::new(&options, |piece: &[u8]| out.extend_from_slice(piece));
        let (head, tail) = html.as_bytes().split_at(at.min(html.len()));
        let done = stream.write(head) && stream.write(tail) && stream.end();
        let whole = rewrite(html.as_bytes(), &options);
        prop_assert_eq!(done, whole.is_some());
        if let Some(whole) = whole {
            prop_assert_eq!(whole, out);
        }
    }

    #[test]
    fn twice_is_as_once(html in page_text()) {
        if let Some(once) = rewrite(html.as_bytes(), &Options::default()) {
            prop_assert_eq!(rewrite(&once, &Options::default()), Some(once));
        }
    }
}

fn page_text() -> impl Strategy<Value = String> {
    let word = prop_oneof![
        Just("<img src=\"/a.png\" width=\"800\" height=\"600\">"),
        Just("<img src=a>"),
        Just("<iframe src=x width=1 height=1>"),
        Just("</iframe>"),
        Just("<main>"),
        Just("<script>"),
        Just("</script>"),
        Just("<!--"),
        Just("-->"),
        Just("text"),
        Just("<svg>"),
        Just("</svg>"),
        Just("<p>"),
        Just("<"),
        Just("\""),
        Just("<select>"),
        Just("<template>"),
        Just("é"),
    ];
    proptest::collection::vec(word, 0..16).prop_map(|words| words.concat())
}
