//! What an S3 server says, as XML.

use quick_xml::Reader;
use quick_xml::events::Event;

/// A page of a list.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Page {
    /// Keys and sizes.
    pub objects: Vec<(String, u64)>,
    /// What to ask for the next page with; `None` on the last.
    pub next: Option<String>,
}

/// The page in `body`; `None` when it is no list.
pub(super) fn page(body: &[u8]) -> Option<Page> {
    let (mut page, mut truncated) = (Page::default(), false);
    let (mut key, mut size) = (String::new(), 0);
    let mut is_list = false;
    walk(body, |path, text| match path {
        ["ListBucketResult", "Contents", "Key"] => text.clone_into(&mut key),
        ["ListBucketResult", "Contents", "Size"] => size = text.trim().parse().unwrap_or(0),
        ["ListBucketResult", "Contents"] => page.objects.push((std::mem::take(&mut key), size)),
        ["ListBucketResult", "IsTruncated"] => truncated = text.trim() == "true",
        ["ListBucketResult", "NextContinuationToken"] => page.next = Some(text.to_owned()),
        ["ListBucketResult"] => is_list = true,
        _ => {}
    })?;
    page.next = page.next.filter(|_| truncated);
    is_list.then_some(page)
}

/// The text of the first element `<root><name>`.
pub(super) fn field(body: &[u8], root: &str, name: &str) -> Option<String> {
    let mut found = None;
    walk(body, |path, text| {
        if found.is_none() && path == [root, name] {
            found = Some(text.to_owned());
        }
    })?;
    found
}

/// The code of an error, when it is one word: what else a server says does not get into our logs.
pub(super) fn error_code(body: &[u8]) -> Option<String> {
    let word = |code: &String| {
        (1..=64).contains(&code.len()) && code.bytes().all(|byte| byte.is_ascii_alphanumeric())
    };
    field(body, "Error", "Code").filter(word)
}

/// Calls `see` at the end of each element with the names that lead to it and its own text. `None` when
/// it is not XML.
fn walk(body: &[u8], mut see: impl FnMut(&[&str], &str)) -> Option<()> {
    let mut reader = Reader::from_str(std::str::from_utf8(body).ok()?);
    let mut path: Vec<String> = Vec::new();
    let mut text = String::new();
    loop {
        match reader.read_event().ok()? {
            Event::Start(start) => {
                text.clear();
                path.push(start.local_name().as_ref().to_owned());
                if path.len() > 16 {
                    return None;
                }
            }
            Event::Text(part) => text.push_str(&part.xml10_content()),
            Event::CData(part) => text.push_str(&part),
            Event::GeneralRef(reference) => match reference.resolve_char_ref().ok()? {
                Some(letter) => text.push(letter),
                None => {
                    text.push_str(quick_xml::escape::resolve_predefined_entity(&reference)?);
                }
            },
            Event::End(_) => {
                let names: Vec<&str> = path.iter().map(String::as_str).collect();
                see(&names, &text);
                path.pop();
                text.clear();
            }
            Event::Eof => return path.is_empty().then_some(()),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_page_is_read_whatever_else_is_in_it() {
        let body = br#"<?xml version="1.0"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">
            <Name>b</Name><IsTruncated>true</IsTruncated><NextContinuationToken>a&amp;&#98;==</NextContinuationToken>
            <Contents><Key>p/x/manifest.json</Key><Size>12</Size><Owner><ID>7</ID></Owner></Contents>
            <Contents><Key>p/<![CDATA[y&]]></Key><Size>no</Size></Contents></ListBucketResult>"#;
        let page = page(body).unwrap();
        assert_eq!(page.objects, [("p/x/manifest.json".to_owned(), 12), ("p/y&".to_owned(), 0)]);
        assert_eq!(page.next.as_deref(), Some("a&b=="));
    }

    #[test]
    fn an_error_is_one_word_or_nothing() {
        let error = |code: &str| error_code(format!("<Error><Code>{code}</Code></Error>").as_bytes());
        assert_eq!(error("NoSuchKey").as_deref(), Some("NoSuchKey"));
        assert_eq!(error("the secret is x"), None);
        assert_eq!(error("&lol;"), None);
        assert_eq!(error_code(b"<html>"), None);
    }

    proptest! {
        #[test]
        fn no_bytes_break_the_reader(bytes in prop::collection::vec(any::<u8>(), 0..200), cut in 0usize..400) {
            let good = b"<ListBucketResult><Contents><Key>a</Key><Size>1</Size></Contents></ListBucketResult>";
            let mut mixed = good.get(..cut.min(good.len())).unwrap().to_vec();
            mixed.extend_from_slice(&bytes);
            let _ = (page(&bytes), page(&mixed), error_code(&mixed));
        }
    }
}
