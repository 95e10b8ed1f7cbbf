//! AWS Signature Version 4 in headers, as the "Authenticating Requests" chapter of the S3 API has it.
//!
//! The hash of the body is part of what is signed, so a server that checks signatures, as all do,
//! also refuses a body that changed on its way. (`rusty-s3` signs addresses only, with the body left
//! out, and its signatures end in the access logs of whatever is in between.)

use chrono::DateTime;
use ring::digest::{SHA256, digest};
use ring::hmac;

use crate::backup::store::hex;
use crate::clock::Timestamp;

/// Who signs.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The public half.
    pub access_key: String,
    /// The secret half.
    pub secret_key: String,
    /// The token of temporary credentials.
    pub session_token: Option<String>,
}

/// A request before it is signed.
pub(super) struct Unsigned<'a> {
    pub method: &'a str,
    pub host: &'a str,
    /// Percent-encoded, beginning with a slash.
    pub path: &'a str,
    /// Names and values before encoding.
    pub query: &'a [(&'a str, &'a str)],
    /// Names in lower case.
    pub headers: &'a [(&'a str, &'a str)],
    /// SHA-256 of the body in hexadecimal.
    pub body_sha256: &'a str,
}

/// The SHA-256 of no bytes.
pub(super) const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// The headers that `request` has to be sent with, `host` left out.
pub(super) fn sign(
    request: &Unsigned<'_>,
    credentials: &Credentials,
    region: &str,
    now: Timestamp,
) -> Vec<(String, String)> {
    let time = DateTime::from_timestamp(now.secs().cast_signed(), 0).unwrap_or_default();
    let (moment, day) = (time.format("%Y%m%dT%H%M%SZ").to_string(), time.format("%Y%m%d").to_string());

    let mut headers: Vec<(String, String)> =
        request.headers.iter().map(|(name, value)| ((*name).to_owned(), value.trim().to_owned())).collect();
    headers.push(("host".to_owned(), request.host.to_owned()));
    headers.push(("x-amz-content-sha256".to_owned(), request.body_sha256.to_owned()));
    headers.push(("x-amz-date".to_owned(), moment.clone()));
    headers.extend(
        credentials.session_token.iter().map(|token| ("x-amz-security-token".to_owned(), token.clone())),
    );
    headers.sort();

    let names: Vec<&str> = headers.iter().map(|(name, _)| name.as_str()).collect();
    let names = names.join(";");
    let lines: String = headers.iter().map(|(name, value)| format!("{name}:{value}\n")).collect();
    let canonical =
        [request.method, request.path, &query(request.query), &lines, &names, request.body_sha256];
    let canonical = canonical.join("\n");

    let scope = format!("{day}/{region}/s3/aws4_request");
    let hashed = hex(digest(&SHA256, canonical.as_bytes()).as_ref());
    let to_sign = format!("AWS4-HMAC-SHA256\n{moment}\n{scope}\n{hashed}");
    let secret = format!("AWS4{}", credentials.secret_key);
    let key = [day.as_str(), region, "s3", "aws4_request"]
        .iter()
        .fold(secret.into_bytes(), |key, part| authenticate(&key, part.as_bytes()));
    let signature = hex(&authenticate(&key, to_sign.as_bytes()));

    let authorization = format!(
        "AWS4-HMAC-SHA256 Credential={}/{scope},SignedHeaders={names},Signature={signature}",
        credentials.access_key
    );
    headers.retain(|(name, _)| name != "host");
    headers.push(("authorization".to_owned(), authorization));
    headers
}

/// `pairs` encoded and in order, as they are signed and as they are sent.
pub(super) fn query(pairs: &[(&str, &str)]) -> String {
    let mut encoded: Vec<String> = pairs
        .iter()
        .map(|(name, value)| format!("{}={}", encode(name, false), encode(value, false)))
        .collect();
    encoded.sort();
    encoded.join("&")
}

/// `text` with every byte percent-encoded but those that a URL may have anywhere; `/` too unless it
/// separates.
pub(super) fn encode(text: &str, keep_slash: bool) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) || (keep_slash && byte == b'/') {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

fn authenticate(key: &[u8], message: &[u8]) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), message).as_ref().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> Credentials {
        Credentials {
            access_key: "AKIAIOSFODNN7EXAMPLE".to_owned(),
            secret_key: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY".to_owned(),
            session_token: None,
        }
    }

    fn signature(request: &Unsigned<'_>) -> String {
        // 2013-05-24T00:00:00Z, the time of Amazon's published examples.
        let headers = sign(request, &example(), "us-east-1", Timestamp::from_secs(1_369_353_600));
        headers.last().unwrap().1.rsplit_once('=').unwrap().1.to_owned()
    }

    #[test]
    fn amazons_published_examples_are_signed_as_published() {
        let get = Unsigned {
            method: "GET",
            host: "examplebucket.s3.amazonaws.com",
            path: "/test.txt",
            query: &[],
            headers: &[("range", "bytes=0-9")],
            body_sha256: EMPTY,
        };
        assert_eq!(signature(&get), "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41");
        let list = Unsigned { path: "/", query: &[("max-keys", "2"), ("prefix", "J")], headers: &[], ..get };
        assert_eq!(signature(&list), "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7");
        let put = Unsigned {
            method: "PUT",
            path: &format!("/{}", encode("test$file.text", true)),
            query: &[],
            headers: &[
                ("date", "Fri, 24 May 2013 00:00:00 GMT"),
                ("x-amz-storage-class", "REDUCED_REDUNDANCY"),
            ],
            body_sha256: "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072",
            ..list
        };
        assert_eq!(signature(&put), "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd");
    }

    #[test]
    fn everything_but_the_unreserved_is_encoded() {
        assert_eq!(encode("a/b c+ü~", true), "a/b%20c%2B%C3%BC~");
        assert_eq!(query(&[("b", "x/y"), ("a", "")]), "a=&b=x%2Fy");
    }
}
