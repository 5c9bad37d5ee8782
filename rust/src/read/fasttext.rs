//! fastText's format: `__label__x __label__y the text`, one document a line.
//!
//! The leading words that start with the prefix are labels. A document of several labels counts for its first one:
//! manymill learns one class a row. A line without a label is text alone, if no labels are asked for.

use super::columns::{Columns, Fault, Reason};
use super::lines::for_each_line;

/// What a label starts with.
pub const PREFIX: &str = "__label__";

/// The columns of a block of lines that starts at byte `position` of its file.
#[must_use]
pub fn parse(block: &[u8], position: i64, max_record_bytes: usize, labelled: bool) -> Columns {
    for_each_line(
        block,
        position,
        max_record_bytes,
        |_, _, _| None,
        |columns, at, line| parse_line(columns, at, line, labelled),
    )
}

fn parse_line(columns: &mut Columns, at: i64, line: &str, labelled: bool) -> Result<(), Fault> {
    let mut first = None;
    let mut rest = line.trim_start_matches([' ', '\t']);
    while let Some(labels) = rest.strip_prefix(PREFIX) {
        let end = labels.find([' ', '\t']).unwrap_or(labels.len());
        first = first.or(Some(&labels[..end]));
        rest = labels[end..].trim_start_matches([' ', '\t']);
    }
    let label = match first {
        _ if !labelled => None,
        None => {
            return Err((
                Reason::MissingLabel,
                format!("the line does not start with {PREFIX}"),
            ));
        }
        Some("") => return Err((Reason::EmptyLabel, format!("nothing follows {PREFIX}"))),
        label => label,
    };
    columns.data.extend_from_slice(rest.as_bytes());
    columns.finish_row(at, label, None);
    Ok(())
}
