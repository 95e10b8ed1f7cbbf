//! Label values as they lie in a series: each with its length before it, in the order in which the
//! family declares its labels.
//!
//! Values come from anywhere, so they are made fit here: what is not UTF-8 is replaced, and what is
//! longer than its share is cut. Values that become the same share a series, and totals stay right.

use super::definition::cut;
use crate::error::{Error, Result};

/// Bytes for all values of a series with their lengths.
pub(super) const BYTES: usize = 160;

/// No value is kept longer than this.
const LONGEST: usize = 64;

/// The value that all labels of the series have into which goes what has no room.
pub const OVERFLOW: &str = "overflow";

/// The values of a series, encoded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Encoded {
    bytes: Vec<u8>,
}

impl Encoded {
    pub fn of<'a>(values: impl ExactSizeIterator<Item = &'a str>) -> Self {
        let share = (BYTES / values.len().max(1) - 1).min(LONGEST);
        let mut bytes = Vec::with_capacity(BYTES);
        for value in values {
            let value = cut(value, share);
            bytes.push(value.len() as u8);
            bytes.extend_from_slice(value.as_bytes());
        }
        Self { bytes }
    }

    /// The labels of the overflow series of a family with `count` labels.
    pub fn overflow(count: usize) -> Self {
        Self::of(std::iter::repeat_n(OVERFLOW, count))
    }

    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// The values in `bytes`.
pub(super) fn decode(mut bytes: &[u8]) -> Vec<String> {
    let mut values = Vec::new();
    while let Some((length, rest)) = bytes.split_first() {
        let (value, others) = rest.split_at(usize::from(*length).min(rest.len()));
        values.push(String::from_utf8_lossy(value).into_owned());
        bytes = others;
    }
    values
}

/// The values of `given` in the order of `declared`.
///
/// # Errors
/// Invalid argument when they are not exactly the declared ones.
pub(super) fn in_order<'a>(
    name: &str,
    declared: &[String],
    given: &'a [(String, String)],
) -> Result<Vec<&'a str>> {
    let find = |label: &String| given.iter().find(|(key, _)| key == label).map(|(_, value)| value.as_str());
    let found: Option<Vec<&str>> = declared.iter().map(find).collect();
    found.filter(|found| found.len() == given.len()).ok_or_else(|| {
        let keys: Vec<&str> = given.iter().map(|(key, _)| key.as_str()).collect();
        let (wanted, got) = (listed(declared), listed(&keys));
        Error::invalid("$labels", format!("'{name}' has the labels {wanted}, got {got}"))
    })
}

fn listed<T: AsRef<str>>(names: &[T]) -> String {
    match names {
        [] => "none".to_owned(),
        _ => names.iter().map(AsRef::as_ref).collect::<Vec<_>>().join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn values_come_back_as_they_went_in_or_cut(values in prop::collection::vec(any::<String>(), 0..=8)) {
            let encoded = Encoded::of(values.iter().map(String::as_str));
            prop_assert!(encoded.bytes().len() <= BYTES);
            let back = decode(encoded.bytes());
            prop_assert_eq!(back.len(), values.len());
            for (back, value) in back.iter().zip(&values) {
                prop_assert!(value.starts_with(back.as_str()));
                prop_assert!(back.len() == value.len() || back.len() > 15);
            }
        }

        #[test]
        fn any_bytes_can_be_decoded(bytes in prop::collection::vec(any::<u8>(), 0..BYTES)) {
            decode(&bytes);
        }
    }

    #[test]
    fn labels_must_be_exactly_the_declared_ones() {
        let declared = ["plan".to_owned(), "status".to_owned()];
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        let given = [pair("status", "paid"), pair("plan", "pro")];
        assert_eq!(in_order("x", &declared, &given).unwrap(), ["pro", "paid"]);
        let error = in_order("x", &declared, &[pair("plan", "pro")]).unwrap_err().to_string();
        assert_eq!(error, "$labels: 'x' has the labels plan, status, got plan");
        let more = [pair("status", "paid"), pair("plan", "pro"), pair("user", "1")];
        assert!(in_order("x", &declared, &more).is_err());
        assert!(in_order("x", &[], &given).unwrap_err().to_string().contains("the labels none"));
    }
}
