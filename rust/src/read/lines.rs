//! Lines of a block: validated once as UTF-8, or one by one if the block is not.

use super::columns::{Columns, Reason};

/// Call `parse` with each line that is neither blank nor invalid: its position in the file and its text
/// without the line end. Invalid lines go to `columns`.
pub fn for_each_line(
    block: &[u8],
    position: i64,
    columns: &mut Columns,
    mut parse: impl FnMut(&mut Columns, i64, &str),
) {
    if let Ok(text) = std::str::from_utf8(block) {
        let mut start = 0;
        for end in memchr::memchr_iter(b'\n', block).chain([block.len()]) {
            let line = text[start..end]
                .strip_suffix('\r')
                .unwrap_or(&text[start..end]);
            if !is_blank(line.as_bytes()) {
                parse(columns, position + start as i64, line);
            }
            start = end + 1;
            if start > block.len() {
                break;
            }
        }
        return;
    }
    let mut start = 0;
    for line in block.split(|&byte| byte == b'\n') {
        let at = position + start as i64;
        start += line.len() + 1;
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        match std::str::from_utf8(line) {
            Ok(line) if is_blank(line.as_bytes()) => {}
            Ok(line) => parse(columns, at, line),
            Err(error) => {
                columns.reject(
                    at,
                    (
                        Reason::InvalidUtf8,
                        format!("at byte {} of the line", error.valid_up_to()),
                    ),
                );
            }
        }
    }
}

fn is_blank(line: &[u8]) -> bool {
    line.iter().all(|byte| matches!(byte, b' ' | b'\t' | b'\r'))
}
