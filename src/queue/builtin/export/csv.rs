//! CSV as RFC 4180 has it, with cells that spreadsheets would run made harmless.

use std::io::{self, Write};

/// Writes one row.
pub fn write_row<'c>(out: &mut impl Write, cells: impl Iterator<Item = &'c str>) -> io::Result<()> {
    for (at, cell) in cells.enumerate() {
        if at > 0 {
            out.write_all(b",")?;
        }
        write_cell(out, cell)?;
    }
    out.write_all(b"\r\n")
}

fn write_cell(out: &mut impl Write, cell: &str) -> io::Result<()> {
    let guard = if is_formula(cell) { "'" } else { "" };
    if !cell.contains(['"', ',', '\r', '\n']) {
        return write!(out, "{guard}{cell}");
    }
    write!(out, "\"{guard}{}\"", cell.replace('"', "\"\""))
}

/// Whether a spreadsheet would calculate the cell. A negative number is one and stays one.
fn is_formula(cell: &str) -> bool {
    cell.starts_with(['=', '+', '-', '@', '\t', '\r', '\n', '\u{ff1d}', '\u{ff0b}', '\u{ff0d}', '\u{ff20}'])
        && cell.parse::<f64>().is_err()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(cells: &[&str]) -> String {
        let mut out = Vec::new();
        write_row(&mut out, cells.iter().copied()).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn cells_are_quoted_where_they_must_be() {
        assert_eq!(
            row(&["a", "b c", "", "1,5", "say \"hi\"", "two\nlines"]),
            "a,b c,,\"1,5\",\"say \"\"hi\"\"\",\"two\nlines\"\r\n"
        );
    }

    #[test]
    fn formulas_become_text_and_numbers_stay_numbers() {
        assert_eq!(row(&["=1+1", "@SUM(A1)", "+49 170", "-cmd"]), "'=1+1,'@SUM(A1),'+49 170,'-cmd\r\n");
        assert_eq!(
            row(&["=HYPERLINK(\"http://x\",\"y\")"]),
            "\"'=HYPERLINK(\"\"http://x\"\",\"\"y\"\")\"\r\n"
        );
        assert_eq!(row(&["-19.90", "+5", "1e3"]), "-19.90,+5,1e3\r\n");
    }
}
