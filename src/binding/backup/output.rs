//! A backup as one file, into a file or to the visitor who asked for it.

use std::fs::OpenOptions;
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use ext_php_rs::zend::output_write;

use super::HostedBackups;
use crate::backup::BackupId;
use crate::backup::export::export;
use crate::error::{Error, Kind, Result};

/// Stands for what PHP sends to the visitor.
pub const TO_VISITOR: &str = "php://output";

/// Large enough that a call into PHP for each block costs nothing.
const BLOCK: usize = 256 * 1024;

impl HostedBackups {
    /// Writes the backup `id` with its chain as a tar to `path`, a new file of mode 0600.
    ///
    /// # Errors
    /// A relative path, a file that exists, a backup that is not whole, or a full disk.
    pub fn export(&self, id: &BackupId, path: &str) -> Result<()> {
        let store = self.store()?;
        if path == TO_VISITOR {
            return export(&store, id, BufWriter::with_capacity(BLOCK, ToVisitor));
        }
        if !Path::new(path).is_absolute() {
            return Err(Error::invalid("$path", format!("expected an absolute path or {TO_VISITOR}")));
        }
        let opened = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
        let file =
            opened.map_err(|error| Error::new(Kind::Backup, format!("cannot create {path}: {error}")))?;
        export(&store, id, BufWriter::with_capacity(BLOCK, file))
    }
}

/// PHP's output. A visitor who goes away ends the request inside the call, unless
/// `ignore_user_abort(true)` was called: what is open here is then left to the worker's end.
struct ToVisitor;

impl Write for ToVisitor {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(output_write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
