//! One document: its text to words, its words to hashes of n-grams.

use super::Table;
use super::in_place::lower_in_place;
use super::lower::lower;
use super::utf8::length;
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
        let valid = lower_in_place(text, lowercase, table, lowered, mask)
            || lower(text, lowercase, table, lowered, mask);
        let found = (kernels.edges)(&self.mask, &mut self.edges);
        self.n_edges = drop_single_characters(&self.lowered, &mut self.edges[..found]);
        valid
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
            (kernels.grams)(&self.lowered, &self.edges[..self.n_edges], 1, hashes);
        }
        if greatest > 1 {
            let (joined, joined_edges) = (&mut self.joined, &mut self.joined_edges);
            (kernels.join)(
                &self.lowered,
                &self.edges[..self.n_edges],
                joined,
                joined_edges,
            );
            for n in least.max(2)..=greatest.min(self.n_edges / 2) {
                (kernels.grams)(&self.joined, &self.joined_edges, n, hashes);
            }
        }
    }
}

/// Words are of two characters and more; the mask knows only bytes. Returns how many edges are left.
fn drop_single_characters(lowered: &[u8], edges: &mut [u32]) -> usize {
    let mut kept = 0;
    for i in 0..edges.len() / 2 {
        let (start, end) = (edges[2 * i], edges[2 * i + 1]);
        edges[kept] = start;
        edges[kept + 1] = end;
        let lead = lowered[start as usize];
        kept += 2 * usize::from(lead < 0x80 || (end - start) as usize != length(lead));
    }
    kept
}
