//! What a parser fills: the columns of a block, and the records that are no rows.

use std::collections::HashMap;

/// At most this many bad records of a block keep their details; the rest is only counted.
const KEPT_BAD_RECORDS: usize = 1000;

/// Why a record is no row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// The line is not JSON.
    BrokenJson,
    /// The line is JSON, but no object.
    NotAnObject,
    /// The record has no text, or it is null.
    MissingText,
    /// The record has no label, or it is null.
    MissingLabel,
    /// The label is an empty string.
    EmptyLabel,
    /// The record has no weight, or it is null.
    MissingWeight,
    /// The weight is negative or no finite number.
    BadWeight,
    /// A column is of another type than needed.
    WrongType,
    /// The record is longer than allowed.
    TooLong,
    /// The record is not UTF-8.
    InvalidUtf8,
    /// The record has fewer or more fields than the header.
    RaggedRow,
    /// A quote was opened and never closed.
    UnbalancedQuote,
    /// A review without its closing tag, or without text or rating.
    BrokenReview,
    /// A review of three stars, neither negative nor positive.
    Neutral,
}

impl Reason {
    /// The reason as users read it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::BrokenJson => "broken JSON",
            Self::NotAnObject => "not an object",
            Self::MissingText => "missing text",
            Self::MissingLabel => "missing label",
            Self::EmptyLabel => "empty label",
            Self::MissingWeight => "missing weight",
            Self::BadWeight => "bad weight",
            Self::WrongType => "wrong type",
            Self::TooLong => "record too long",
            Self::InvalidUtf8 => "invalid UTF-8",
            Self::RaggedRow => "ragged row",
            Self::UnbalancedQuote => "unbalanced quote",
            Self::BrokenReview => "broken review",
            Self::Neutral => "neutral",
        }
    }
}

/// A record that is no row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bad {
    /// Byte of the file where the record starts.
    pub position: i64,
    /// Why it is no row.
    pub reason: Reason,
    /// What exactly was met.
    pub detail: String,
}

/// A reason with what was met: what a parser of one record fails with.
pub type Fault = (Reason, String);

/// The fault of a record of more than `max_bytes` bytes.
///
/// # Errors
/// If `n_bytes` is more than that.
pub fn check_length(n_bytes: usize, max_bytes: usize) -> Result<(), Fault> {
    if n_bytes > max_bytes {
        return Err((Reason::TooLong, format!("more than {max_bytes} bytes")));
    }
    Ok(())
}

/// The columns of a block.
#[derive(Debug)]
pub struct Columns {
    /// The UTF-8 bytes of all texts.
    pub data: Vec<u8>,
    /// Where each text starts and ends in `data`: `n_rows + 1` numbers, the first is 0.
    pub offsets: Vec<i64>,
    /// The label of each row as an index into `classes`; empty if labels are not read.
    pub codes: Vec<i32>,
    /// The distinct labels in order of appearance.
    pub classes: Vec<String>,
    /// The weight of each row; empty if weights are not read.
    pub weight: Vec<f32>,
    /// Byte of the file where each row starts.
    pub position: Vec<i64>,
    /// The first bad records.
    pub bad: Vec<Bad>,
    /// How many records were bad, and why.
    pub bad_counts: Vec<(Reason, u64)>,
    /// Whether every label so far was an integer.
    pub labels_are_integers: bool,
    code_of: HashMap<String, i32>,
}

impl Columns {
    /// No rows yet; room for about `n_bytes` of text.
    #[must_use]
    pub fn with_capacity(n_bytes: usize) -> Self {
        Self {
            data: Vec::with_capacity(n_bytes),
            offsets: vec![0],
            codes: Vec::new(),
            classes: Vec::new(),
            weight: Vec::new(),
            position: Vec::new(),
            bad: Vec::new(),
            bad_counts: Vec::new(),
            labels_are_integers: true,
            code_of: HashMap::new(),
        }
    }

    /// The number of rows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.position.len()
    }

    /// Whether there is no row.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.position.is_empty()
    }

    /// Take back the text of a row that was begun and not finished.
    pub fn drop_unfinished_text(&mut self) {
        let end = self.offsets.last().copied().unwrap_or(0);
        self.data.truncate(end as usize);
    }

    /// Finish a row whose text was appended to `data` already.
    pub fn finish_row(&mut self, position: i64, label: Option<&str>, weight: Option<f32>) {
        self.offsets.push(self.data.len() as i64);
        self.position.push(position);
        if let Some(label) = label {
            let code = self.code(label);
            self.codes.push(code);
        }
        if let Some(weight) = weight {
            self.weight.push(weight);
        }
    }

    /// Record that the record at `position` is no row.
    pub fn reject(&mut self, position: i64, (reason, detail): Fault) {
        self.drop_unfinished_text();
        match self
            .bad_counts
            .iter_mut()
            .find(|(known, _)| *known == reason)
        {
            Some((_, count)) => *count += 1,
            None => self.bad_counts.push((reason, 1)),
        }
        if self.bad.len() < KEPT_BAD_RECORDS {
            self.bad.push(Bad {
                position,
                reason,
                detail,
            });
        }
    }

    fn code(&mut self, label: &str) -> i32 {
        // Sorted files repeat one label for long: look at the last one first.
        if let Some(&last) = self.codes.last()
            && self.classes[last as usize] == label
        {
            return last;
        }
        if let Some(&code) = self.code_of.get(label) {
            return code;
        }
        let code = self.classes.len() as i32;
        self.labels_are_integers &= is_integer(label);
        self.classes.push(label.to_owned());
        self.code_of.insert(label.to_owned(), code);
        code
    }
}

/// Whether a label is an integer as a program writes it: no plus, no leading zero, not `-0`.
#[must_use]
pub fn is_integer(label: &str) -> bool {
    label
        .parse::<i64>()
        .is_ok_and(|value| value.to_string() == label)
}

/// The weight that a text denotes.
///
/// # Errors
/// If it is no finite number of 0 or more.
pub fn parse_weight(literal: &str) -> Result<f32, Fault> {
    match literal.trim().parse::<f32>() {
        Ok(weight) if weight.is_finite() && weight >= 0.0 => Ok(weight),
        _ => Err((Reason::BadWeight, format!("weight {}", shown(literal)))),
    }
}

/// The beginning of a value, for messages.
#[must_use]
pub fn shown(value: &str) -> String {
    const LONGEST: usize = 60;
    match value.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &value[..end]),
        None => value.to_owned(),
    }
}
