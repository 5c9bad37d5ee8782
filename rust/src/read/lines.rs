//! Lines of a block: validated once as UTF-8, or one by one if the block is not.

use super::columns::{Columns, Fault, Reason, check_length};

/// Call `parse` with each line that is neither blank nor invalid: its position in the file and its text
/// without the line end. What it fails with goes to the bad records of the columns that come back.
pub fn for_each_line(
    block: &[u8],
    position: i64,
    max_record_bytes: usize,
    mut parse: impl FnMut(&mut Columns, i64, &str) -> Result<(), Fault>,
) -> Columns {
    let mut columns = Columns::with_capacity(block.len());
    let all_valid = std::str::from_utf8(block).ok();
    let mut start = 0;
    for end in memchr::memchr_iter(b'\n', block).chain([block.len()]) {
        let line = &block[start..end];
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let span = start..start + line.len();
        let at = position + start as i64;
        start = (end + 1).min(block.len());
        if is_blank(line) {
            continue;
        }
        let result = check_length(line.len(), max_record_bytes)
            .and_then(|()| all_valid.map_or_else(|| utf8(line), |text| Ok(&text[span])))
            .and_then(|line| parse(&mut columns, at, line));
        if let Err(fault) = result {
            columns.reject(at, fault);
        }
    }
    columns
}

/// The text of a record.
///
/// # Errors
/// If it is not UTF-8.
pub fn utf8(record: &[u8]) -> Result<&str, Fault> {
    std::str::from_utf8(record).map_err(|error| {
        (
            Reason::InvalidUtf8,
            format!("at byte {} of it", error.valid_up_to()),
        )
    })
}

fn is_blank(line: &[u8]) -> bool {
    line.iter().all(|byte| matches!(byte, b' ' | b'\t' | b'\r'))
}
