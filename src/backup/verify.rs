//! Proving that a backup can be read back.
//!
//! Three layers, each catching what the one before cannot: the SHA-256 of every file (the disk),
//! the gzip stream and BLAKE3 of every range (the writer), the row and byte counts against the
//! manifest (the format). Every backup in the chain is checked, because each is needed.

use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use flate2::read::MultiGzDecoder;
use serde::Serialize;

use super::chain::{Chain, sha256};
use super::database::ranges_path;
use super::fault::{fault, file};
use super::files::replay;
use super::format::{EntryKind, Range, TablePart};
use super::id::BackupId;
use super::progress::Progress;
use super::store::Store;
use crate::clock::SystemClock;
use crate::error::Result;

/// What was checked and what is wrong.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Files whose sums were compared.
    pub checked_files: u64,
    /// Bytes of those files.
    pub checked_bytes: u64,
    /// Rows whose ranges were decompressed and hashed.
    pub checked_rows: u64,
    /// Whether it is encrypted and there was no key: then only sums were compared.
    pub unopened: bool,
    /// What is wrong, a sentence each; empty for a good backup.
    pub errors: Vec<String>,
}

impl Report {
    /// Whether nothing is wrong.
    pub fn success(&self) -> bool {
        self.errors.is_empty()
    }

    /// What is wrong as an error.
    pub(crate) fn verdict(&self) -> Result<()> {
        if self.success() { Ok(()) } else { Err(fault(self.errors.join("; "))) }
    }
}

/// Checks the backup `id` and all it builds on. An error means that there is no such backup;
/// damage is in the report.
pub fn verify(store: &Store, id: &BackupId) -> Result<Report> {
    verify_watched(store, id, &Progress::silent(&SystemClock))
}

/// As [`verify`], and says on `progress` how far it is.
pub(crate) fn verify_watched(store: &Store, id: &BackupId, progress: &Progress<'_>) -> Result<Report> {
    let manifest = store.manifest(id)?;
    let mut report = Report::default();
    let needs = manifest.needs();
    let sizes = needs.iter().filter_map(|member| store.find(member).ok().flatten()).map(|found| found.size);
    progress.expect(sizes.sum(), needs.len() as u64);
    progress.step("checksums");
    for member in needs {
        match store.find(&member) {
            Ok(Some(_)) => check_files(store, &member, progress, &mut report),
            Ok(None) => report.errors.push(format!("backup {member}, which this one builds on, is missing")),
            Err(error) => report.errors.push(error.to_string()),
        }
        progress.part_done();
    }
    progress.step("contents");
    let keyless = store.keys().is_none_or(|keys| keys.identities.is_empty());
    report.unopened = manifest.encryption.is_some() && keyless;
    if report.success() && !report.unopened {
        match Chain::open(store, id) {
            Ok(chain) => {
                check_tables(&chain, &mut report);
                check_archive(&chain, &mut report);
            }
            Err(error) => report.errors.push(error.to_string()),
        }
    }
    Ok(report)
}

fn check_files(store: &Store, id: &BackupId, progress: &Progress<'_>, report: &mut Report) {
    let sums = match store.sums(id) {
        Ok(sums) => sums,
        Err(error) => return report.errors.push(error.to_string()),
    };
    for sum in sums {
        match sha256(&store.folder(id).join(&sum.path)) {
            Ok((found, bytes)) => {
                report.checked_files += 1;
                report.checked_bytes += bytes;
                progress.add(bytes);
                if found != sum.sha256 {
                    report.errors.push(format!("{id}/{} is not what was written", sum.path));
                }
            }
            Err(error) => report.errors.push(error.to_string()),
        }
    }
}

fn check_tables(chain: &Chain, report: &mut Report) {
    for table in chain.database().iter().flat_map(|database| &database.tables) {
        if let Err(error) = check_table(chain, table, report) {
            report.errors.push(error.context(format!("table {}", table.name)).to_string());
        }
    }
}

fn check_archive(chain: &Chain, report: &mut Report) {
    let Some(part) = chain.files() else { return };
    let (mut files, mut bytes) = (0, 0);
    let read = replay(chain, &mut |entry, contents| {
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

fn check_table(chain: &Chain, table: &TablePart, report: &mut Report) -> Result<()> {
    let (mut rows, mut bytes) = (0, 0);
    for range in chain.lines(&ranges_path(&table.stem))? {
        let range: Range = range?;
        rows += range.rows;
        bytes += range.bytes;
        read_range(chain, &range)?;
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
pub(crate) fn read_range(chain: &Chain, range: &Range) -> Result<Vec<u8>> {
    let Some(stored) = &range.stored else {
        return if range.rows == 0 {
            Ok(Vec::new())
        } else {
            Err(fault("a range with rows is stored nowhere"))
        };
    };
    let name = format!("db/{}.sql.gz", stored.stem);
    let mut opened = chain.file(&stored.backup, &name)?;
    let path = Path::new(stored.backup.as_str()).join(name);
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
