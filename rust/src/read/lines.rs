//! Lines of a block: validated once as UTF-8, or one by one if the block is not.

use super::columns::{Columns, Fault, Reason, check_length};

/// The columns of all lines of a block that starts at byte `position` of its file.
///
/// `take_next` may take the next line, given its position in the file and the rest of the block: it says how many
/// bytes that were, line end and all, or `None` if it left everything as it was. It is asked only if the whole block
/// is UTF-8. Every line that it leaves, and that is neither blank, invalid nor too long, goes to `parse`, without its line end;
/// what that fails with goes to the bad records.
pub fn for_each_line(
    block: &[u8],
    position: i64,
    max_record_bytes: usize,
    mut take_next: impl FnMut(&mut Columns, i64, &str) -> Option<usize>,
    mut parse: impl FnMut(&mut Columns, i64, &str) -> Result<(), Fault>,
) -> Columns {
    let mut columns = Columns::with_capacity(block.len());
    let all_valid = simdutf8::basic::from_utf8(block).ok();
    let mut start = 0;
    while start < block.len() {
        let at = position + start as i64;
        if let Some(taken) = all_valid.and_then(|text| take_next(&mut columns, at, &text[start..]))
        {
            start += taken;
            continue;
        }
        let end = memchr::memchr(b'\n', &block[start..]).map_or(block.len(), |end| start + end);
        let line = &block[start..end];
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let span = start..start + line.len();
        start = end + 1;
        // A blank line of any length is no record; but a stream skips what is too long before it sees its end.
        if line.len() <= max_record_bytes && is_blank(line) {
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
