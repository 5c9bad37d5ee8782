//! The tokens of the learner, which are words of any length and more, in all scripts.
//!
//! ```text
//! word        a run of letters, digits, underscores, combining marks and zero-width (non-)joiners
//! emoji       a pictograph or a pair of regional indicators, and the marks, modifiers, tags and joined pictographs
//!             behind it
//! marks       a run of ! and ?
//! unspaced    a run of letters of a script without spaces, each with its marks: no token; its n-grams of one to three
//!             such letters are features beside those of the tokens, and n-grams of tokens do not reach across it
//! ```
//!
//! Words are bits of a mask, made by the kernels as those of scikit-learn's pattern are. The kernels ask about each
//! pictograph and each letter of an unspaced script; what begins there is taken in as a whole. Text that they give up
//! on is gone through once more character by character, by [`Beside::classify`], which is also the reference of their
//! tests.

use super::in_place::tokens_in_place;
use super::lower::lower;
use super::scripts::{JOINER, Kind, is_modifier, is_regional};
use super::utf8::{Decoded, decode, four};
use super::{StopWords, Table};
use crate::kernels::portable::grow;
use crate::kernels::{BLOCK, Kernels, SLACK};
use memchr::memchr2_iter;

/// The longest n-gram of letters of a script without spaces.
const LONGEST: usize = 3;

/// What the tokens of a text are beside the words in its mask.
#[derive(Debug, Default)]
pub struct Beside {
    /// Emoji and runs of ! and ?: start and end, ascending.
    tokens: Vec<[u32; 2]>,
    /// Where unspaced runs start.
    runs: Vec<u32>,
    /// Start and end of each n-gram of these runs.
    grams: Vec<[u32; 2]>,
    /// What of all these has marks in it, which the kernels take for words.
    marked: Vec<[u32; 2]>,
    /// The end of the last emoji or run.
    end: usize,
    all: Tokens,
}

/// All tokens of a text in their order.
#[derive(Debug, Default)]
pub struct Tokens {
    /// Start, end, start, end, …
    edges: Vec<u32>,
    /// How many edges there are up to the end of each stretch, which n-grams do not leave.
    ends: Vec<usize>,
}

impl Tokens {
    /// Start and end of each token, one after the other.
    pub fn edges(&self) -> &[u32] {
        &self.edges
    }

    /// The edges of each stretch without an unspaced run in it, one stretch more than there are runs.
    pub fn stretches(&self) -> impl Iterator<Item = &[u32]> {
        let starts = [0].into_iter().chain(self.ends.iter().copied());
        let spans = starts.zip(&self.ends);
        spans.map(|(start, &end)| &self.edges[start..end])
    }

    /// Leaves the stop words out; `hashes` are those of the tokens, of which the ones that are left move to the front.
    /// Returns how many are left.
    pub fn remove(&mut self, stop_words: &StopWords, text: &[u8], hashes: &mut [u32]) -> usize {
        let (mut kept, mut start) = (0, 0);
        for end in &mut self.ends {
            let here = &mut self.edges[start..*end];
            let left = stop_words.remove(text, here, &mut hashes[start / 2..*end / 2]);
            self.edges.copy_within(start..start + 2 * left, kept);
            hashes.copy_within(start / 2..start / 2 + left, kept / 2);
            kept += 2 * left;
            start = std::mem::replace(end, kept);
        }
        self.edges.truncate(kept);
        kept / 2
    }

    /// Copies the tokens one after the other with a space behind each; the edges become those of the copies.
    pub fn join(&mut self, kernels: &Kernels, text: &[u8], joined: &mut Vec<u8>) {
        // Unlike words, tokens may lie side by side.
        grow(joined, text.len() + self.edges.len() + 2 * SLACK);
        (kernels.join)(text, &mut self.edges, joined);
    }
}

impl Beside {
    /// Takes in a text of ASCII alone, lower-cased or not.
    pub fn ascii(&mut self, text: &[u8]) {
        self.clear();
        self.find_marks(text);
    }

    /// Lower-cases a text that is not ASCII alone, of which the buffers hold what [`Kernels::words`] made, and finds its
    /// tokens; returns its length, and whether it is UTF-8.
    pub fn unicode(
        &mut self,
        kernels: &Kernels,
        text: &[u8],
        lowercase: bool,
        table: &Table,
        lowered: &mut Vec<u8>,
        mask: &mut Vec<u64>,
    ) -> (usize, bool) {
        self.clear();
        let (length, valid) =
            if tokens_in_place(kernels, text, lowercase, table, lowered, mask, self) {
                for &[start, end] in &self.marked {
                    clear_bits(mask, start as usize, end as usize);
                }
                (text.len(), true)
            } else {
                let found = lower(text, lowercase, table, lowered, mask);
                self.classify(&lowered[..found.length], table, mask);
                (found.length, found.valid)
            };
        self.find_marks(&lowered[..length]);
        (length, valid)
    }

    fn clear(&mut self) {
        self.tokens.clear();
        self.runs.clear();
        self.grams.clear();
        self.marked.clear();
        self.end = 0;
    }

    /// Whether there is nothing but words.
    pub fn is_empty(&self) -> bool {
        self.tokens.is_empty() && self.runs.is_empty()
    }

    /// Start and end of each emoji and of each run of ! and ?, one after the other.
    pub fn tokens(&self) -> &[u32] {
        self.tokens.as_flattened()
    }

    /// Start and end of each n-gram of unspaced runs, one after the other.
    pub fn grams(&self) -> &[u32] {
        self.grams.as_flattened()
    }

    /// The same to leave some out.
    pub fn grams_mut(&mut self) -> &mut [u32] {
        self.grams.as_flattened_mut()
    }

    /// Whether the character at a byte is taken in already.
    #[inline(always)]
    pub fn has(&self, at: usize) -> bool {
        at < self.end
    }

    /// Takes in what starts with a character that is of a kind and not taken in yet.
    pub fn take(&mut self, text: &[u8], at: usize, kind: Kind, table: &Table) {
        let (end, marked) = match kind {
            Kind::Tag => return,
            Kind::Pictograph => {
                let end = end_of_pictograph(text, at, table);
                self.tokens.push([at as u32, end as u32]);
                (end, true)
            }
            Kind::Unspaced => self.take_run(text, at, table),
        };
        if marked {
            self.marked.push([at as u32, end as u32]);
        }
        self.end = end;
    }

    /// Takes in an unspaced run; where it ends, and whether there are marks in it.
    fn take_run(&mut self, text: &[u8], start: usize, table: &Table) -> (usize, bool) {
        self.runs.push(start as u32);
        let mut starts = [0; LONGEST];
        let (mut at, mut letters, mut marked) = (start, 0, false);
        let mut next = character(text, at);
        loop {
            starts.rotate_right(1);
            starts[0] = at as u32;
            letters = LONGEST.min(letters + 1);
            at += next.count;
            next = character(text, at);
            let mut entry = table.entry(next.character);
            while next.valid && entry.is_mark() {
                marked = true;
                at += next.count;
                next = character(text, at);
                entry = table.entry(next.character);
            }
            let grams = starts.map(|start| [start, at as u32]);
            if letters == LONGEST {
                self.grams.extend(grams); // of a length that the compiler knows
            } else {
                self.grams.extend(&grams[..letters]);
            }
            if !next.valid || entry.kind() != Some(Kind::Unspaced) {
                return (at, marked);
            }
        }
    }

    /// The words of a text to bits, and all else that has tokens, one character after the other. What is broken is
    /// neither.
    fn classify(&mut self, text: &[u8], table: &Table, mask: &mut Vec<u64>) {
        self.clear();
        mask.clear();
        mask.resize(text.len().div_ceil(BLOCK), 0);
        let mut at = 0;
        while at < text.len() {
            let found = character(text, at);
            let entry = table.entry(found.character);
            let end = (at + found.count).min(text.len());
            if found.valid {
                if let Some(kind) = entry.kind() {
                    self.take(text, at, kind, table);
                } else if entry.is_word() || entry.is_mark() {
                    (at..end).for_each(|at| mask[at / BLOCK] |= 1 << (at % BLOCK));
                }
            }
            at = end.max(self.end);
        }
    }

    /// Finds the runs of ! and ?, and puts the tokens in their order.
    fn find_marks(&mut self, text: &[u8]) {
        let emoji = self.tokens.len();
        let mut end = usize::MAX;
        for at in memchr2_iter(b'!', b'?', text) {
            match self.tokens.last_mut() {
                Some(last) if end == at => last[1] += 1,
                _ => self.tokens.push([at as u32, at as u32 + 1]),
            }
            end = at + 1;
        }
        if emoji > 0 && emoji < self.tokens.len() {
            self.tokens.sort_unstable();
        }
    }

    /// All tokens in their order, of which those of the mask are given.
    pub fn in_order(&mut self, words: &[u32]) -> &mut Tokens {
        let Tokens { edges, ends } = &mut self.all;
        edges.clear();
        ends.clear();
        let (mut words, mut tokens) = (words, &self.tokens[..]);
        for limit in self.runs.iter().copied().chain([u32::MAX]) {
            loop {
                let token = tokens.first().filter(|token| token[0] < limit);
                let before = token.map_or(limit, |token| token[0]);
                let count = words
                    .iter()
                    .step_by(2)
                    .take_while(|&&start| start < before)
                    .count();
                let (here, rest) = words.split_at(2 * count);
                edges.extend_from_slice(here);
                words = rest;
                let Some(token) = token else { break };
                edges.extend_from_slice(token);
                tokens = &tokens[1..];
            }
            ends.push(edges.len());
        }
        &mut self.all
    }
}

/// The character at a byte; behind the end, a broken one.
fn character(text: &[u8], at: usize) -> Decoded {
    let found = decode(four(text, at));
    Decoded {
        valid: found.valid && at < text.len(),
        ..found
    }
}

/// Where the emoji ends that starts at a byte.
fn end_of_pictograph(text: &[u8], start: usize, table: &Table) -> usize {
    let first = character(text, start);
    let mut at = start + first.count;
    let second = character(text, at);
    if is_regional(first.character) && second.valid && is_regional(second.character) {
        at += second.count;
    }
    let is_joined = |next: Decoded| {
        let entry = table.entry(next.character);
        next.valid && entry.kind() == Some(Kind::Pictograph) && !is_regional(next.character)
    };
    loop {
        let next = character(text, at);
        let entry = table.entry(next.character);
        let follows =
            entry.is_mark() || is_modifier(next.character) || entry.kind() == Some(Kind::Tag);
        if !(next.valid && follows) {
            return at;
        }
        at += next.count;
        let behind = character(text, at);
        if next.character == JOINER && is_joined(behind) {
            at += behind.count;
        }
    }
}

fn clear_bits(mask: &mut [u64], start: usize, end: usize) {
    let mut at = start;
    while at < end {
        let next = end.min((at / BLOCK + 1) * BLOCK);
        let bits = u64::MAX >> (BLOCK - (next - at)) << (at % BLOCK);
        mask[at / BLOCK] &= !bits;
        at = next;
    }
}

#[cfg(test)]
mod tests {
    use super::{Beside, Table, lower};
    use crate::kernels::{Kernels, available};
    use proptest::prelude::*;
    use std::sync::LazyLock;

    static TABLE: LazyLock<Table> =
        LazyLock::new(|| Table::decode(Table::file("15.0.0").expect("a file")).expect("a table"));

    /// All that is found in a text.
    #[derive(Debug, PartialEq, Eq)]
    struct Found {
        lowered: Vec<u8>,
        mask: Vec<u64>,
        tokens: Vec<[u32; 2]>,
        runs: Vec<u32>,
        grams: Vec<[u32; 2]>,
    }

    impl Found {
        fn new(lowered: &[u8], mask: Vec<u64>, beside: Beside) -> Self {
            Self {
                lowered: lowered.into(),
                mask,
                tokens: beside.tokens,
                runs: beside.runs,
                grams: beside.grams,
            }
        }
    }

    /// By the kernels, in memory that is full of rubbish.
    fn fast(kernels: &Kernels, text: &str, lowercase: bool) -> Found {
        let (mut lowered, mut mask) = (vec![b'!'; text.len() + 200], vec![u64::MAX; 3]);
        let mut beside = Beside::default();
        beside.ascii(b"what? was! before!");
        (kernels.words)(text.as_bytes(), lowercase, &mut lowered, &mut mask);
        let (length, valid) = beside.unicode(
            kernels,
            text.as_bytes(),
            lowercase,
            &TABLE,
            &mut lowered,
            &mut mask,
        );
        assert!(valid, "{text:?}");
        Found::new(&lowered[..length], mask, beside)
    }

    /// Character by character.
    fn slow(text: &str, lowercase: bool) -> Found {
        let (mut lowered, mut mask) = (Vec::new(), Vec::new());
        let length = lower(text.as_bytes(), lowercase, &TABLE, &mut lowered, &mut mask).length;
        let mut beside = Beside::default();
        beside.classify(&lowered[..length], &TABLE, &mut mask);
        beside.find_marks(&lowered[..length]);
        Found::new(&lowered[..length], mask, beside)
    }

    proptest! {
        #[test]
        fn the_kernels_find_what_the_twin_finds(
            text in "([a-zA-Z !?]{0,70}|[漢かกิ\u{e48}ខ\u{17d2}!ab ]{0,30}|[😀👍🏽🇩🇪🏴\u{200d}\u{fe0f}♀a!]{0,20}|\\PC{0,9}|[İΣक\u{93f}é ]{0,30}){0,6}",
            lowercase: bool,
        ) {
            for kernels in available() {
                prop_assert_eq!(fast(kernels, &text, lowercase), slow(&text, lowercase), "{}", kernels.name);
            }
        }
    }

    #[test]
    fn every_character_is_that_of_the_twin() {
        let all: Vec<char> = ('\0'..'\u{40000}')
            .chain('\u{e0000}'..'\u{e1000}')
            .collect();
        for (i, some) in all.chunks(64).enumerate() {
            let around = |c: &char| format!("x{c}Y{c}{c} {c} 漢{c}か😀{c}!{c}\u{200d}{c}🇩{c}");
            let text = " ".repeat(i % 64) + &some.iter().map(around).collect::<String>();
            for kernels in available() {
                let (found, expected) = (fast(kernels, &text, true), slow(&text, true));
                assert_eq!(found, expected, "{} {:?}", kernels.name, some[0]);
            }
        }
    }
}
