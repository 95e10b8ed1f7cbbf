//! `SHA256SUMS`, in the format of coreutils.

use crate::error::Result;

use super::super::fault::fault;

/// A file of a backup and what its bytes must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sum {
    /// Path inside the backup.
    pub path: String,
    /// SHA-256 in lower-case hexadecimal.
    pub sha256: String,
}

/// The file's text. Paths are the format's own: no newline or backslash needs escaping.
pub fn render_sums(sums: &[Sum]) -> String {
    sums.iter().map(|sum| format!("{}  {}\n", sum.sha256, sum.path)).collect()
}

/// Reads the file's text. A path that leaves the folder is refused.
pub fn parse_sums(text: &str) -> Result<Vec<Sum>> {
    text.lines().map(parse_line).collect()
}

fn parse_line(line: &str) -> Result<Sum> {
    let broken = || fault("SHA256SUMS has a line that is not '<64 hex digits>  <path>'");
    let (sha256, path) = line.split_once("  ").ok_or_else(broken)?;
    let hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    if sha256.len() != 64 || !sha256.bytes().all(hex) || !is_inside(path) {
        return Err(broken());
    }
    Ok(Sum { path: path.to_owned(), sha256: sha256.to_owned() })
}

/// Whether `path` is one of a file inside a backup's folder.
pub fn is_inside(path: &str) -> bool {
    path.split('/').all(|part| !matches!(part, "" | "." | "..")) && !path.contains('\0')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_read_back_and_no_path_leaves_the_folder() {
        let sums = vec![Sum { path: "db/000-pre.sql.gz".to_owned(), sha256: "a".repeat(64) }];
        assert_eq!(parse_sums(&render_sums(&sums)).unwrap(), sums);
        for path in ["../x", "/etc/passwd", "db/../../x", "", "a//b"] {
            assert!(parse_sums(&format!("{}  {path}\n", "a".repeat(64))).is_err(), "{path}");
        }
    }
}
