//! When an image or a frame is loaded.
//!
//! Owns: the rules of WordPress core (`wp_get_loading_optimization_attributes()` of 6.8), applied to a
//! whole page: the first media are in the first viewport and never lazy, the first large image among
//! them is the one to fetch first, every image is decoded aside. Core knows the template part that it
//! prints; here `<main>` or `<article>` tells content from what is above it, where small images (logos)
//! do not count. Whatever a page says itself stays.

/// An attribute to set.
pub type Change = (&'static str, &'static str);

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loading {
    /// Whether what is further down is loaded when the visitor gets there.
    pub lazy: bool,
    /// Whether images are decoded aside.
    pub decoding: bool,
    /// Whether the most important image is fetched first.
    pub priority: bool,
    /// So many media are taken for the first viewport's. Core: `wp_omit_loading_attr_threshold`.
    pub first: usize,
    /// An image of so many pixels is large. Core: `wp_min_priority_img_pixels`.
    pub large: u64,
}

impl Default for Loading {
    fn default() -> Self {
        Self { lazy: true, decoding: true, priority: true, first: 3, large: 50_000 }
    }
}

/// Which element it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tag {
    /// `<img>`.
    Image,
    /// `<iframe>`.
    Frame,
}

/// An image or a frame with its attributes.
#[derive(Clone, Debug)]
pub struct Medium {
    /// Which of them.
    pub tag: Tag,
    /// `src`.
    pub source: Option<String>,
    /// `width`.
    pub width: Option<String>,
    /// `height`.
    pub height: Option<String>,
    /// `loading`.
    pub loading: Option<String>,
    /// `decoding`.
    pub decoding: Option<String>,
    /// `fetchpriority`.
    pub priority: Option<String>,
    /// The page asks to leave it alone.
    pub is_excluded: bool,
}

/// What a page has shown so far.
#[derive(Debug)]
pub struct Page {
    rules: Loading,
    /// Media that count.
    seen: usize,
    in_content: bool,
    /// An image is marked as the one to fetch first.
    has_first: bool,
}

impl Page {
    /// A page of which nothing was seen.
    pub fn new(rules: &Loading) -> Self {
        Self { rules: rules.clone(), seen: 0, in_content: false, has_first: false }
    }

    /// The content begins.
    pub fn enter_content(&mut self) {
        self.in_content = true;
    }

    /// What to set on the next element.
    pub fn decide(&mut self, medium: &Medium) -> Vec<Change> {
        let mut changes = Vec::new();
        let source = medium.source.as_deref().unwrap_or("").trim_start();
        if medium.is_excluded || source.is_empty() || source.starts_with("data:") {
            return changes;
        }
        if self.rules.decoding && medium.tag == Tag::Image && medium.decoding.is_none() {
            changes.push(("decoding", "async"));
        }
        let is_first =
            medium.priority.as_deref().is_some_and(|priority| priority.eq_ignore_ascii_case("high"));
        self.has_first |= is_first;
        // Without its size a late image would move the page.
        let Some(pixels) = medium.pixels() else { return changes };
        let is_large = pixels >= self.rules.large;
        let is_up = match medium.loading.as_deref() {
            Some(loading) => !loading.eq_ignore_ascii_case("lazy"),
            None => is_first || self.seen < self.rules.first,
        };
        if self.in_content || is_large {
            self.seen += 1;
        }
        if !is_up {
            if self.rules.lazy && medium.loading.is_none() {
                changes.push(("loading", "lazy"));
            }
        } else if self.rules.priority
            && medium.tag == Tag::Image
            && is_large
            && !self.has_first
            && medium.priority.is_none()
        {
            self.has_first = true;
            changes.push(("fetchpriority", "high"));
        }
        changes
    }
}

impl Medium {
    fn pixels(&self) -> Option<u64> {
        let side = |text: &Option<String>| {
            let text = text.as_deref()?.trim();
            let digits =
                text.find(|c: char| !c.is_ascii_digit()).map_or(text, |end| text.get(..end).unwrap_or(""));
            // `100%` and the like have no pixels, but a size.
            if text.is_empty() { None } else { Some(digits.parse::<u64>().unwrap_or(0)) }
        };
        Some(side(&self.width)?.saturating_mul(side(&self.height)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(width: &str, height: &str) -> Medium {
        let text = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        Medium {
            tag: Tag::Image,
            source: text("/a.png"),
            width: text(width),
            height: text(height),
            loading: None,
            decoding: None,
            priority: None,
            is_excluded: false,
        }
    }

    const ASIDE: Change = ("decoding", "async");
    const LAZY: Change = ("loading", "lazy");
    const HIGH: Change = ("fetchpriority", "high");

    #[test]
    fn the_first_media_are_at_once_and_the_rest_is_lazy() {
        let mut page = Page::new(&Loading::default());
        let large = image("800", "600");
        assert_eq!(page.decide(&large), [ASIDE, HIGH]);
        assert_eq!(page.decide(&large), [ASIDE]);
        assert_eq!(page.decide(&Medium { tag: Tag::Frame, ..large.clone() }), []);
        assert_eq!(page.decide(&large), [ASIDE, LAZY]);
        assert_eq!(page.decide(&Medium { tag: Tag::Frame, ..large }), [LAZY]);
    }

    #[test]
    fn small_images_count_only_in_the_content() {
        let mut page = Page::new(&Loading::default());
        for _ in 0..10 {
            assert_eq!(page.decide(&image("32", "32")), [ASIDE], "a logo");
        }
        page.enter_content();
        for _ in 0..3 {
            assert_eq!(page.decide(&image("32", "32")), [ASIDE]);
        }
        assert_eq!(page.decide(&image("32", "32")), [ASIDE, LAZY]);
    }

    #[test]
    fn what_the_page_says_stays() {
        let mut page = Page::new(&Loading { first: 0, ..Loading::default() });
        let large = image("800", "600");
        let said = |loading: &str| Medium { loading: Some(loading.to_owned()), ..large.clone() };
        assert_eq!(page.decide(&said("lazy")), [ASIDE]);
        assert_eq!(page.decide(&Medium { decoding: Some("sync".to_owned()), ..said("eager") }), [HIGH]);
        assert_eq!(page.decide(&said("eager")), [ASIDE], "one is first");
        assert_eq!(page.decide(&Medium { priority: Some("high".to_owned()), ..large.clone() }), [ASIDE]);
        assert_eq!(page.decide(&Medium { is_excluded: true, ..large.clone() }), []);
        assert_eq!(page.decide(&Medium { source: Some("data:image/gif,x".to_owned()), ..large.clone() }), []);
        assert_eq!(page.decide(&image("", "600")), [ASIDE], "no size, no place to keep free");
        assert_eq!(page.decide(&image("100%", "400")), [ASIDE, LAZY]);
    }
}
