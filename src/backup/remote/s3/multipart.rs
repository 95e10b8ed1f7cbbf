//! Uploading a large file in parts, which the server joins when all are there.
//!
//! A part is read twice: for its hash, which is signed, and to be sent. An upload that fails is
//! abandoned at the server; one whose process dies is left to the bucket's own rule for those.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use ring::digest::{Context, Digest, SHA256, digest};

use super::answers::field;
use super::{Ask, Hashed, S3Store, Upload};
use crate::backup::fault::{fault, file};
use crate::backup::store::hex;
use crate::error::Result;

/// The most parts that S3 joins.
const MOST_PARTS: u64 = 10_000;

impl S3Store {
    /// Returns the checksum that the server should have: that of the parts' checksums.
    pub(super) fn put_parts(&self, key: &str, upload: Upload<'_>) -> Result<String> {
        let headers = [("x-amz-checksum-algorithm", "SHA256")];
        let begun = Ask { query: &[("uploads", "")], headers: &headers, ..Ask::new("POST", key) };
        let begun = self.expect(self.simple(&begun)?)?;
        let id = field(&begun.body, "InitiateMultipartUploadResult", "UploadId");
        let id = id.ok_or_else(|| fault(format!("{} gave an upload no id", self.name)))?;
        let outcome = self.send_parts(key, upload, &id);
        if outcome.is_err() {
            // The reason of the failure is what counts, and the bucket's rule removes what is left.
            let _ = self.simple(&Ask { query: &[("uploadId", &id)], ..Ask::new("DELETE", key) });
        }
        outcome
    }

    fn send_parts(&self, key: &str, upload: Upload<'_>, id: &str) -> Result<String> {
        let size = self.settings.part.max(upload.size.div_ceil(MOST_PARTS));
        let mut source = File::open(upload.source).map_err(file("open", upload.source))?;
        let mut whole = Context::new(&SHA256);
        let mut joined = Context::new(&SHA256);
        let mut list = String::from("<CompleteMultipartUpload>");
        let mut count = 0;
        let mut offset = 0;
        while offset < upload.size {
            let length = size.min(upload.size - offset);
            let sum = hash(&mut source, (offset, length), &mut whole).map_err(file("read", upload.source))?;
            joined.update(sum.as_ref());
            count += 1;
            let (number, checksum) = (count.to_string(), BASE64_STANDARD.encode(sum.as_ref()));
            let ask = Ask {
                query: &[("partNumber", &number), ("uploadId", id)],
                headers: &[("x-amz-checksum-sha256", &checksum)],
                body_sha256: &hex(sum.as_ref()),
                ..Ask::new("PUT", key)
            };
            let answer = self.expect(self.send_range(&ask, upload.source, (offset, length))?)?;
            let tag = answer.header("etag").map(|tag| tag.trim_matches('"')).unwrap_or_default();
            if tag.is_empty() || !tag.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
                return Err(fault(format!("{} gave a part no tag", self.name)));
            }
            list.push_str(&format!(
                "<Part><PartNumber>{number}</PartNumber><ETag>\"{tag}\"</ETag><ChecksumSHA256>{checksum}</ChecksumSHA256></Part>"
            ));
            offset += length;
        }
        if hex(whole.finish().as_ref()) != upload.sha256 {
            return Err(fault(format!("{} is not what it is said to be", upload.source.display())));
        }
        list.push_str("</CompleteMultipartUpload>");
        let body_sha256 = hex(digest(&SHA256, list.as_bytes()).as_ref());
        let ask = Ask { query: &[("uploadId", id)], body_sha256: &body_sha256, ..Ask::new("POST", key) };
        let answer = self.expect(self.with_body(&ask, list.as_bytes())?)?;
        // Joining takes long, so its status is sent before it is known how it ends.
        if field(&answer.body, "CompleteMultipartUploadResult", "ETag").is_none() {
            return Err(self.refused(&answer));
        }
        Ok(format!("{}-{count}", BASE64_STANDARD.encode(joined.finish().as_ref())))
    }
}

/// Hashes a range of `source`, for itself and into `whole`.
fn hash(source: &mut File, (offset, length): (u64, u64), whole: &mut Context) -> io::Result<Digest> {
    source.seek(SeekFrom::Start(offset))?;
    let mut part = Hashed(Context::new(&SHA256));
    let mut left = source.take(length);
    let mut block = vec![0; 128 * 1024];
    loop {
        let count = left.read(&mut block)?;
        let Some(bytes) = block.get(..count).filter(|bytes| !bytes.is_empty()) else { break };
        part.0.update(bytes);
        whole.update(bytes);
    }
    Ok(part.0.finish())
}
