//! Which format an `Accept` header asks for.

use super::Format;

/// The format that the client likes best; text 0.0.4 when it does not say, or asks for what we do not
/// have. OpenMetrics must be named: a `*/*` is no wish for it.
pub fn negotiate(accept: Option<&str>) -> Format {
    let ranges: Vec<Range> = accept.unwrap_or_default().split(',').filter_map(Range::parse).collect();
    let best = |offer: Format| {
        let matching = ranges.iter().filter_map(|range| Some((range.specificity(offer)?, range.quality)));
        matching.max_by_key(|(specificity, _)| *specificity)
    };
    match (best(Format::OpenMetrics), best(Format::Text)) {
        (Some((named, quality)), text) if named > 0 && quality > 0 => {
            let other = text.map_or(0, |(_, quality)| quality);
            if quality >= other { Format::OpenMetrics } else { Format::Text }
        }
        _ => Format::Text,
    }
}

/// One media range.
struct Range {
    kind: String,
    version: Option<String>,
    /// Thousandths.
    quality: u16,
}

impl Range {
    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split(';').map(str::trim);
        let kind = parts.next().filter(|kind| kind.contains('/'))?.to_ascii_lowercase();
        let mut range = Self { kind, version: None, quality: 1000 };
        for (name, value) in parts.filter_map(|part| part.split_once('=')) {
            let value = value.trim().trim_matches('"');
            match name.trim().to_ascii_lowercase().as_str() {
                "q" => range.quality = quality(value),
                "version" => range.version = Some(value.to_owned()),
                _ => {}
            }
        }
        Some(range)
    }

    /// How exactly the range names the format: 2 by name, 1 by its first half, 0 by `*/*`.
    fn specificity(&self, offer: Format) -> Option<u8> {
        let version = self.version.as_deref();
        match (offer, self.kind.as_str()) {
            (Format::OpenMetrics, "application/openmetrics-text") => {
                matches!(version, None | Some("1.0.0" | "0.0.1")).then_some(2)
            }
            (Format::Text, "text/plain") => matches!(version, None | Some("0.0.4")).then_some(2),
            (Format::OpenMetrics, "application/*") | (Format::Text, "text/*") => Some(1),
            (_, "*/*") => Some(0),
            _ => None,
        }
    }
}

/// A quality that cannot be read is none.
fn quality(text: &str) -> u16 {
    let number: f32 = text.parse().unwrap_or(0.0);
    if number.is_finite() { (number.clamp(0.0, 1.0) * 1000.0).round() as u16 } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_better_liked_format_wins() {
        let prometheus = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        for (accept, expected) in [
            (prometheus, Format::OpenMetrics),
            ("", Format::Text),
            ("*/*", Format::Text),
            ("text/plain", Format::Text),
            ("text/plain, application/openmetrics-text", Format::OpenMetrics),
            ("application/openmetrics-text;q=0.4, text/plain;q=0.5", Format::Text),
            ("application/openmetrics-text;q=0.5, */*", Format::Text),
            ("application/openmetrics-text; q=0", Format::Text),
            ("application/openmetrics-text; version=2.0.0", Format::Text),
            ("APPLICATION/OPENMETRICS-TEXT; Version=\"1.0.0\"; Q=0.9, text/*;q=0.8", Format::OpenMetrics),
            ("text/plain;version=0.0.4;q=0.2, application/*;q=0.3", Format::OpenMetrics),
            ("application/json", Format::Text),
            ("application/openmetrics-text;q=nan", Format::Text),
        ] {
            assert_eq!(negotiate(Some(accept)), expected, "{accept}");
        }
        assert_eq!(negotiate(None), Format::Text);
    }

    proptest! {
        #[test]
        fn any_header_gets_an_answer(accept: String) {
            negotiate(Some(&accept));
        }
    }
}
