//! JSON lines: one object a line, of which a few fields are wanted.
//!
//! ```text
//! for each line
//!     if it is an ordinary object         brackets, quotes and escapes are looked for 16 bytes at a time;
//!         take its fields                 the text is copied once, on the way
//!     else                                whatever is rare, doubtful or broken
//!         take its fields by serde_json   the judge of what JSON is, and of what is wrong with it
//!     text, label, weight → a row, or a bad record
//! ```
//!
//! [`ordinary`] is quick and may give up on any line; [`strict`] is slow and never does. What the former takes the
//! latter would take alike: the tests compare them on lines that were hurt at random.
//!
//! Stricter than Python's `json`: `NaN` and lone surrogates in a wanted field are refused. A label that is a number or
//! a boolean is the literal as it stands in the file. A later field of the same name replaces an earlier one.

mod ordinary;
mod strict;
mod strings;

use std::borrow::Cow;

use super::columns::{Columns, Fault, Reason, parse_weight, shown};
use super::lines::for_each_line;
use ordinary::Ordinary;

/// The names of the wanted fields.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// The field with the text.
    pub text: String,
    /// The field with the label, if labels are read.
    pub label: Option<String>,
    /// The field with the weight, if weights are read.
    pub weight: Option<String>,
}

/// The columns of a block of JSON lines that starts at byte `position` of its file.
#[must_use]
pub fn parse(block: &[u8], position: i64, max_record_bytes: usize, wanted: &Wanted) -> Columns {
    let ordinary = Ordinary::new(wanted, max_record_bytes);
    for_each_line(
        block,
        position,
        max_record_bytes,
        |columns, at, rest| ordinary.as_ref()?.take(columns, at, rest),
        |columns, at, line| strict::take(columns, at, line, wanted),
    )
}

/// Finish the row whose text is in the columns, from the literals of its label and its weight.
fn finish(
    columns: &mut Columns,
    at: i64,
    label: Option<&str>,
    weight: Option<&str>,
    wanted: &Wanted,
) -> Result<(), Fault> {
    // The string "1" is no integer, though a CSV column of the same look is.
    let is_string = label.is_some_and(|literal| literal.starts_with('"'));
    let label = match &wanted.label {
        Some(name) => Some(label_of(label, name)?),
        None => None,
    };
    columns.labels_are_integers &= !is_string;
    let weight = match &wanted.weight {
        Some(name) => Some(weight_of(weight, name)?),
        None => None,
    };
    columns.finish_row(at, label.as_deref(), weight);
    Ok(())
}

fn label_of<'line>(literal: Option<&'line str>, name: &str) -> Result<Cow<'line, str>, Fault> {
    let literal = literal.unwrap_or("null");
    match literal.as_bytes().first() {
        Some(b'"') => match string_of(literal)? {
            label if label.is_empty() => Err((Reason::EmptyLabel, format!("{name:?} is empty"))),
            label => Ok(label),
        },
        Some(b'[' | b'{') => Err((Reason::WrongType, format!("{name:?} is {}", shown(literal)))),
        Some(b'n') | None => Err((Reason::MissingLabel, format!("no field {name:?}, or null"))),
        Some(b't' | b'f') => Ok(Cow::Borrowed(literal)),
        Some(_) if literal.parse::<f64>().is_ok_and(f64::is_finite) => Ok(Cow::Borrowed(literal)),
        Some(_) => Err((
            Reason::WrongType,
            format!("{name:?} is {}, out of range", shown(literal)),
        )),
    }
}

fn weight_of(literal: Option<&str>, name: &str) -> Result<f32, Fault> {
    match literal {
        None | Some("null") => Err((Reason::MissingWeight, format!("no field {name:?}, or null"))),
        Some(literal) if literal.starts_with('"') => parse_weight(&string_of(literal)?),
        Some(literal) => parse_weight(literal),
    }
}

/// The string that a literal with its quotes denotes; most have no escapes and are the literal itself.
fn string_of(literal: &str) -> Result<Cow<'_, str>, Fault> {
    let inside = &literal[1..literal.len() - 1];
    if memchr::memchr(b'\\', inside.as_bytes()).is_none() {
        return Ok(Cow::Borrowed(inside));
    }
    serde_json::from_str::<String>(literal)
        .map(Cow::Owned)
        .map_err(|error| strict::fault_of(&error))
}

#[cfg(test)]
mod tests;
