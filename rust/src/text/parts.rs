//! A long document hashed part by part: the memory for its words and hashes does not grow with it.
//!
//! ```text
//! for each part of about a megabyte, cut behind a character that belongs to no word, or behind a space:
//!     words  ← the last words of the part before, then those of this one
//!     for n in least ..= greatest: hash each n words that end in this part
//! ```
//!
//! The hashes are those of the whole document, in another order. N-grams of the characters of a word lie in one part
//! where parts are cut behind a space.

use super::analyzer::{TokenRule, WORDS};
use super::lower::CAPITAL_SIGMA;
use super::spaces::starts_with_space;
use super::table::Entry;
use super::utf8::{decode, four};
use super::{Sizes, Table};
use crate::kernels::{Kernels, SLACK};

/// Bytes of a part at least; a shorter document is hashed whole.
pub const PART: usize = 1 << 20;

/// The most words of an n-gram of which documents are hashed in parts.
pub const MOST_WORDS: usize = 16;

/// Where a part may end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Behind a character that belongs to no token.
    BehindToken(TokenRule),
    /// Behind whitespace.
    BehindSpace,
}

impl End {
    fn is_at_byte(self, byte: u8) -> bool {
        let is_word = byte.is_ascii_alphanumeric() || byte == b'_';
        match self {
            Self::BehindToken(TokenRule::TwoOrMore) => !is_word,
            Self::BehindToken(TokenRule::Unicode) => !is_word && byte != b'!' && byte != b'?',
            Self::BehindSpace => starts_with_space(&[byte], 0),
        }
    }

    /// Whether it may lie behind the character at a byte, which is not ASCII.
    fn is_at(self, text: &[u8], at: usize, entry: Entry) -> bool {
        let is_word = entry.is_word() || entry.lower_is_word() || entry.expands();
        match self {
            Self::BehindToken(TokenRule::TwoOrMore) => !is_word,
            Self::BehindToken(TokenRule::Unicode) => {
                !is_word && !entry.is_mark() && entry.kind().is_none()
            }
            Self::BehindSpace => starts_with_space(text, at),
        }
    }
}

/// Characters that are looked at on each side of a cut for a capital sigma.
const NEAR: usize = 64;

/// The last words of the parts so far, a space behind each.
#[derive(Debug, Default)]
pub struct Carried {
    text: Vec<u8>,
    edges: Vec<u32>,
}

impl Carried {
    /// No n-gram reaches back across this place.
    pub fn clear(&mut self) {
        self.text.clear();
        self.edges.clear();
    }

    /// Appends the hashes of the n-grams that end in a part, whose words are given as [`Kernels::pack`] gives them.
    pub fn hash(
        &mut self,
        kernels: &Kernels,
        Sizes { least, greatest }: Sizes,
        joined: &[u8],
        edges: &[u32],
        hashes: &mut Vec<u32>,
    ) {
        let (before, shift) = (self.edges.len() / 2, self.text.len() as u32);
        let start = edges.first().copied().unwrap_or(0);
        let length = edges.last().map_or(0, |&end| end as usize + 1);
        self.text.extend_from_slice(&joined[start as usize..length]);
        self.edges
            .extend(edges.iter().map(|edge| edge - start + shift));
        let words = self.edges.len() / 2;
        let length = self.text.len();
        self.text.resize(length + SLACK, 0);
        for n in least..=greatest {
            let first = (before + 1).saturating_sub(n);
            if n <= words - first {
                (kernels.grams)(&self.text, &self.edges[2 * first..], n, WORDS, hashes);
            }
        }
        self.text.truncate(length);
        let gone = 2 * words.saturating_sub(greatest - 1);
        let start = self.edges.get(gone).map_or(length, |&edge| edge as usize);
        self.text.drain(..start);
        self.edges.drain(..gone);
        self.edges.iter_mut().for_each(|edge| *edge -= start as u32);
    }
}

/// Where the part ends that starts at a byte: `part` bytes on, or as soon after that as a cut changes no word and no
/// lower case. The table is needed unless all of the text is ASCII.
pub fn end_of_part(
    text: &[u8],
    start: usize,
    part: usize,
    end: End,
    table: Option<&Table>,
) -> usize {
    let from = start.saturating_add(part).min(text.len());
    let Some(table) = table else {
        let at = text[from..].iter().position(|&byte| end.is_at_byte(byte));
        return at.map_or(text.len(), |at| from + at + 1);
    };
    let mut at = from;
    while at < text.len() && is_tail(text[at]) {
        at += 1;
    }
    while at < text.len() {
        let found = decode(four(text, at));
        let may_end = match text[at] {
            byte @ ..0x80 => end.is_at_byte(byte),
            _ => end.is_at(text, at, table.entry(found.character)),
        };
        at = (at + found.count).min(text.len());
        if found.valid
            && may_end
            && no_sigma_before(text, at, table)
            && no_sigma_behind(text, at, table)
        {
            return at;
        }
    }
    text.len()
}

fn is_tail(byte: u8) -> bool {
    byte & 0xc0 == 0x80
}

/// Whether the nearest character before a byte that is not case-ignorable is there and is no capital sigma, whose
/// lower case depends on what follows.
fn no_sigma_before(text: &[u8], mut at: usize, table: &Table) -> bool {
    for _ in 0..NEAR {
        if at == 0 {
            return true;
        }
        at -= 1;
        while at > 0 && is_tail(text[at]) {
            at -= 1;
        }
        let character = decode(four(text, at)).character;
        if table.entry(character).cased_unless_ignorable().is_some() {
            return character != CAPITAL_SIGMA;
        }
    }
    false
}

/// The same of the characters from a byte on.
fn no_sigma_behind(text: &[u8], mut at: usize, table: &Table) -> bool {
    for _ in 0..NEAR {
        if at >= text.len() {
            return true;
        }
        let found = decode(four(text, at));
        if table
            .entry(found.character)
            .cased_unless_ignorable()
            .is_some()
        {
            return found.character != CAPITAL_SIGMA;
        }
        at += found.count;
    }
    false
}
