//! CSV and TSV: records of fields, quoted where they hold delimiters, quotes or line ends (RFC 4180).
//!
//! ```text
//! field  := '"' (any byte but '"' | '""')* '"' rest     rest: whatever follows up to the delimiter, kept as it is
//!         | bytes up to the delimiter or the line end   a quote inside is a quote
//! record := field (delimiter field)* ('\r')? '\n'
//! ```
//!
//! These are the rules of Python's `csv` module. [`Cutter`] applies the same rules to a stream that arrives in pieces
//! and knows no fields, so both always agree where a record ends.

use memchr::{memchr, memchr2};

use super::columns::{Columns, Fault, Reason, check_length, parse_weight};
use super::lines::utf8;

/// Where the wanted columns are.
#[derive(Debug, Clone, Copy)]
pub struct Wanted {
    /// Number of the text column.
    pub text: usize,
    /// Number of the label column, if labels are read.
    pub label: Option<usize>,
    /// Number of the weight column, if weights are read.
    pub weight: Option<usize>,
    /// Number of columns of the header.
    pub n_columns: usize,
    /// A longer record is a bad one.
    pub max_record_bytes: usize,
}

/// Where a record of a stream is up to: what decides whether a line end ends it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    FieldStart,
    Unquoted,
    Quoted,
    /// After a quote inside a quoted field: it was the last one, or the first of two.
    QuoteInQuoted,
}

/// Finds the record ends of a stream that arrives in pieces.
#[derive(Debug, Clone)]
pub struct Cutter {
    delimiter: u8,
    state: State,
}

impl Cutter {
    /// A cutter at the beginning of a record.
    #[must_use]
    pub fn new(delimiter: u8) -> Self {
        Self {
            delimiter,
            state: State::FieldStart,
        }
    }

    /// Just behind the first and the last record end in the next piece of the stream.
    pub fn feed(&mut self, piece: &[u8]) -> Option<(usize, usize)> {
        let mut ends: Option<(usize, usize)> = None;
        let mut at = 0;
        while at < piece.len() {
            match self.state {
                State::FieldStart if piece[at] == b'"' => {
                    self.state = State::Quoted;
                    at += 1;
                }
                State::QuoteInQuoted if piece[at] == b'"' => {
                    self.state = State::Quoted;
                    at += 1;
                }
                State::Quoted => match memchr(b'"', &piece[at..]) {
                    Some(quote) => {
                        self.state = State::QuoteInQuoted;
                        at += quote + 1;
                    }
                    None => at = piece.len(),
                },
                _ => match memchr2(self.delimiter, b'\n', &piece[at..]) {
                    Some(found) => {
                        self.state = State::FieldStart;
                        at += found + 1;
                        if piece[at - 1] == b'\n' {
                            ends = Some((ends.map_or(at, |(first, _)| first), at));
                        }
                    }
                    None => {
                        self.state = State::Unquoted;
                        at = piece.len();
                    }
                },
            }
        }
        ends
    }

    /// Whether the stream stands inside quotes: at its end, a quote was never closed.
    #[must_use]
    pub fn in_quotes(&self) -> bool {
        self.state == State::Quoted
    }
}

/// One field: where it stands, and whether it has to be copied to lose its doubled quotes.
#[derive(Debug, Clone, Copy)]
struct Field {
    start: usize,
    end: usize,
    quoted: bool,
}

/// The fields of the records of a block, one record after the other.
struct Records<'block> {
    block: &'block [u8],
    delimiter: u8,
    at: usize,
    fields: Vec<Field>,
    unbalanced: bool,
}

impl Records<'_> {
    /// Read the next record into `fields`; its start, or `None` at the end of the block.
    fn next(&mut self) -> Option<usize> {
        if self.at >= self.block.len() {
            return None;
        }
        let record = self.at;
        self.fields.clear();
        self.unbalanced = false;
        while self.field() {}
        Some(record)
    }

    /// Read one field; whether the record has another.
    fn field(&mut self) -> bool {
        let start = self.at;
        let quoted = self.block.get(start) == Some(&b'"');
        let mut at = start;
        if quoted {
            at += 1;
            loop {
                match memchr(b'"', &self.block[at..]) {
                    None => {
                        self.unbalanced = true;
                        at = self.block.len();
                        break;
                    }
                    Some(quote) => at += quote + 1,
                }
                if self.block.get(at) != Some(&b'"') {
                    break;
                }
                at += 1;
            }
        }
        let found = memchr2(self.delimiter, b'\n', &self.block[at..]);
        let end = found.map_or(self.block.len(), |found| at + found);
        self.at = found.map_or(end, |_| end + 1);
        let more = found.is_some() && self.block[end] == self.delimiter;
        let ends_in_return = !more && end > at && self.block[end - 1] == b'\r';
        self.fields.push(Field {
            start,
            end: end - usize::from(ends_in_return),
            quoted,
        });
        more
    }

    /// Append a field, which must be UTF-8 as it stands in the file: bytes that only become a character when the quotes
    /// between them are gone are none.
    fn append_text(&self, column: usize, out: &mut Vec<u8>) -> Result<(), Fault> {
        let field = self.fields[column];
        utf8(&self.block[field.start..field.end])?;
        self.append(field, out);
        Ok(())
    }

    fn append(&self, field: Field, out: &mut Vec<u8>) {
        let bytes = &self.block[field.start..field.end];
        if !field.quoted {
            out.extend_from_slice(bytes);
            return;
        }
        let mut rest = &bytes[1..];
        // Inside quotes two quotes are one; behind the closing quote everything is as it stands.
        while let Some(quote) = memchr(b'"', rest) {
            out.extend_from_slice(&rest[..quote]);
            rest = &rest[quote + 1..];
            if rest.first() != Some(&b'"') {
                break;
            }
            out.push(b'"');
            rest = &rest[1..];
        }
        out.extend_from_slice(rest);
    }
}

/// The columns of a block of CSV records (without the header) that starts at byte `position` of its file.
#[must_use]
pub fn parse(block: &[u8], position: i64, delimiter: u8, wanted: Wanted) -> Columns {
    let mut columns = Columns::with_capacity(block.len());
    let mut records = Records {
        block,
        delimiter,
        at: 0,
        fields: Vec::new(),
        unbalanced: false,
    };
    let mut scratch = Vec::new();
    while let Some(start) = records.next() {
        let at = position + start as i64;
        if records.fields.len() == 1 && records.fields[0].start == records.fields[0].end {
            continue; // an empty line
        }
        let end = records.fields.last().map_or(start, |field| field.end);
        let result = check_length(end - start, wanted.max_record_bytes)
            .and_then(|()| parse_record(&mut columns, at, &records, &mut scratch, wanted));
        if let Err(fault) = result {
            columns.reject(at, fault);
        }
    }
    columns
}

/// All fields of the first record: the header.
#[must_use]
pub fn first_record(block: &[u8], delimiter: u8) -> Vec<Vec<u8>> {
    let mut records = Records {
        block,
        delimiter,
        at: 0,
        fields: Vec::new(),
        unbalanced: false,
    };
    if records.next().is_none() {
        return Vec::new();
    }
    let texts = records.fields.iter().map(|&field| {
        let mut text = Vec::new();
        records.append(field, &mut text);
        text
    });
    texts.collect()
}

fn parse_record(
    columns: &mut Columns,
    at: i64,
    records: &Records<'_>,
    scratch: &mut Vec<u8>,
    wanted: Wanted,
) -> Result<(), Fault> {
    if records.unbalanced {
        return Err((
            Reason::UnbalancedQuote,
            format!("a quote opened in the record at byte {at} is never closed"),
        ));
    }
    let n_fields = records.fields.len();
    if n_fields != wanted.n_columns {
        return Err((
            Reason::RaggedRow,
            format!("{n_fields} fields, the header has {}", wanted.n_columns),
        ));
    }
    records.append_text(wanted.text, &mut columns.data)?;
    let weight = match wanted.weight {
        Some(column) => {
            scratch.clear();
            records.append_text(column, scratch)?;
            match utf8(scratch)? {
                "" => return Err((Reason::MissingWeight, "the field is empty".to_owned())),
                literal => Some(parse_weight(literal)?),
            }
        }
        None => None,
    };
    let label = match wanted.label {
        Some(column) => {
            scratch.clear();
            records.append_text(column, scratch)?;
            match utf8(scratch)? {
                "" => return Err((Reason::EmptyLabel, "the field is empty".to_owned())),
                label => Some(label),
            }
        }
        None => None,
    };
    columns.finish_row(at, label, weight);
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn parser_and_cutter_agree_where_a_record_ends(block in "[a\",\n\r]{0,60}") {
            let block = block.as_bytes();
            let mut records = Records { block, delimiter: b',', at: 0, fields: Vec::new(), unbalanced: false };
            let mut cutter = Cutter::new(b',');
            while let Some(start) = records.next() {
                let ends = cutter.feed(&block[start..records.at]);
                let whole = block[..records.at].ends_with(b"\n") && !records.unbalanced;
                prop_assert_eq!(ends, whole.then_some((records.at - start, records.at - start)));
            }
        }

        #[test]
        fn a_field_is_a_text_only_if_it_is_one_in_the_file(split in 1..3usize) {
            let (lead, rest) = "日".as_bytes().split_at(split);
            let block = [b"\"a", lead, b"\"", rest, b",x\n\"a\"\"b\",x\n"].concat();
            let wanted = Wanted { text: 0, label: Some(1), weight: None, n_columns: 2, max_record_bytes: 99 };
            let columns = parse(&block, 0, b',', wanted);
            prop_assert_eq!(columns.bad_counts, [(Reason::InvalidUtf8, 1)]);
            prop_assert_eq!(columns.data, b"a\"b");
        }

        #[test]
        fn no_bytes_make_a_parser_panic(block: Vec<u8>) {
            let wanted = Wanted { text: 0, label: Some(1), weight: None, n_columns: 2, max_record_bytes: 9 };
            let n_rows = [
                parse(&block, 0, b',', wanted).len(),
                super::super::reviews::parse(&block, 0, 99, true).len(),
                super::super::fasttext::parse(&block, 0, 99, true).len(),
            ];
            prop_assert!(n_rows.iter().all(|n| *n <= block.len()));
        }
    }
}
