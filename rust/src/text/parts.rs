//! A long document hashed part by part: the memory for its words and hashes does not grow with it.
//!
//! ```text
//! for each part of about a megabyte, cut behind a character that belongs to no word, or behind a space:
//!     words  ← the last words of the part before, then those of this one
//!     for n in least ..= greatest: hash each n words that end in this part
//! ```
//!
//! The hashes are those of the whole document, in another order. N-grams of the characters of a word lie in one part
//! where parts are cut behind a space; those of any characters take the last ones of the parts before along.

use super::analyzer::{TokenRule, WORDS};
use super::lower::CAPITAL_SIGMA;
use super::spaces::starts_with_space;
use super::utf8::{decode, four, length};
use super::{Sizes, Table};
use crate::kernels::{Kernels, SLACK};

/// Bytes of a part at least; a shorter document is hashed whole.
pub const PART: usize = 1 << 20;

/// The most words of an n-gram of which documents are hashed in parts.
pub const MOST_WORDS: usize = 16;

/// The most characters of an n-gram across the words of a text of which documents are hashed in parts.
pub const MOST_CHARACTERS: usize = 64;

/// What a part may end behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Behind {
    /// A character that belongs to no token.
    Token(TokenRule),
    /// Whitespace.
    Space,
    /// Whitespace of a single character.
    LoneSpace,
}

impl Behind {
    /// Whether a part may end behind the character at a byte; the table is needed unless that is ASCII.
    fn is_behind(self, text: &[u8], at: usize, table: Option<&Table>) -> bool {
        match self {
            Self::Token(rule) => {
                let byte = text[at];
                let entry = table.map(|table| table.entry(decode(four(text, at)).character));
                let is_word = entry.map_or(byte.is_ascii_alphanumeric() || byte == b'_', |entry| {
                    entry.is_word() || entry.lower_is_word() || entry.expands()
                });
                let is_token = entry.is_some_and(|entry| entry.is_mark() || entry.kind().is_some())
                    || byte == b'!'
                    || byte == b'?';
                !is_word && (rule == TokenRule::TwoOrMore || !is_token)
            }
            Self::Space => starts_with_space(text, at),
            Self::LoneSpace => {
                starts_with_space(text, at)
                    && !starts_with_space(text, at + length(text[at]))
                    && (at == 0 || !starts_with_space(text, start_of_last(&text[..at], 1)))
            }
        }
    }
}

/// Where the last so many characters of a text start; at its beginning if there are not as many.
pub fn start_of_last(text: &[u8], characters: usize) -> usize {
    let Some(last) = characters.checked_sub(1) else {
        return text.len();
    };
    let mut starts = (0..text.len()).rev().filter(|&at| !is_tail(text[at]));
    starts.nth(last).unwrap_or(0)
}

/// Characters that are looked at on each side of a cut for a capital sigma.
const NEAR: usize = 64;

/// What the parts so far leave to the next one: their last words, a space behind each, and their last characters.
#[derive(Debug, Default)]
pub struct Carried {
    /// The last characters, as n-grams of them are made of.
    pub characters: Vec<u8>,
    text: Vec<u8>,
    edges: Vec<u32>,
}

impl Carried {
    /// No n-gram of words reaches back across this place.
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
    end: Behind,
    table: Option<&Table>,
) -> usize {
    let from = start.saturating_add(part).min(text.len());
    let Some(table) = table else {
        let at = (from..text.len()).find(|&at| end.is_behind(text, at, None));
        return at.map_or(text.len(), |at| at + 1);
    };
    let mut at = from;
    while at < text.len() && is_tail(text[at]) {
        at += 1;
    }
    while at < text.len() {
        let found = decode(four(text, at));
        let may_end = end.is_behind(text, at, Some(table));
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
