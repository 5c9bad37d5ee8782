//! One document: its text to words, its words to hashes of n-grams.

use super::Table;
use super::in_place::lower_in_place;
use super::lower::lower;
use super::singles::drop_singles;
use crate::kernels::{Kernels, SLACK};

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
    /// Finds the words of a text of ASCII alone.
    pub fn ascii(&mut self, kernels: &Kernels, text: &[u8], lowercase: bool) {
        (kernels.words)(text, lowercase, &mut self.lowered, &mut self.mask);
        self.n_edges = (kernels.edges)(&self.mask, &mut self.edges);
    }

    /// Finds the words of any text; says whether that was UTF-8.
    pub fn unicode(
        &mut self,
        kernels: &Kernels,
        text: &[u8],
        lowercase: bool,
        table: &Table,
    ) -> bool {
        let (lowered, mask) = (&mut self.lowered, &mut self.mask);
        let valid = lower_in_place(kernels, text, lowercase, table, lowered, mask) || {
            let valid = lower(text, lowercase, table, lowered, mask);
            drop_singles(lowered, mask);
            valid
        };
        self.n_edges = (kernels.edges)(&self.mask, &mut self.edges);
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
            self.join();
            for n in least.max(2)..=greatest.min(self.n_edges / 2) {
                (kernels.grams)(&self.joined, &self.joined_edges, n, hashes);
            }
        }
    }

    /// The words with one space between them: an n-gram is then a slice.
    fn join(&mut self) {
        self.joined.clear();
        self.joined_edges.clear();
        for &[start, end] in self.edges[..self.n_edges].as_chunks::<2>().0 {
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
