//! Text of any alphabet to lower case, as `str.lower` gives it, and to one bit a byte: word character or not.
//!
//! ```text
//! 64 or 8 bytes of ASCII    classified together
//! any other character       its entry in the table; copied if it is its own lower case
//! Σ                         looks around for cased characters
//! ```
//!
//! Lower case comes before the search for words: it moves their edges (İ becomes i and a combining dot) and
//! changes their length in bytes.

use super::Table;
use super::utf8::{Decoded, decode, encode, four};
use crate::kernels::{BLOCK, SLACK, portable::classify};

/// What came of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lowered {
    /// The bytes of its lower case.
    pub length: usize,
    /// Whether it was UTF-8.
    pub valid: bool,
}

/// Lower-cases a text into buffers that are grown as needed and hold rubbish behind what is written.
pub fn lower(
    text: &[u8],
    lowercase: bool,
    table: &Table,
    lowered: &mut Vec<u8>,
    mask: &mut Vec<u64>,
) -> Lowered {
    mask.clear();
    let mut out = Output {
        lowered,
        at: 0,
        mask,
        open: 0,
        used: 0,
    };
    let valid = if lowercase {
        lower_as::<true>(text, table, &mut out)
    } else {
        lower_as::<false>(text, table, &mut out)
    };
    Lowered {
        length: out.finish(),
        valid,
    }
}

/// ASCII bytes looked at together: about a word, else a block.
const WORD: usize = 8;

fn lower_as<const LOWER: bool>(text: &[u8], table: &Table, out: &mut Output<'_>) -> bool {
    let (mut at, mut valid) = (0, true);
    while at < text.len() {
        out.make_room(text.len() - at);
        if let Some(block) = text[at..]
            .first_chunk::<WORD>()
            .filter(|block| block.is_ascii())
        {
            if let Some(block) = text[at..]
                .first_chunk::<BLOCK>()
                .filter(|block| block.is_ascii())
            {
                at += ascii::<LOWER, BLOCK>(block, out);
            } else {
                at += ascii::<LOWER, WORD>(block, out);
            }
            continue;
        }
        let decoded = character::<LOWER>(text, at, table, out);
        valid &= decoded.valid;
        at += decoded.count;
    }
    valid
}

#[inline(always)]
fn ascii<const LOWER: bool, const N: usize>(block: &[u8; N], out: &mut Output<'_>) -> usize {
    let mut lowered = [0; N];
    let word = classify::<LOWER, N>(block, &mut lowered);
    out.write(lowered, word, N);
    N
}

/// Writes the lower case of the character at a byte.
#[inline(always)]
fn character<const LOWER: bool>(
    text: &[u8],
    at: usize,
    table: &Table,
    out: &mut Output<'_>,
) -> Decoded {
    let encoded = four(text, at);
    let decoded @ Decoded {
        character, count, ..
    } = decode(encoded);
    let entry = table.entry(character);
    if !LOWER {
        out.write_character(encoded, count, entry.is_word());
    } else if entry.is_lower() {
        out.write_character(encoded, count, entry.lower_is_word());
    } else if entry.expands() {
        for &part in table.expansion(character) {
            let (encoded, count) = encode(part);
            out.write_character(encoded, count, table.entry(part).is_word());
        }
    } else {
        let (encoded, count) = encode(if character == CAPITAL_SIGMA {
            lower_of_sigma(text, at, table)
        } else {
            entry.lower(character)
        });
        out.write_character(encoded, count, entry.lower_is_word());
    }
    decoded
}

/// Σ, the one letter whose lower case depends on its neighbours.
pub const CAPITAL_SIGMA: u32 = 0x3a3;
const SIGMA: u32 = 0x3c3;
const FINAL_SIGMA: u32 = 0x3c2;

/// The lower case of the capital sigma at this byte: the final one if it ends a word, which is a cased character
/// before it and none after it, whatever case-ignorable ones lie between (Unicode's Final_Sigma; Python reads it
/// so too).
#[cold]
pub fn lower_of_sigma(text: &[u8], at: usize, table: &Table) -> u32 {
    let look = |at| {
        table
            .entry(decode(four(text, at)).character)
            .cased_unless_ignorable()
    };
    let starts = |from: usize, to: usize| (from..to).filter(|&i| text[i] & 0xc0 != 0x80);
    let ends_a_word = starts(0, at).rev().find_map(look) == Some(true)
        && starts(at + 2, text.len()).find_map(look) != Some(true);
    if ends_a_word { FINAL_SIGMA } else { SIGMA }
}

/// What is written so far: bytes, and whole words of 64 bits plus an open one.
struct Output<'a> {
    lowered: &'a mut Vec<u8>,
    at: usize,
    mask: &'a mut Vec<u64>,
    open: u64,
    used: usize,
}

impl Output<'_> {
    /// Makes room for one step of the loop, and for about as much as is still to come.
    #[inline(always)]
    fn make_room(&mut self, rest: usize) {
        if self.lowered.len() < self.at + BLOCK + SLACK {
            self.lowered
                .resize(self.at + rest + rest / 4 + 2 * BLOCK + SLACK, 0);
        }
    }

    /// Writes `count` of the `N` bytes, whose bits are `word` and 0 beyond them.
    #[inline(always)]
    fn write<const N: usize>(&mut self, bytes: [u8; N], word: u64, count: usize) {
        if let Some(room) = self
            .lowered
            .get_mut(self.at..)
            .and_then(<[u8]>::first_chunk_mut)
        {
            *room = bytes;
        }
        self.at += count;
        self.open |= word << self.used;
        self.used += count;
        if self.used >= 64 {
            self.mask.push(self.open);
            self.used -= 64;
            self.open = if self.used == 0 {
                0
            } else {
                word >> (count - self.used)
            };
        }
    }

    #[inline(always)]
    fn write_character(&mut self, encoded: [u8; 4], count: usize, word: bool) {
        self.write(encoded, if word { (1 << count) - 1 } else { 0 }, count);
    }

    /// Closes the mask; returns how many bytes were written.
    fn finish(self) -> usize {
        if self.used > 0 {
            self.mask.push(self.open);
        }
        let length = self.at.next_multiple_of(BLOCK) + SLACK;
        if self.lowered.len() < length {
            self.lowered.resize(length, 0);
        }
        self.at
    }
}
