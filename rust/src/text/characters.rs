//! One document: its text to hashes of n-grams of characters, those of scikit-learn's analyzers `char` and `char_wb`.
//!
//! ```text
//! text      lower case
//! squeezed  each run of two and more whitespace characters one space         (\s\s+)
//!           char_wb: each run of any length, and a space around each word
//! spans     char: the text; char_wb: each word with both its spaces
//! for each span:
//!     for n in least ..= greatest: hash each n characters
//!     char_wb: a span shorter than least is hashed once, as it is
//! ```
//!
//! ASCII is squeezed and hashed by kernels, since n characters are n bytes. In other text the first byte of each
//! character is found, and an n-gram lies between two of those.

use super::in_place::lower_in_place;
use super::lower::lower;
use super::spaces::squeeze;
use super::{Sizes, Table};
use crate::kernels::{Kernels, SLACK, Within};

/// The memory that one document after the other is worked on in.
#[derive(Debug)]
pub struct Characters {
    within: Within,
    lowered: Vec<u8>,
    mask: Vec<u64>,
    squeezed: Vec<u8>,
    /// Bytes of `squeezed` that count; those behind are rubbish.
    length: usize,
    /// Where each character of `squeezed` starts, and its length; unused while the text is ASCII.
    starts: Vec<u32>,
    is_ascii: bool,
    edges: Vec<u32>,
}

impl Characters {
    /// Memory for n-grams that stay within the text or within its words.
    pub fn new(within: Within) -> Self {
        Self {
            within,
            lowered: Vec::new(),
            mask: Vec::new(),
            squeezed: Vec::new(),
            length: 0,
            starts: Vec::new(),
            is_ascii: true,
            edges: Vec::new(),
        }
    }

    /// Takes in a text of ASCII alone; false if it is not: [`Self::unicode`] is then to be called.
    pub fn ascii(&mut self, kernels: &Kernels, text: &[u8], lowercase: bool) -> bool {
        self.is_ascii = text.is_ascii();
        if self.is_ascii {
            self.length = (kernels.squeeze)(text, lowercase, self.within, &mut self.squeezed);
        }
        self.is_ascii
    }

    /// Takes in a text of which [`Self::ascii`] said that it is not ASCII; says whether it is UTF-8.
    pub fn unicode(
        &mut self,
        kernels: &Kernels,
        text: &[u8],
        lowercase: bool,
        table: &Table,
    ) -> bool {
        let (lowered, mask) = (&mut self.lowered, &mut self.mask);
        (kernels.words)(text, lowercase, lowered, mask);
        let (length, valid) = if lower_in_place(kernels, text, lowercase, table, lowered, mask) {
            (text.len(), true)
        } else {
            let found = lower(text, lowercase, table, lowered, mask);
            (found.length, found.valid)
        };
        squeeze(
            &self.lowered[..length],
            self.within,
            &mut self.squeezed,
            &mut self.starts,
        );
        self.length = self.squeezed.len();
        self.squeezed.resize(self.length + SLACK, 0);
        valid
    }

    /// Appends the hashes of all n-grams of the text taken in last.
    pub fn hash(&mut self, kernels: &Kernels, sizes: Sizes, hashes: &mut Vec<u32>) {
        let Sizes { least, greatest } = sizes;
        if self.is_ascii {
            let text = &self.squeezed;
            (kernels.windows)(text, self.length, least, greatest, self.within, hashes);
        } else {
            let mut edges = std::mem::take(&mut self.edges);
            edges.clear();
            for span in self.spans() {
                push_edges(span, least, greatest, self.within, &mut edges);
            }
            (kernels.grams)(&self.squeezed, &edges, 1, hashes);
            self.edges = edges;
        }
    }

    /// The first n-gram that holds a lone surrogate, if there is one: what no UTF-8 can be made of.
    pub fn with_surrogate(&self, least: usize) -> Option<Vec<u8>> {
        self.spans().find_map(|span| {
            let is_surrogate =
                |&at: &u32| matches!(self.squeezed[at as usize..], [0xed, 0xa0..=0xff, ..]);
            let characters = span.len() - 1;
            if characters < least && self.within == Within::Text {
                return None;
            }
            let place = span[..characters].iter().position(is_surrogate)?;
            let first = (place + 1).saturating_sub(least);
            let last = characters.min(first + least);
            Some(self.squeezed[span[first] as usize..span[last] as usize].to_vec())
        })
    }

    /// The starts of the characters of each span, and its end.
    fn spans(&self) -> impl Iterator<Item = &[u32]> {
        let (text, starts) = (&self.squeezed, &self.starts);
        let mut rest = 0;
        std::iter::from_fn(move || {
            let from = rest;
            if from + 1 >= starts.len() {
                return None;
            }
            rest = match self.within {
                Within::Text => starts.len() - 1,
                Within::Words => {
                    from + 1
                        + starts[from + 1..]
                            .iter()
                            .position(|&at| text[at as usize] == b' ')?
                }
            };
            let end = rest + usize::from(self.within == Within::Words);
            Some(&starts[from..=end])
        })
    }
}

/// Appends start and end of each n-gram of a span, which is given by the starts of its characters and its end.
fn push_edges(span: &[u32], least: usize, greatest: usize, within: Within, edges: &mut Vec<u32>) {
    let characters = span.len() - 1;
    for n in least..=greatest.min(characters) {
        edges.extend(
            span.iter()
                .zip(&span[n..])
                .flat_map(|(&start, &end)| [start, end]),
        );
    }
    if within == Within::Words && characters < least {
        edges.extend([span[0], span[characters]]);
    }
}
