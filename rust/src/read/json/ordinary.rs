//! The ordinary line: an object of which the wanted fields are strings, numbers or booleans, each there once.
//!
//! ```text
//! '{'  (name ':' value)  (',' name ':' value)*  '}'  line end          blanks between any two of them
//!     the text            a string, appended to the columns on the way to its end
//!     label and weight    kept as the piece of the line that denotes them
//!     any other           passed; arrays and objects by serde_json
//! ```
//!
//! Nothing looks for the end of the line beforehand: inside a string a line end is a control character, and elsewhere
//! it is nothing that may stand there. Whatever else is met, a null, an escape in a name, a field given twice, the
//! line is given up, and `strict` says what it is.

use serde::de::IgnoredAny;

use super::{Wanted, finish, strings};
use crate::kernels::plain::is_special;
use crate::read::columns::Columns;

/// Takes ordinary lines, for given names of fields.
pub struct Ordinary<'a> {
    wanted: &'a Wanted,
    max_record_bytes: usize,
}

impl<'a> Ordinary<'a> {
    /// `None` if a name cannot stand in a line as it is.
    pub fn new(wanted: &'a Wanted, max_record_bytes: usize) -> Option<Self> {
        let names = [
            Some(&wanted.text),
            wanted.label.as_ref(),
            wanted.weight.as_ref(),
        ];
        let as_it_is = |name: &String| !name.bytes().any(is_special);
        names.into_iter().flatten().all(as_it_is).then_some(Self {
            wanted,
            max_record_bytes,
        })
    }

    /// Append the row of the first line of `rest`: the bytes of the line and its end; `None`, and nothing is changed,
    /// if that is not an ordinary one.
    pub fn take(&self, columns: &mut Columns, at: i64, rest: &str) -> Option<usize> {
        let taken = self.row(columns, at, rest);
        if taken.is_none() {
            columns.drop_unfinished_text();
        }
        taken
    }

    fn row(&self, columns: &mut Columns, position: i64, rest: &str) -> Option<usize> {
        let mut line = Line {
            bytes: rest.as_bytes(),
            at: 0,
        };
        let fields = self.fields(&mut line, &mut columns.data)?;
        let end = line.end()?;
        let n_bytes = end - usize::from(end > 0 && line.bytes[end - 1] == b'\r');
        if n_bytes > self.max_record_bytes || !fields.has_text {
            return None;
        }
        let literal = |span: Option<(usize, usize)>| span.and_then(|(from, to)| rest.get(from..to));
        finish(
            columns,
            position,
            literal(fields.label),
            literal(fields.weight),
            self.wanted,
        )
        .ok()?;
        Some((end + 1).min(rest.len()))
    }

    fn fields(&self, line: &mut Line<'_>, data: &mut Vec<u8>) -> Option<Fields> {
        let mut fields = Fields::default();
        line.blanks();
        line.expect(b'{')?;
        loop {
            line.blanks();
            line.expect(b'"')?;
            let field = self.name(line)?;
            line.blanks();
            line.expect(b':')?;
            line.blanks();
            let start = line.at;
            match field {
                Field::Text if !fields.has_text => {
                    line.expect(b'"')?;
                    line.at = strings::append(line.bytes, line.at, data)? + 1;
                    fields.has_text = true;
                }
                Field::Label if fields.label.is_none() => {
                    line.scalar()?;
                    fields.label = Some((start, line.at));
                }
                Field::Weight if fields.weight.is_none() => {
                    line.scalar()?;
                    fields.weight = Some((start, line.at));
                }
                Field::Other => line.value()?,
                _ => return None,
            }
            line.blanks();
            match line.next()? {
                b',' => {}
                b'}' => return Some(fields),
                _ => return None,
            }
        }
    }

    /// Which field the name is that starts here, behind its quote.
    fn name(&self, line: &mut Line<'_>) -> Option<Field> {
        let Wanted {
            text,
            label,
            weight,
        } = self.wanted;
        let names = [
            (Some(text), Field::Text),
            (label.as_ref(), Field::Label),
            (weight.as_ref(), Field::Weight),
        ];
        for (name, field) in names {
            if let Some(name) = name
                && line.skip_name(name.as_bytes())
            {
                return Some(field);
            }
        }
        let end = strings::skip(line.bytes, line.at)?;
        // An escape may spell a wanted name.
        if line.bytes[line.at..end].contains(&b'\\') {
            return None;
        }
        line.at = end + 1;
        Some(Field::Other)
    }
}

/// What was found so far; literals by where they start and end.
#[derive(Default)]
struct Fields {
    has_text: bool,
    label: Option<(usize, usize)>,
    weight: Option<(usize, usize)>,
}

#[derive(Clone, Copy)]
enum Field {
    Text,
    Label,
    Weight,
    Other,
}

/// A line, and all that follows it, read from left to right.
struct Line<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Line<'_> {
    #[inline]
    fn next(&mut self) -> Option<u8> {
        let byte = *self.bytes.get(self.at)?;
        self.at += 1;
        Some(byte)
    }

    #[inline]
    fn expect(&mut self, byte: u8) -> Option<()> {
        (self.next()? == byte).then_some(())
    }

    #[inline]
    fn blanks(&mut self) {
        while let Some(b' ' | b'\t' | b'\r') = self.bytes.get(self.at) {
            self.at += 1;
        }
    }

    /// Where the line ends, nothing but blanks standing before it.
    fn end(&mut self) -> Option<usize> {
        self.blanks();
        let at_end = self.bytes.get(self.at).is_none_or(|byte| *byte == b'\n');
        at_end.then_some(self.at)
    }

    /// Pass a name and its closing quote if they stand here.
    #[inline]
    fn skip_name(&mut self, name: &[u8]) -> bool {
        let end = self.at + name.len();
        let is_here = self.bytes.get(end) == Some(&b'"') && &self.bytes[self.at..end] == name;
        if is_here {
            self.at = end + 1;
        }
        is_here
    }

    /// Pass a string, a number or a boolean.
    fn scalar(&mut self) -> Option<()> {
        match self.bytes.get(self.at)? {
            b'"' => self.at = strings::skip(self.bytes, self.at + 1)? + 1,
            b't' => self.word(b"true")?,
            b'f' => self.word(b"false")?,
            _ => self.number()?,
        }
        Some(())
    }

    /// Pass any value.
    fn value(&mut self) -> Option<()> {
        match self.bytes.get(self.at)? {
            b'n' => self.word(b"null"),
            b'[' | b'{' => self.nested(),
            _ => self.scalar(),
        }
    }

    fn word(&mut self, word: &[u8]) -> Option<()> {
        let here = self.bytes.get(self.at..)?.starts_with(word);
        self.at += word.len();
        here.then_some(())
    }

    fn nested(&mut self) -> Option<()> {
        // serde_json would read a nested value on across line ends.
        let rest = &self.bytes[self.at..];
        let line = &rest[..memchr::memchr(b'\n', rest).unwrap_or(rest.len())];
        let mut values = serde_json::Deserializer::from_slice(line).into_iter::<IgnoredAny>();
        values.next()?.ok()?;
        self.at += values.byte_offset();
        Some(())
    }

    /// `-? (0 | [1-9][0-9]*) ([.][0-9]+)? ([eE][+-]?[0-9]+)?`
    fn number(&mut self) -> Option<()> {
        self.skip_one_of(b"-");
        if !self.skip_one_of(b"0") {
            self.digits()?;
        }
        if self.skip_one_of(b".") {
            self.digits()?;
        }
        if self.skip_one_of(b"eE") {
            self.skip_one_of(b"+-");
            self.digits()?;
        }
        Some(())
    }

    fn skip_one_of(&mut self, bytes: &[u8]) -> bool {
        let is_here = self
            .bytes
            .get(self.at)
            .is_some_and(|byte| bytes.contains(byte));
        self.at += usize::from(is_here);
        is_here
    }

    fn digits(&mut self) -> Option<()> {
        let start = self.at;
        while self.bytes.get(self.at).is_some_and(u8::is_ascii_digit) {
            self.at += 1;
        }
        (self.at > start).then_some(())
    }
}
