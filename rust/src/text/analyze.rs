//! One document: its text to words, its words to hashes of n-grams.

use super::in_place::lower_in_place;
use super::lower::lower;
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
    n_edges: usize,
    joined: Vec<u8>,
    joined_edges: Vec<u32>,
}

impl Scratch {
    /// Finds the words of a text of ASCII alone; false if it is not: [`Self::unicode`] is then to be called.
    pub fn ascii(&mut self, kernels: &Kernels, text: &[u8], lowercase: bool) -> bool {
        let ascii = (kernels.words)(text, lowercase, &mut self.lowered, &mut self.mask);
        if ascii {
            self.n_edges = (kernels.edges)(&self.mask, &mut self.edges);
        }
        ascii
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
        let valid = lower_in_place(kernels, text, lowercase, table, lowered, mask) || {
            let valid = lower(text, lowercase, table, lowered, mask).valid;
            drop_singles(lowered, mask);
            valid
        };
        self.n_edges = (kernels.edges)(&self.mask, &mut self.edges);
        valid
    }

    /// Appends the hashes of all n-grams of the words found last, without the stop words.
    pub fn hash(
        &mut self,
        kernels: &Kernels,
        sizes: Sizes,
        stop_words: &StopWords,
        hashes: &mut Vec<u32>,
    ) {
        let before = hashes.len();
        if sizes.least == 1 || !stop_words.is_empty() {
            (kernels.grams)(&self.lowered, &self.edges[..self.n_edges], 1, hashes);
        }
        if !stop_words.is_empty() {
            let (edges, hashes) = (&mut self.edges[..self.n_edges], &mut hashes[before..]);
            self.n_edges = 2 * stop_words.remove(&self.lowered, edges, hashes);
        }
        if sizes.least == 1 {
            hashes.truncate(before + self.n_edges / 2);
        } else {
            hashes.truncate(before);
        }
        if sizes.greatest > 1 {
            let (joined, joined_edges) = (&mut self.joined, &mut self.joined_edges);
            let edges = &self.edges[..self.n_edges];
            (kernels.join)(&self.lowered, edges, joined, joined_edges);
            for n in sizes.least.max(2)..=sizes.greatest.min(self.n_edges / 2) {
                (kernels.grams)(&self.joined, &self.joined_edges, n, hashes);
            }
        }
    }
}
