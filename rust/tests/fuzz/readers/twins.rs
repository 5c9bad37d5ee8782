//! What readers must give, written as one would explain it.

use super::Settings;
use super::laws::{counts, rows, same};
use _core::read::{Columns, Reason, csv};

/// The lines of a block that are not blank, by their first byte, without their ends. One that is too long is a bad
/// record whatever it is of.
pub fn lines(block: &[u8], most: usize) -> impl Iterator<Item = (usize, &[u8])> {
    let mut start = 0;
    block.split(|byte| *byte == b'\n').filter_map(move |line| {
        let at = start;
        start += line.len() + 1;
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let blank = line.iter().all(|byte| b" \t\r".contains(byte));
        (!blank || line.len() > most).then_some((at, line))
    })
}

/// The strict way takes what the quick one takes: behind a line that is not UTF-8 no line is taken the quick way.
pub fn strict_json(settings: &Settings, block: &[u8], whole: &Columns) -> Result<(), String> {
    let spoilt = [block, b"\n\xff"].concat();
    let strict = settings.parse(&spoilt, 0);
    same("row of the strict way", rows(whole), rows(&strict))?;
    let bad = &strict.bad[..whole.bad.len().min(strict.bad.len())];
    same("bad record of the strict way", &whole.bad, bad)?;
    counts(&strict, lines(&spoilt, settings.max_record_bytes).count())?;
    let integers = [strict.labels_are_integers];
    same("integer labels", [whole.labels_are_integers], integers)
}

/// A record of a row or of a bad record.
type Outcome = Result<(Vec<u8>, Option<String>, Option<u32>), Reason>;

fn compare(
    settings: &Settings,
    whole: &Columns,
    expected: &[(usize, Outcome)],
) -> Result<(), String> {
    let at = |start: usize| settings.position + start as i64;
    let good = expected.iter().filter_map(|(start, outcome)| {
        let (text, label, weight) = outcome.as_ref().ok()?;
        Some((at(*start), &**text, label.as_deref(), *weight))
    });
    same("row", rows(whole), good)?;
    let bad = expected.iter().filter_map(|(start, outcome)| {
        let reason = outcome.as_ref().err()?;
        Some((at(*start), *reason))
    });
    let kept = whole.bad.iter().map(|bad| (bad.position, bad.reason));
    same("bad record", kept, bad.take(super::laws::MOST_KEPT))?;
    counts(whole, expected.len())
}

pub fn fasttext(settings: &Settings, block: &[u8], whole: &Columns) -> Result<(), String> {
    let outcome = |line: &[u8]| -> Outcome {
        if line.len() > settings.max_record_bytes {
            return Err(Reason::TooLong);
        }
        let line = str::from_utf8(line).map_err(|_| Reason::InvalidUtf8)?;
        let blank = |character: &char| [' ', '\t'].contains(character);
        let mut rest: Vec<char> = line.chars().skip_while(blank).collect();
        let mut labels = Vec::new();
        while rest.starts_with(&['_', '_', 'l', 'a', 'b', 'e', 'l', '_', '_']) {
            labels.push(
                rest[9..]
                    .iter()
                    .take_while(|c| !blank(c))
                    .collect::<String>(),
            );
            let behind = rest
                .iter()
                .skip_while(|c| !blank(c))
                .skip_while(|c| blank(c));
            rest = behind.copied().collect();
        }
        let text = rest.into_iter().collect::<String>().into_bytes();
        if !settings.labelled {
            return Ok((text, None, None));
        }
        match labels.into_iter().next() {
            None => Err(Reason::MissingLabel),
            Some(label) if label.is_empty() => Err(Reason::EmptyLabel),
            label => Ok((text, label, None)),
        }
    };
    let expected: Vec<_> = lines(block, settings.max_record_bytes)
        .map(|(at, line)| (at, outcome(line)))
        .collect();
    compare(settings, whole, &expected)
}

pub fn reviews(settings: &Settings, block: &[u8], whole: &Columns) -> Result<(), String> {
    const BEGIN: &[u8] = b"<review>";
    const END: &[u8] = _core::read::reviews::END;
    let mut expected = Vec::new();
    let mut start = 0;
    while start < block.len() {
        let mut ends = start + END.len()..=block.len();
        let end = ends.find(|&end| block[start..end].ends_with(END));
        let stop = end.unwrap_or(block.len());
        let begins = (start..stop).filter(|&at| block[at..stop].starts_with(BEGIN));
        let mut begins: Vec<usize> = begins.collect();
        if begins.is_empty() {
            begins.extend((start..stop).find(|&at| !block[at].is_ascii_whitespace()));
        }
        for (i, &at) in begins.iter().enumerate() {
            let closed = i + 1 == begins.len() && end.is_some();
            let outcome = if closed {
                review(settings, &block[at..stop], whole, at)
            } else {
                Err(Reason::BrokenReview)
            };
            expected.push((at, outcome));
        }
        start = stop;
    }
    compare(settings, whole, &expected)
}

fn review(settings: &Settings, review: &[u8], whole: &Columns, at: usize) -> Outcome {
    if review.len() > settings.max_record_bytes {
        return Err(Reason::TooLong);
    }
    let review = str::from_utf8(review).map_err(|_| Reason::InvalidUtf8)?;
    let element = |name: &str| {
        let (_, behind) = review.split_once(&format!("<{name}>"))?;
        Some(behind.split_once(&format!("</{name}>"))?.0.trim())
    };
    let text = element("review_text").ok_or(Reason::MissingText)?;
    // Entities are what the fuzzer in Python looks at.
    let read = || {
        let position = settings.position + at as i64;
        let row = whole.position.binary_search(&position).ok()?;
        rows(whole).nth(row).map(|row| row.1.to_vec())
    };
    let text = if text.contains('&') {
        read().unwrap_or_default()
    } else {
        text.into()
    };
    if !settings.labelled {
        return Ok((text, None, None));
    }
    let stars = element("rating").ok_or(Reason::MissingLabel)?;
    let label = match stars.parse::<f64>() {
        Ok(stars) if !stars.is_finite() => return Err(Reason::WrongType),
        Ok(stars) if stars <= 2.0 => "negative",
        Ok(stars) if stars >= 4.0 => "positive",
        Ok(_) => return Err(Reason::Neutral),
        Err(_) => return Err(Reason::WrongType),
    };
    Ok((text, Some(label.to_owned()), None))
}

/// A record of CSV: its first byte, its length without the line end, its fields, and whether a quote stays open.
struct Record {
    start: usize,
    length: usize,
    fields: Vec<Field>,
    open: bool,
}

/// A field as it is read, and as it stands in the file.
#[derive(Default)]
struct Field {
    read: Vec<u8>,
    stands: Vec<u8>,
}

#[derive(PartialEq)]
enum State {
    Start,
    Plain,
    Quoted,
    /// Behind a quote in a quoted field.
    Quote,
}

/// Python's `csv`, byte by byte, but that only a line feed ends a line.
fn records(block: &[u8], delimiter: u8) -> Vec<Record> {
    let mut records = Vec::new();
    let (mut start, mut state) = (0, State::Start);
    let mut fields = vec![Field::default()];
    let mut end_record = |end: usize, fields: Vec<Field>, state: &State| {
        let mut record = Record {
            start,
            length: end - start,
            fields,
            open: *state == State::Quoted,
        };
        start = end + 1;
        // A return belongs to the line end, unless quotes are around it.
        let last = record.fields.last_mut().expect("a field");
        if *state == State::Plain && block[..end].ends_with(b"\r") {
            last.read.pop();
            record.length -= 1;
        }
        if record.length > 0 {
            records.push(record);
        }
    };
    for (at, &byte) in block.iter().enumerate() {
        let field = fields.last_mut().expect("a field");
        field.stands.push(byte);
        let field = &mut field.read;
        match (&state, byte) {
            (State::Start, b'"') => state = State::Quoted,
            (State::Quoted, b'"') => state = State::Quote,
            (State::Quoted, _) => field.push(byte),
            (State::Quote, b'"') => {
                field.push(b'"');
                state = State::Quoted;
            }
            (_, b'\n') => {
                end_record(
                    at,
                    std::mem::replace(&mut fields, vec![Field::default()]),
                    &state,
                );
                state = State::Start;
            }
            (_, byte) if byte == delimiter => {
                fields.push(Field::default());
                state = State::Start;
            }
            _ => {
                field.push(byte);
                state = State::Plain;
            }
        }
    }
    if start_of_rest(block, &fields, &state) {
        end_record(block.len(), fields, &state);
    }
    records
}

/// Whether anything stands behind the last line end.
fn start_of_rest(block: &[u8], fields: &[Field], state: &State) -> bool {
    !block.is_empty() && (fields.len() > 1 || *state != State::Start)
}

pub fn csv(settings: &Settings, block: &[u8], whole: &Columns) -> Result<(), String> {
    let records = records(block, settings.delimiter());
    let wanted = settings.csv();
    let outcome = |record: &Record| -> Outcome {
        if record.length > settings.max_record_bytes {
            return Err(Reason::TooLong);
        }
        if record.open {
            return Err(Reason::UnbalancedQuote);
        }
        if record.fields.len() != settings.n_columns {
            return Err(Reason::RaggedRow);
        }
        let utf8 = |column: usize| {
            let Field { read, stands } = &record.fields[column];
            let valid = str::from_utf8(stands).and_then(|_| str::from_utf8(read));
            valid.map_err(|_| Reason::InvalidUtf8)
        };
        let text = utf8(wanted.text)?.as_bytes().to_vec();
        let weight = match wanted.weight.map(utf8).transpose()? {
            None => None,
            Some("") => return Err(Reason::MissingWeight),
            Some(weight) => {
                let weight = weight
                    .trim()
                    .parse::<f32>()
                    .map_err(|_| Reason::BadWeight)?;
                let usable = weight.is_finite() && weight >= 0.0;
                Some(
                    usable
                        .then_some(weight.to_bits())
                        .ok_or(Reason::BadWeight)?,
                )
            }
        };
        match wanted.label.map(utf8).transpose()? {
            Some("") => Err(Reason::EmptyLabel),
            label => Ok((text, label.map(str::to_owned), weight)),
        }
    };
    let expected: Vec<_> = records
        .iter()
        .map(|record| (record.start, outcome(record)))
        .collect();
    compare(settings, whole, &expected)?;
    header(block, settings.delimiter(), &records)
}

/// The first record is also what is taken for the header, if the block does not begin with an empty line.
fn header(block: &[u8], delimiter: u8, records: &[Record]) -> Result<(), String> {
    let found = csv::first_record(block, delimiter);
    let expected = match records.first() {
        Some(record) if record.start == 0 => record
            .fields
            .iter()
            .map(|field| field.read.clone())
            .collect(),
        _ if block.is_empty() => vec![],
        _ => vec![vec![]],
    };
    same("field of the header", found, expected)
}
