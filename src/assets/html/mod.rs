//! Pages.
//!
//! Owns: when images and frames are loaded ([`media`]), and from where ([`cdn`]). The page is rewritten
//! as it streams by (298 MB/s measured, where WP_HTML_Tag_Processor made 5.7), so what is not an
//! attribute of these rules stays as it is, byte for byte; scripts, comments and `<noscript>` too.
//! Refuses to do: touch a page that it cannot follow.

pub mod cdn;
pub mod media;

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};

use lol_html::html_content::Element;
use lol_html::{HtmlRewriter, OutputSink, Settings, element};

use cdn::Cdn;
use media::{Loading, Medium, Tag};

/// What is to be done to a page.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// When images and frames are loaded.
    pub loading: Loading,
    /// From where files are loaded, if not from the site.
    pub cdn: Option<Cdn>,
}

/// The page `html` with `options` applied, or `None` when it is to stay as it is.
pub fn rewrite(html: &[u8], options: &Options) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(html.len() + html.len() / 32);
    // The parser is not ours; a page must not die of it.
    let done = catch_unwind(AssertUnwindSafe(|| {
        let mut stream = Stream::new(options, |chunk: &[u8]| out.extend_from_slice(chunk));
        stream.write(html) && stream.end()
    }));
    matches!(done, Ok(true)).then_some(out)
}

/// A page that comes in pieces.
pub struct Stream<'o, O: OutputSink> {
    rewriter: HtmlRewriter<'o, O>,
}

impl<'o, O: OutputSink> Stream<'o, O> {
    /// A page whose rewritten pieces go to `sink`.
    pub fn new(options: &'o Options, sink: O) -> Self {
        let page = std::rc::Rc::new(RefCell::new(media::Page::new(&options.loading)));
        let at_main = std::rc::Rc::clone(&page);
        let mut settings = Settings::new()
            .append_element_content_handler(element!("main, article", move |_| {
                at_main.borrow_mut().enter_content();
                Ok(())
            }))
            .append_element_content_handler(element!("img, iframe", move |element| {
                load(element, &mut page.borrow_mut());
                Ok(())
            }));
        if let Some(cdn) = &options.cdn {
            settings = settings.append_element_content_handler(element!(
                "img, source, script, link, video, audio, input",
                move |element| {
                    relocate(element, cdn);
                    Ok(())
                }
            ));
        }
        Self { rewriter: HtmlRewriter::new(settings, sink) }
    }

    /// Takes the next piece. After a false nothing more may be written: the page cannot be followed.
    pub fn write(&mut self, piece: &[u8]) -> bool {
        self.rewriter.write(piece).is_ok()
    }

    /// Ends the page; false as for [`Self::write`].
    pub fn end(self) -> bool {
        self.rewriter.end().is_ok()
    }
}

fn load(element: &mut Element<'_, '_>, page: &mut media::Page) {
    let tag = if element.tag_name() == "img" { Tag::Image } else { Tag::Frame };
    let attribute = |name: &str| element.get_attribute(name);
    let medium = Medium {
        tag,
        source: attribute("src"),
        width: attribute("width"),
        height: attribute("height"),
        loading: attribute("loading"),
        decoding: attribute("decoding"),
        priority: attribute("fetchpriority"),
        is_excluded: ["data-secret", "data-no-lazy", "data-skip-lazy"]
            .iter()
            .any(|name| element.has_attribute(name))
            || attribute("class")
                .is_some_and(|classes| classes.split_ascii_whitespace().any(|class| class == "skip-lazy")),
    };
    for (name, value) in page.decide(&medium) {
        // Fails only for names that no attribute may have.
        let _ = element.set_attribute(name, value);
    }
}

fn relocate(element: &mut Element<'_, '_>, cdn: &Cdn) {
    let tag = element.tag_name();
    let of_link = || element.get_attribute("rel").is_some_and(|rel| cdn::is_for_files(&rel));
    // A module or a font from another host needs leave of that host.
    let is_shared = element.get_attribute("type").is_some_and(|kind| kind.eq_ignore_ascii_case("module"))
        || element.get_attribute("as").is_some_and(|kind| kind.eq_ignore_ascii_case("font"));
    if is_shared || (tag == "link" && !of_link()) {
        return;
    }
    for name in ["src", "href", "poster", "srcset", "imagesrcset"] {
        let Some(value) = element.get_attribute(name) else { continue };
        let moved = if name.ends_with("srcset") { cdn.move_list(&value) } else { cdn.move_url(&value) };
        if let Some(moved) = moved {
            let _ = element.set_attribute(name, &moved);
        }
    }
}
