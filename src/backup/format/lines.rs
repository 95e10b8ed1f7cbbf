//! Lists in a backup: gzipped, one JSON object a line.
//!
//! They are written and read line by line, so a list of any length takes constant memory, and
//! `gunzip -c` shows it to a person.

use std::io::{self, BufRead, BufReader, Write};
use std::marker::PhantomData;

use flate2::Compression;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::super::chain::Stored;
use super::super::fault::{fault, malformed};
use crate::error::Result;

/// Writes a list.
pub struct LineWriter<W: Write>(GzEncoder<W>);

impl<W: Write> LineWriter<W> {
    /// Writes to `inner`.
    pub fn new(inner: W) -> Self {
        Self(GzEncoder::new(inner, Compression::new(6)))
    }

    /// Appends `item`.
    pub fn push(&mut self, item: &impl Serialize) -> io::Result<()> {
        serde_json::to_writer(&mut self.0, item)?;
        self.0.write_all(b"\n")
    }

    /// Ends the list and gives the inner writer back.
    pub fn finish(self) -> io::Result<W> {
        self.0.finish()
    }
}

/// Reads a list of `T`.
pub struct LineReader<T> {
    lines: io::Lines<BufReader<MultiGzDecoder<Stored>>>,
    name: String,
    items: PhantomData<T>,
}

impl<T> LineReader<T> {
    /// Reads `stored`, which errors call `name`.
    pub(crate) fn new(stored: Stored, name: String) -> Self {
        let lines = BufReader::new(MultiGzDecoder::new(stored)).lines();
        Self { lines, name, items: PhantomData }
    }
}

impl<T: DeserializeOwned> Iterator for LineReader<T> {
    type Item = Result<T>;

    fn next(&mut self) -> Option<Self::Item> {
        let line = match self.lines.next()? {
            Ok(line) => line,
            Err(error) => return Some(Err(fault(format!("cannot read {}: {error}", self.name)))),
        };
        Some(serde_json::from_str(&line).map_err(malformed(&self.name)))
    }
}

/// BLAKE3 hashes as hexadecimal text.
pub(crate) mod hex {
    use blake3::Hash;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub fn serialize<S: Serializer>(hash: &Hash, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(hash.to_hex().as_str())
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Hash, D::Error> {
        Hash::from_hex(String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}
