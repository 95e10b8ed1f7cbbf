//! Whether files can be written where WordPress writes them.
//!
//! The name is unique: a probe with one fixed name is unlinked under the feet of another that runs at
//! the same time, and reports a failure that is none.

use std::fs::{self, OpenOptions};
use std::io::{Read, Write};
use std::path::Path;

use crate::health::check::{Check, Probe, Profile};
use crate::health::finding::Outcome;

const CONTENT: &[u8] = b"slbp";

/// Writes, reads and removes a file in `folder`.
pub fn writable(folder: &Path) -> Box<dyn Check + '_> {
    let profile = Profile::new("filesystem", "system", "writable").good_for(30);
    Box::new(Probe::new(profile, || match round_trip(folder) {
        Ok(()) => Outcome::healthy(),
        Err(error) => Outcome::unhealthy(format!("the uploads cannot be written: {error}")),
    }))
}

fn round_trip(folder: &Path) -> std::io::Result<()> {
    let mut random = [0; 16];
    getrandom::fill(&mut random).map_err(std::io::Error::other)?;
    let name: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
    let path = folder.join(format!(".slbp-health-{name}"));
    let outcome = write_and_read(&path);
    match (outcome, fs::remove_file(&path)) {
        (Ok(()), removed) => removed,
        (Err(error), _) => Err(error),
    }
}

fn write_and_read(path: &Path) -> std::io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).open(path)?;
    file.write_all(CONTENT)?;
    drop(file);
    let mut read = Vec::new();
    fs::File::open(path)?.take(64).read_to_end(&mut read)?;
    if read == CONTENT { Ok(()) } else { Err(std::io::Error::other("what was read is not what was written")) }
}
