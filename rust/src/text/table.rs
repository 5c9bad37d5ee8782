//! What Python knows of each character: word character or not, lower case, what the final sigma asks for, and whether
//! it is a combining mark; and what the learner's token rule says of it.
//!
//! ```text
//! file      palette of distinct entries; runs (length, entry) over all code points; expansions
//! memory    blocks[starts[character >> 8] + (character & 255)]      equal blocks are kept once
//! entry     bits 0–20 lower case minus character (modulo 2^21), then the flags; two bits of kind, which no file has
//! ```
//!
//! The files are written by `rust/tables/make_tables.py`, one per Unicode version; for a version without a file
//! the same bytes are made by the running Python.

use super::HashError;
use super::lower::CAPITAL_SIGMA;
use super::scripts::{JOINER, Kind, NON_JOINER, RANGES};
use super::utf8::encode;
use crate::kernels::{Class, Plane};
use std::collections::HashMap;

/// Code points there are.
const CHARACTERS: usize = 0x11_0000;
const BLOCK: usize = 256;
/// Characters that one may become; whoever writes lower case makes room for so many.
const MOST_EXPANDED: u32 = 8;
const DELTA: u32 = (1 << 21) - 1;
const WORD: u32 = 1 << 21;
const LOWER_IS_WORD: u32 = 1 << 22;
const CASED: u32 = 1 << 23;
const IGNORABLE: u32 = 1 << 24;
const EXPANDS: u32 = 1 << 25;
const MARK: u32 = 1 << 26;
/// Beyond the 28 bits of a number in a file.
const KIND: u32 = 28;

/// What is known of one character.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry(u32);

impl Entry {
    /// Whether `\w` matches the character.
    #[inline(always)]
    pub fn is_word(self) -> bool {
        self.0 & WORD != 0
    }

    /// Whether `\w` matches its lower case.
    #[inline(always)]
    pub fn lower_is_word(self) -> bool {
        self.0 & LOWER_IS_WORD != 0
    }

    /// Whether the character is its own lower case.
    #[inline(always)]
    pub fn is_lower(self) -> bool {
        self.0 & (DELTA | EXPANDS) == 0
    }

    /// Whether its lower case is more than one character.
    pub fn expands(self) -> bool {
        self.0 & EXPANDS != 0
    }

    /// The lower case of `character`, whose entry this is.
    #[inline(always)]
    pub fn lower(self, character: u32) -> u32 {
        character.wrapping_add(self.0) & DELTA
    }

    /// Whether the character is a combining mark or one of the zero-width joiners, which stay in their words.
    #[inline(always)]
    pub fn is_mark(self) -> bool {
        self.0 & MARK != 0
    }

    /// What the character is to the token rule of the learner, if it is not simply a part of a word or of nothing.
    #[inline(always)]
    pub fn kind(self) -> Option<Kind> {
        match self.0 >> KIND {
            1 => Some(Kind::Unspaced),
            2 => Some(Kind::Pictograph),
            3 => Some(Kind::Tag),
            _ => None,
        }
    }

    /// The same entry with what `kind` makes of it.
    fn with_kind(self, kind: Kind) -> u32 {
        let in_word = self.0 & (WORD | MARK) != 0;
        match kind {
            Kind::Unspaced if in_word => self.0 | 1 << KIND,
            Kind::Pictograph if !in_word => self.0 | 2 << KIND,
            Kind::Tag if !in_word => self.0 | 3 << KIND,
            _ => self.0,
        }
    }

    /// What the character is to the kernels under the token rule of the learner.
    fn token_class(self, character: u32, lowercase: bool) -> Class {
        if self.kind().is_some() {
            Class::Odd
        } else if self.is_mark() && self.is_lower() {
            Class::Word
        } else {
            self.class(character, lowercase)
        }
    }

    /// What the character, whose entry this is, is to the kernels.
    fn class(self, character: u32, lowercase: bool) -> Class {
        let lower = self.lower(character);
        match (lowercase && !self.is_lower(), u16::try_from(lower)) {
            (false, _) if self.is_word() => Class::Word,
            (false, _) => Class::Other,
            (true, Ok(lower))
                if self.lower_is_word()
                    && !self.expands()
                    && character != CAPITAL_SIGMA
                    && encode(u32::from(lower)).1 == encode(character).1 =>
            {
                Class::Becomes(lower)
            }
            (true, _) => Class::Odd,
        }
    }

    /// Whether the character has case; `None` if the search for one goes on behind it.
    pub fn cased_unless_ignorable(self) -> Option<bool> {
        if self.0 & IGNORABLE != 0 {
            None
        } else {
            Some(self.0 & CASED != 0)
        }
    }
}

/// The characters of one Unicode version as Python sees them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    starts: Vec<u16>,
    entries: Vec<u32>,
    expansions: Vec<(u32, Vec<u32>)>,
    plane: Plane,
    token_plane: Plane,
}

impl Table {
    /// The table that comes with this crate for `unicodedata.unidata_version`, if there is one.
    #[must_use]
    pub fn file(unidata_version: &str) -> Option<&'static [u8]> {
        match unidata_version {
            "14.0.0" => Some(include_bytes!("../../tables/unicode-14.0.0.bin")),
            "15.0.0" => Some(include_bytes!("../../tables/unicode-15.0.0.bin")),
            "15.1.0" => Some(include_bytes!("../../tables/unicode-15.1.0.bin")),
            "16.0.0" => Some(include_bytes!("../../tables/unicode-16.0.0.bin")),
            _ => None,
        }
    }

    /// The table in a file's bytes.
    ///
    /// # Errors
    /// [`HashError::Table`] if they are no such file.
    pub fn decode(bytes: &[u8]) -> Result<Self, HashError> {
        let mut reader = Reader(bytes);
        let size = reader.number()?;
        let palette = (0..size)
            .map(|_| reader.number())
            .collect::<Result<Vec<_>, _>>()?;
        let mut all = Vec::with_capacity(CHARACTERS);
        while all.len() < CHARACTERS {
            let (length, which) = (reader.number()? as usize, reader.number()? as usize);
            let entry = *palette.get(which).ok_or_else(|| broken("no such entry"))?;
            if length == 0 || length > CHARACTERS - all.len() {
                return Err(broken("a run of wrong length"));
            }
            all.resize(all.len() + length, entry);
        }
        let expansions = (0..reader.number()?)
            .map(|_| reader.expansion())
            .collect::<Result<Vec<_>, _>>()?;
        if !reader.0.is_empty() {
            return Err(broken("bytes behind its end"));
        }
        let lowers = all
            .iter()
            .zip(0..)
            .map(|(&entry, character)| Entry(entry).lower(character));
        if lowers
            .max()
            .is_some_and(|greatest| greatest as usize >= CHARACTERS)
        {
            return Err(broken("a lower case that is no character"));
        }
        for joiner in [JOINER, NON_JOINER] {
            all[joiner as usize] |= MARK;
        }
        for &(first, last, kind) in RANGES {
            for entry in &mut all[first as usize..=last as usize] {
                *entry = Entry(*entry).with_kind(kind);
            }
        }
        Ok(Self::compressed(&all, expansions))
    }

    fn compressed(all: &[u32], expansions: Vec<(u32, Vec<u32>)>) -> Self {
        let (mut starts, mut entries, mut seen) = (Vec::new(), Vec::new(), HashMap::new());
        for block in all.chunks_exact(BLOCK) {
            let number = seen.len() as u16;
            starts.push(*seen.entry(block).or_insert_with(|| {
                entries.extend_from_slice(block);
                number
            }));
        }
        Self {
            starts,
            entries,
            expansions,
            plane: Plane::new(false, |character, lowercase| {
                let character = u32::from(character);
                Entry(all[character as usize]).class(character, lowercase)
            }),
            token_plane: Plane::new(true, |character, lowercase| {
                let character = u32::from(character);
                Entry(all[character as usize]).token_class(character, lowercase)
            }),
        }
    }

    /// What the kernels know of the characters.
    pub fn plane(&self) -> &Plane {
        &self.plane
    }

    /// What they know of them under the token rule of the learner.
    pub fn token_plane(&self) -> &Plane {
        &self.token_plane
    }

    /// What is known of a character; of a number that is none, as much as of the unassigned.
    #[inline(always)]
    pub fn entry(&self, character: u32) -> Entry {
        let block = self
            .starts
            .get(character as usize / BLOCK)
            .copied()
            .unwrap_or(0);
        Entry(self.entries[block as usize * BLOCK + character as usize % BLOCK])
    }

    /// The lower case of a character that has several for one; empty if there is none.
    pub fn expansion(&self, character: u32) -> &[u32] {
        let found = self.expansions.iter().find(|(from, _)| *from == character);
        found.map_or(&[], |(_, to)| to.as_slice())
    }
}

fn broken(what: &str) -> HashError {
    HashError::Table(what.to_owned())
}

/// Numbers of seven bits a byte, the lowest first, the eighth bit saying that there are more.
struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn number(&mut self) -> Result<u32, HashError> {
        let mut number = 0;
        for shift in (0..28).step_by(7) {
            let (&byte, rest) = self.0.split_first().ok_or_else(|| broken("cut off"))?;
            self.0 = rest;
            number |= u32::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err(broken("a number of more than 28 bits"))
    }

    fn expansion(&mut self) -> Result<(u32, Vec<u32>), HashError> {
        let (from, count) = (self.number()?, self.number()?);
        if count > MOST_EXPANDED {
            return Err(broken("an expansion too long"));
        }
        let to = (0..count)
            .map(|_| self.number())
            .collect::<Result<Vec<_>, _>>()?;
        if to.iter().chain([&from]).all(|c| (*c as usize) < CHARACTERS) {
            Ok((from, to))
        } else {
            Err(broken("an expansion that is no character"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{CHARACTERS, Table};
    use proptest::prelude::*;

    const VERSIONS: [&str; 4] = ["14.0.0", "15.0.0", "15.1.0", "16.0.0"];

    fn table(version: &str) -> Table {
        Table::file(version)
            .map(Table::decode)
            .expect("a file")
            .expect("a table")
    }

    #[test]
    fn every_version_knows_ascii_alike() {
        for table in VERSIONS.map(table) {
            for (byte, code) in (0u8..0x80).zip(0..) {
                let entry = table.entry(code);
                assert_eq!(
                    entry.is_word(),
                    byte.is_ascii_alphanumeric() || byte == b'_'
                );
                assert_eq!(entry.lower(code), u32::from(byte.to_ascii_lowercase()));
            }
        }
    }

    #[test]
    fn only_the_dotted_capital_i_becomes_two() {
        for table in VERSIONS.map(table) {
            let several = (0..CHARACTERS as u32).filter(|&code| table.entry(code).expands());
            assert_eq!(several.collect::<Vec<_>>(), [0x130]);
            assert_eq!(table.expansion(0x130), [0x69, 0x307]);
        }
    }

    #[test]
    fn what_the_token_rule_knows_has_no_case() {
        for table in VERSIONS.map(table) {
            for code in 0..CHARACTERS as u32 {
                let entry = table.entry(code);
                if entry.kind().is_some() || entry.is_mark() {
                    assert!(entry.is_lower(), "{code:x}");
                }
            }
        }
    }

    #[test]
    fn every_version_knows_marks() {
        for table in VERSIONS.map(table) {
            for mark in [0x300, 0x93f, 0xbc0, 0xe34, 0xfe0f, 0x200d, 0xe0100] {
                assert!(table.entry(mark).is_mark(), "{mark:x}");
            }
            assert!(!table.entry(0x41).is_mark() && !table.entry(0x4e00).is_mark());
        }
    }

    #[test]
    fn an_unknown_version_has_no_file() {
        assert!(Table::file("13.0.0").is_none());
    }

    proptest! {
        #[test]
        fn a_damaged_file_is_an_error_or_a_table(at in 0usize..7000, byte: u8, length in 0usize..7200) {
            let mut bytes = Table::file("14.0.0").expect("a file").to_vec();
            bytes[at] = byte;
            bytes.truncate(length);
            if let Ok(table) = Table::decode(&bytes) {
                table.entry(u32::MAX);
            }
        }
    }
}
