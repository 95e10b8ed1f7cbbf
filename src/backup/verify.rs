//! Proving that a backup can be read back.
//!
//! Three layers, each catching what the one before cannot: the SHA-256 of every file (the disk),
//! the gzip stream and BLAKE3 of every range (the writer), the row and byte counts against the
//! manifest (the format). Every backup in the chain is checked, because each is needed.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use flate2::read::MultiGzDecoder;
use sha2::{Digest, Sha256};

use super::database::ranges_path;
use super::fault::{fault, file};
use super::files::replay;
use super::format::{EntryKind, Manifest, Range, RangeReader, TablePart};
use super::id::BackupId;
use super::store::{Store, hex};
use crate::error::Result;

/// What was checked and what is wrong.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Files whose sums were compared.
    pub checked_files: u64,
    /// Bytes of those files.
    pub checked_bytes: u64,
    /// Rows whose ranges were decompressed and hashed.
    pub checked_rows: u64,
    /// What is wrong, a sentence each; empty for a good backup.
    pub errors: Vec<String>,
}

impl Report {
    /// Whether the backup can be restored.
    pub fn success(&self) -> bool {
        self.errors.is_empty()
    }
}

/// Checks the backup `id` and all it builds on. An error means that there is no such backup;
/// damage is in the report.
pub fn verify(store: &Store, id: &BackupId) -> Result<Report> {
    let manifest = store.manifest(id)?;
    let mut report = Report::default();
    for member in manifest.needs() {
        match store.find(&member) {
            Ok(Some(_)) => check_files(store, &member, &mut report),
            Ok(None) => report.errors.push(format!("backup {member}, which this one builds on, is missing")),
            Err(error) => report.errors.push(error.to_string()),
        }
    }
    if report.success() {
        check_tables(store, &manifest, &mut report);
        check_archive(store, &manifest, &mut report);
    }
    Ok(report)
}

fn check_files(store: &Store, id: &BackupId, report: &mut Report) {
    let sums = match store.sums(id) {
        Ok(sums) => sums,
        Err(error) => return report.errors.push(error.to_string()),
    };
    for sum in sums {
        match sha256(&store.folder(id).join(&sum.path)) {
            Ok((found, bytes)) => {
                report.checked_files += 1;
                report.checked_bytes += bytes;
                if found != sum.sha256 {
                    report.errors.push(format!("{id}/{} is not what was written", sum.path));
                }
            }
            Err(error) => report.errors.push(error.to_string()),
        }
    }
}

fn check_tables(store: &Store, manifest: &Manifest, report: &mut Report) {
    for table in manifest.database.iter().flat_map(|database| &database.tables) {
        if let Err(error) = check_table(store, &manifest.id, table, report) {
            report.errors.push(error.context(format!("table {}", table.name)).to_string());
        }
    }
}

fn check_archive(store: &Store, manifest: &Manifest, report: &mut Report) {
    let Some(part) = &manifest.files else { return };
    let (mut files, mut bytes) = (0, 0);
    let read = replay(store, &manifest.id, part, &mut |entry, contents| {
        if let EntryKind::File { size, .. } = entry.kind {
            files += 1;
            bytes += size;
        }
        io::copy(contents, &mut io::sink())
            .map(drop)
            .map_err(|error| fault(format!("cannot read the archive: {error}")))
    });
    if let Err(error) = read {
        report.errors.push(error.to_string());
    } else if (files, bytes) != (part.files, part.bytes) {
        let message =
            format!("{files} files of {bytes} bytes, the manifest says {} of {}", part.files, part.bytes);
        report.errors.push(message);
    }
}

fn check_table(store: &Store, id: &BackupId, table: &TablePart, report: &mut Report) -> Result<()> {
    let path = store.folder(id).join(ranges_path(&table.stem));
    let (mut rows, mut bytes) = (0, 0);
    for range in RangeReader::open(&path)? {
        let range = range?;
        rows += range.rows;
        bytes += range.bytes;
        read_range(store, &range)?;
    }
    report.checked_rows += rows;
    if (rows, bytes) != (table.rows, table.bytes) {
        let message =
            format!("{rows} rows in {bytes} bytes, the manifest says {} in {}", table.rows, table.bytes);
        return Err(fault(message));
    }
    Ok(())
}

/// The statement of `range`, decompressed and checked against its hash.
pub(crate) fn read_range(store: &Store, range: &Range) -> Result<Vec<u8>> {
    let Some(stored) = &range.stored else {
        return if range.rows == 0 {
            Ok(Vec::new())
        } else {
            Err(fault("a range with rows is stored nowhere"))
        };
    };
    let path = store.folder(&stored.backup).join(format!("db/{}.sql.gz", stored.stem));
    let mut opened = File::open(&path).map_err(file("open", &path))?;
    opened.seek(SeekFrom::Start(stored.offset)).map_err(file("read", &path))?;
    let mut sql = Vec::with_capacity(range.bytes as usize);
    // One byte more than promised is enough to notice that there is more.
    let mut inflated = MultiGzDecoder::new(opened.take(stored.length)).take(range.bytes + 1);
    inflated.read_to_end(&mut sql).map_err(file("decompress", &path))?;
    if sql.len() as u64 != range.bytes || blake3::hash(&sql) != range.hash {
        return Err(fault(format!("the range at byte {} of {} is damaged", stored.offset, path.display())));
    }
    Ok(sql)
}

fn sha256(path: &Path) -> Result<(String, u64)> {
    let mut opened = File::open(path).map_err(file("open", path))?;
    let mut digest = Sha256::new();
    let mut block = vec![0; 128 * 1024];
    let mut bytes = 0;
    loop {
        let read = opened.read(&mut block).map_err(file("read", path))?;
        let Some(part) = block.get(..read).filter(|part| !part.is_empty()) else { break };
        digest.update(part);
        bytes += read as u64;
    }
    Ok((hex(&digest.finalize()), bytes))
}
