//! One document: its text to words, its words to hashes of n-grams.

use super::in_place::lower_in_place;
use super::lower::lower;
use super::parts::Carried;
use super::singles::drop_singles;
use super::stop_words::StopWords;
use super::{Sizes, Table};
use crate::kernels::Kernels;

/// The memory that one document after the other is worked on in.
#[derive(Debug, Default)]
pub struct Scratch {
    lowered: Vec<u8>,
    mask: Vec<u64>,
    edges: Vec<u32>,
    joined: Vec<u8>,
}

impl Scratch {
    /// Finds the words of a text of ASCII alone; false if it is not: [`Self::unicode`] is then to be called.
    pub fn ascii(&mut self, kernels: &Kernels, text: &[u8], lowercase: bool) -> bool {
        (kernels.words)(text, lowercase, &mut self.lowered, &mut self.mask)
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
        lower_in_place(kernels, text, lowercase, table, lowered, mask) || {
            let valid = lower(text, lowercase, table, lowered, mask).valid;
            drop_singles(lowered, mask);
            valid
        }
    }

    /// Appends the hashes of the n-grams that end with one of the words found last, where those before them are carried.
    pub fn hash_part(
        &mut self,
        kernels: &Kernels,
        sizes: Sizes,
        carried: &mut Carried,
        hashes: &mut Vec<u32>,
    ) {
        if sizes.greatest == 1 {
            let count = (kernels.edges)(&self.mask, &mut self.edges);
            (kernels.grams)(&self.lowered, &self.edges[..count], 1, hashes);
            return;
        }
        let count = (kernels.pack)(&self.lowered, &self.mask, &mut self.joined, &mut self.edges);
        let span = (sizes.least, sizes.greatest);
        carried.hash(kernels, span, &self.joined, &self.edges[..count], hashes);
    }

    /// Appends the hashes of all n-grams of the words found last, without the stop words.
    pub fn hash(
        &mut self,
        kernels: &Kernels,
        sizes: Sizes,
        stop_words: &StopWords,
        hashes: &mut Vec<u32>,
    ) {
        let Self {
            lowered,
            mask,
            edges,
            joined,
        } = self;
        if stop_words.is_empty() && sizes.greatest > 1 {
            let count = (kernels.pack)(lowered, mask, joined, edges);
            for n in sizes.least..=sizes.greatest.min(count / 2) {
                (kernels.grams)(joined, &edges[..count], n, hashes);
            }
            return;
        }
        let before = hashes.len();
        let count = (kernels.edges)(mask, edges);
        let edges = &mut edges[..count];
        (kernels.grams)(lowered, edges, 1, hashes);
        if stop_words.is_empty() {
            return;
        }
        let left = stop_words.remove(lowered, edges, &mut hashes[before..]);
        hashes.truncate(before + if sizes.least == 1 { left } else { 0 });
        if sizes.greatest > 1 {
            let edges = &mut edges[..2 * left];
            (kernels.join)(lowered, edges, joined);
            for n in sizes.least.max(2)..=sizes.greatest.min(left) {
                (kernels.grams)(joined, edges, n, hashes);
            }
        }
    }
}
