//! When a certificate ends: the one field of X.509 (RFC 5280, §4.1) that is needed here, found by
//! walking its DER. rustls has verified the certificate before; this only reads a date.

use chrono::NaiveDateTime;

const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// The unix time after which it is not valid; `None` for what is no certificate.
pub fn expiry(der: &[u8]) -> Option<f64> {
    let (certificate, _) = take(der, SEQUENCE)?;
    let (mut body, _) = take(certificate, SEQUENCE)?;
    if let Some((_, rest)) = take(body, VERSION) {
        body = rest;
    }
    // Serial number, algorithm of the signature, issuer.
    for _ in 0..3 {
        body = element(body)?.2;
    }
    let (validity, _) = take(body, SEQUENCE)?;
    let (_, _, rest) = element(validity)?;
    let (tag, text, _) = element(rest)?;
    time(tag, std::str::from_utf8(text).ok()?)
}

fn time(tag: u8, text: &str) -> Option<f64> {
    let full = match tag {
        // Two digits of a year: 50 to 99 are of the last century (RFC 5280, §4.1.2.5.1).
        UTC_TIME => format!("{}{text}", if text.get(..2)?.parse::<u8>().ok()? < 50 { "20" } else { "19" }),
        GENERALIZED_TIME => text.to_owned(),
        _ => return None,
    };
    let time = NaiveDateTime::parse_from_str(full.strip_suffix('Z')?, "%Y%m%d%H%M%S").ok()?;
    Some(time.and_utc().timestamp() as f64)
}

/// The content of the element at the start, if it has this tag, and what follows it.
fn take(bytes: &[u8], wanted: u8) -> Option<(&[u8], &[u8])> {
    let (tag, content, rest) = element(bytes)?;
    (tag == wanted).then_some((content, rest))
}

/// Tag, content and what follows.
fn element(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (tag, rest) = bytes.split_first()?;
    let (length, rest) = rest.split_first()?;
    let (length, rest) = match length {
        0..=0x7f => (usize::from(*length), rest),
        0x81..=0x84 => {
            let (digits, rest) = rest.split_at_checked(usize::from(length - 0x80))?;
            (digits.iter().fold(0, |sum, digit| sum << 8 | usize::from(*digit)), rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((*tag, content, rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn both_kinds_of_dates_are_read() {
        assert_eq!(time(UTC_TIME, "700101000001Z"), Some(1.0));
        assert_eq!(time(UTC_TIME, "260101000000Z"), Some(1_767_225_600.0));
        assert_eq!(time(GENERALIZED_TIME, "20500101000000Z"), Some(2_524_608_000.0));
        assert_eq!(time(UTC_TIME, "xx0101000000Z"), None);
    }

    proptest! {
        #[test]
        fn anything_is_read_or_refused(bytes: Vec<u8>) {
            let _ = expiry(&bytes);
        }
    }
}
