//! One document: its text to words, its words to hashes of n-grams.

use super::analyzer::{TokenRule, WORDS, WordGrams};
use super::in_place::lower_in_place;
use super::lower::lower;
use super::parts::Carried;
use super::singles::drop_singles;
use super::unicode_tokens::Beside;
use super::{Sizes, Table};
use crate::kernels::Kernels;

/// The memory that one document after the other is worked on in.
#[derive(Debug)]
pub struct Scratch {
    lowered: Vec<u8>,
    /// Bytes of `lowered` that count; those behind are rubbish.
    length: usize,
    mask: Vec<u64>,
    edges: Vec<u32>,
    joined: Vec<u8>,
    /// Under the rule of the learner, what there is beside words.
    beside: Option<Beside>,
}

impl Scratch {
    /// Memory that is not used yet.
    pub fn new(rule: TokenRule) -> Self {
        Self {
            lowered: Vec::new(),
            length: 0,
            mask: Vec::new(),
            edges: Vec::new(),
            joined: Vec::new(),
            beside: (rule == TokenRule::Unicode).then(Beside::default),
        }
    }

    /// Finds the words of a text of ASCII alone; false if it is not: [`Self::unicode`] is then to be called.
    pub fn ascii(&mut self, kernels: &Kernels, text: &[u8], lowercase: bool) -> bool {
        let is_ascii = (kernels.words)(text, lowercase, &mut self.lowered, &mut self.mask);
        self.length = text.len();
        if let Some(beside) = self.beside.as_mut().filter(|_| is_ascii) {
            beside.ascii(text);
        }
        is_ascii
    }

    /// Finds the words of a text of which [`Self::ascii`] said that it is not ASCII; says whether it is UTF-8.
    pub fn unicode(
        &mut self,
        kernels: &Kernels,
        text: &[u8],
        lowercase: bool,
        table: &Table,
    ) -> bool {
        let (lowered, mask) = (&mut self.lowered, &mut self.mask);
        let valid;
        (self.length, valid) = match &mut self.beside {
            Some(beside) => beside.unicode(kernels, text, lowercase, table, lowered, mask),
            None if lower_in_place(kernels, text, lowercase, table, lowered, mask) => {
                (text.len(), true)
            }
            None => {
                let found = lower(text, lowercase, table, lowered, mask);
                drop_singles(lowered, mask);
                (found.length, found.valid)
            }
        };
        valid
    }

    /// The lower case of the text taken in last. Whitespace in it may be written over with other whitespace.
    pub fn lowered(&mut self) -> &mut [u8] {
        &mut self.lowered[..self.length]
    }

    /// Appends the hashes of the n-grams that end with one of the words found last, where those before them are carried.
    pub fn hash_part(
        &mut self,
        kernels: &Kernels,
        sizes: Sizes,
        carried: &mut Carried,
        hashes: &mut Vec<u32>,
    ) {
        let singles = self.beside.is_some();
        let Self {
            lowered,
            mask,
            edges,
            joined,
            ..
        } = self;
        if let Some(beside) = self.beside.as_mut().filter(|beside| !beside.is_empty()) {
            let count = (kernels.edges)(mask, singles, edges);
            (kernels.grams)(lowered, beside.grams(), 1, WORDS, hashes);
            let tokens = beside.in_order(&edges[..count]);
            tokens.join(kernels, lowered, joined);
            for (i, stretch) in tokens.stretches().enumerate() {
                if i > 0 {
                    carried.clear();
                }
                carried.hash(kernels, sizes, joined, stretch, hashes);
            }
        } else if sizes.greatest == 1 {
            let count = (kernels.edges)(mask, singles, edges);
            (kernels.grams)(lowered, &edges[..count], 1, WORDS, hashes);
        } else {
            let count = (kernels.pack)(lowered, mask, singles, joined, edges);
            carried.hash(kernels, sizes, joined, &edges[..count], hashes);
        }
    }

    /// Appends the hashes of all n-grams of the words found last, without the stop words.
    pub fn hash(&mut self, kernels: &Kernels, words: &WordGrams, hashes: &mut Vec<u32>) {
        if self.beside.as_ref().is_none_or(Beside::is_empty) {
            self.hash_words(kernels, words, hashes);
        } else {
            self.hash_tokens(kernels, words, hashes);
        }
    }

    /// Where words are all there is.
    fn hash_words(&mut self, kernels: &Kernels, words: &WordGrams, hashes: &mut Vec<u32>) {
        let WordGrams {
            stop_words, sizes, ..
        } = words;
        let singles = self.beside.is_some();
        let Self {
            lowered,
            mask,
            edges,
            joined,
            ..
        } = self;
        if stop_words.is_empty() && sizes.greatest > 1 {
            let count = (kernels.pack)(lowered, mask, singles, joined, edges);
            for n in sizes.least..=sizes.greatest.min(count / 2) {
                (kernels.grams)(joined, &edges[..count], n, WORDS, hashes);
            }
            return;
        }
        let before = hashes.len();
        let count = (kernels.edges)(mask, singles, edges);
        let edges = &mut edges[..count];
        (kernels.grams)(lowered, edges, 1, WORDS, hashes);
        if stop_words.is_empty() {
            return;
        }
        let left = stop_words.remove(lowered, edges, &mut hashes[before..]);
        hashes.truncate(before + if sizes.least == 1 { left } else { 0 });
        if sizes.greatest > 1 {
            let edges = &mut edges[..2 * left];
            (kernels.join)(lowered, edges, joined);
            for n in sizes.least.max(2)..=sizes.greatest.min(left) {
                (kernels.grams)(joined, edges, n, WORDS, hashes);
            }
        }
    }

    /// Where there is more.
    fn hash_tokens(&mut self, kernels: &Kernels, words: &WordGrams, hashes: &mut Vec<u32>) {
        let WordGrams {
            stop_words, sizes, ..
        } = words;
        let Self {
            lowered,
            mask,
            edges,
            joined,
            ..
        } = self;
        let Some(beside) = &mut self.beside else {
            return;
        };
        let count = (kernels.edges)(mask, true, edges);
        let words = &edges[..count];
        if stop_words.is_empty() && sizes.greatest == 1 {
            for edges in [beside.grams(), words, beside.tokens()] {
                (kernels.grams)(lowered, edges, 1, WORDS, hashes);
            }
            return;
        }
        let before = hashes.len();
        (kernels.grams)(lowered, beside.grams(), 1, WORDS, hashes);
        if !stop_words.is_empty() {
            let left = stop_words.remove(lowered, beside.grams_mut(), &mut hashes[before..]);
            hashes.truncate(before + left);
        }
        let tokens = beside.in_order(words);
        let before = hashes.len();
        if sizes.least == 1 || !stop_words.is_empty() {
            (kernels.grams)(lowered, tokens.edges(), 1, WORDS, hashes);
        }
        if !stop_words.is_empty() {
            let left = tokens.remove(stop_words, lowered, &mut hashes[before..]);
            hashes.truncate(before + if sizes.least == 1 { left } else { 0 });
        }
        if sizes.greatest > 1 {
            tokens.join(kernels, lowered, joined);
            for stretch in tokens.stretches() {
                for n in sizes.least.max(2)..=sizes.greatest.min(stretch.len() / 2) {
                    (kernels.grams)(joined, stretch, n, WORDS, hashes);
                }
            }
        }
    }
}
