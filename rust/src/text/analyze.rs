//! One document: its text to words, its words to hashes of n-grams.

use super::Table;
use crate::kernels::{Kernels, SLACK, portable::classify};

/// The memory that one document after the other is worked on in.
#[derive(Debug, Default)]
pub struct Scratch {
    lowered: Vec<u8>,
    mask: Vec<u64>,
    edges: Vec<u32>,
    joined: Vec<u8>,
    joined_edges: Vec<u32>,
}

impl Scratch {
    /// Finds the words of a text of ASCII alone.
    pub fn ascii(&mut self, kernels: &Kernels, text: &[u8], lowercase: bool) {
        (kernels.words)(text, lowercase, &mut self.lowered, &mut self.mask);
        (kernels.edges)(&self.mask, &mut self.edges);
    }

    /// Finds the words of any text.
    pub fn unicode(&mut self, kernels: &Kernels, text: &[u8], lowercase: bool, table: &Table) {
        self.lowered.clear();
        let mut bits = Bits::new(&mut self.mask);
        if lowercase {
            lower::<true>(text, table, &mut self.lowered, &mut bits);
        } else {
            lower::<false>(text, table, &mut self.lowered, &mut bits);
        }
        bits.finish();
        self.lowered.resize(self.lowered.len() + SLACK, 0);
        (kernels.edges)(&self.mask, &mut self.edges);
        drop_single_characters(&self.lowered, &mut self.edges);
    }

    /// Appends the hashes of all n-grams of the words found last.
    pub fn hash(
        &mut self,
        kernels: &Kernels,
        least: usize,
        greatest: usize,
        hashes: &mut Vec<u32>,
    ) {
        if least == 1 {
            (kernels.grams)(&self.lowered, &self.edges, 1, hashes);
        }
        if greatest > 1 {
            self.join();
            for n in least.max(2)..=greatest.min(self.edges.len() / 2) {
                (kernels.grams)(&self.joined, &self.joined_edges, n, hashes);
            }
        }
    }

    /// The words with one space between them: an n-gram is then a slice.
    fn join(&mut self) {
        self.joined.clear();
        self.joined_edges.clear();
        for &[start, end] in self.edges.as_chunks::<2>().0 {
            let (start, end) = (start as usize, end as usize);
            let at = self.joined.len();
            // Copies of a fixed length are single instructions; what is too much is cut off again.
            if end - start <= SLACK {
                self.joined
                    .extend_from_slice(&self.lowered[start..start + SLACK]);
                self.joined.truncate(at + end - start);
            } else {
                self.joined.extend_from_slice(&self.lowered[start..end]);
            }
            self.joined_edges
                .extend([at as u32, self.joined.len() as u32]);
            self.joined.push(b' ');
        }
        self.joined.resize(self.joined.len() + SLACK, 0);
    }
}

/// Words are of two characters and more; the mask knows only bytes.
fn drop_single_characters(lowered: &[u8], edges: &mut Vec<u32>) {
    let mut kept = 0;
    for i in 0..edges.len() / 2 {
        let (start, end) = (edges[2 * i], edges[2 * i + 1]);
        edges[kept] = start;
        edges[kept + 1] = end;
        let lead = lowered[start as usize];
        kept += 2 * usize::from(lead < 0x80 || (end - start) as usize != length(lead));
    }
    edges.truncate(kept);
}

/// Bits appended one handful after the other.
struct Bits<'a> {
    words: &'a mut Vec<u64>,
    open: u64,
    used: u32,
}

impl<'a> Bits<'a> {
    fn new(words: &'a mut Vec<u64>) -> Self {
        words.clear();
        Self {
            words,
            open: 0,
            used: 0,
        }
    }

    /// Appends the lowest `count` bits of `bits`, 1 to 63 of them; the others must be 0.
    #[inline(always)]
    fn push(&mut self, bits: u64, count: u32) {
        self.open |= bits << self.used;
        self.used += count;
        if self.used >= 64 {
            self.words.push(self.open);
            self.used -= 64;
            self.open = if self.used == 0 {
                0
            } else {
                bits >> (count - self.used)
            };
        }
    }

    fn finish(self) {
        if self.used > 0 {
            self.words.push(self.open);
        }
    }
}

/// ASCII bytes looked at together inside a text of other alphabets: about a word.
const RUN: usize = 8;

fn lower<const LOWER: bool>(
    text: &[u8],
    table: &Table,
    lowered: &mut Vec<u8>,
    bits: &mut Bits<'_>,
) {
    lowered.reserve(text.len() + text.len() / 2 + SLACK);
    let mut at = 0;
    while at < text.len() {
        if let Some(block) = text[at..].first_chunk::<RUN>() {
            let ascii =
                (u64::from_le_bytes(*block) & 0x8080_8080_8080_8080).trailing_zeros() as usize / 8;
            if ascii > 0 {
                let mut out = [0; RUN];
                let word = classify::<LOWER, RUN>(block, &mut out) & ((1 << ascii) - 1);
                lowered.extend_from_slice(&out);
                lowered.truncate(lowered.len() - (RUN - ascii));
                bits.push(word, ascii as u32);
                at += ascii;
                continue;
            }
        }
        let (character, bytes) = decode(&text[at..]);
        let entry = table.entry(character);
        if !LOWER || entry.is_lower() {
            put(
                &text[at..at + bytes],
                if LOWER {
                    entry.lower_is_word()
                } else {
                    entry.is_word()
                },
                lowered,
                bits,
            );
        } else if let Some(expansion) = table.expansion(character) {
            expansion
                .iter()
                .for_each(|&c| put_lower(c, table.entry(c).is_word(), lowered, bits));
        } else if character == CAPITAL_SIGMA && sigma_is_final(text, at, table) {
            put_lower(FINAL_SIGMA, entry.lower_is_word(), lowered, bits);
        } else {
            put_lower(entry.lower(character), entry.lower_is_word(), lowered, bits);
        }
        at += bytes;
    }
}

#[inline(always)]
fn put(encoded: &[u8], word: bool, lowered: &mut Vec<u8>, bits: &mut Bits<'_>) {
    let count = encoded.len() as u32;
    lowered.extend_from_slice(encoded);
    bits.push(if word { (1 << count) - 1 } else { 0 }, count);
}

fn put_lower(character: u32, word: bool, lowered: &mut Vec<u8>, bits: &mut Bits<'_>) {
    let (encoded, count) = encode(character);
    put(&encoded[..count], word, lowered, bits);
}

const CAPITAL_SIGMA: u32 = 0x3a3;
const FINAL_SIGMA: u32 = 0x3c2;

/// Whether the capital sigma at this byte ends a word: a cased character before it and none after it, whatever
/// case-ignorable ones lie between (Unicode's Final_Sigma; Python reads it so too).
fn sigma_is_final(text: &[u8], at: usize, table: &Table) -> bool {
    let mut before = text[..at]
        .iter()
        .enumerate()
        .rev()
        .filter(|(_, byte)| **byte & 0xc0 != 0x80);
    let cased =
        before.find_map(|(i, _)| table.entry(decode(&text[i..]).0).cased_unless_ignorable());
    if cased != Some(true) {
        return false;
    }
    let mut next = at + 2;
    while next < text.len() {
        let (character, bytes) = decode(&text[next..]);
        if let Some(cased) = table.entry(character).cased_unless_ignorable() {
            return !cased;
        }
        next += bytes;
    }
    true
}

/// The bytes of the character that starts with `lead`.
#[inline(always)]
fn length(lead: u8) -> usize {
    match lead {
        0..0xc0 => 1,
        0xc0..0xe0 => 2,
        0xe0..0xf0 => 3,
        _ => 4,
    }
}

/// The first character of a text that is not empty, and its bytes; of a broken text something, never a panic.
#[inline(always)]
fn decode(text: &[u8]) -> (u32, usize) {
    let tail = |byte: u8| u32::from(byte & 0x3f);
    match *text {
        [a @ 0xc0..0xe0, b, ..] => (u32::from(a & 0x1f) << 6 | tail(b), 2),
        [a @ 0xe0..0xf0, b, c, ..] => (u32::from(a & 0xf) << 12 | tail(b) << 6 | tail(c), 3),
        [a @ 0xf0..=0xff, b, c, d, ..] => (
            u32::from(a & 7) << 18 | tail(b) << 12 | tail(c) << 6 | tail(d),
            4,
        ),
        [a, ..] => (u32::from(a), 1),
        [] => (0, 1),
    }
}

/// A character as UTF-8.
fn encode(character: u32) -> ([u8; 4], usize) {
    let tail = |shift: u32| 0x80 | (character >> shift & 0x3f) as u8;
    match character {
        0..0x80 => ([character as u8, 0, 0, 0], 1),
        0x80..0x800 => ([0xc0 | (character >> 6) as u8, tail(0), 0, 0], 2),
        0x800..0x1_0000 => ([0xe0 | (character >> 12) as u8, tail(6), tail(0), 0], 3),
        _ => (
            [0xf0 | (character >> 18) as u8, tail(12), tail(6), tail(0)],
            4,
        ),
    }
}
