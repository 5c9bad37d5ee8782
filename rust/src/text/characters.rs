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
//! ASCII is squeezed and hashed by kernels, since n characters are n bytes; so are the long stretches of it in other
//! text, and what is between them is left to [`Zones`].

use super::analyzer::CharacterGrams;
use super::in_place::lower_in_place;
use super::lower::lower;
use super::parts::start_of_last;
use super::spaces::blank;
use super::stretches::stretches;
use super::zones::{Zones, starts_of, words_of};
use super::{Sizes, Table};
use crate::kernels::{Kernels, Windows, Within};

/// The shortest stretch of ASCII in other text that is worth a call of the kernel.
const SHORTEST: usize = 24;

/// The memory that one document after the other is worked on in.
#[derive(Debug)]
pub struct Characters {
    grams: CharacterGrams,
    lowered: Vec<u8>,
    mask: Vec<u64>,
    squeezed: Vec<u8>,
    /// Bytes of `squeezed` that count; those behind are rubbish.
    length: usize,
    is_ascii: bool,
    zones: Zones,
}

impl Characters {
    /// Memory for these n-grams.
    pub fn new(grams: CharacterGrams) -> Self {
        Self {
            grams,
            lowered: Vec::new(),
            mask: Vec::new(),
            squeezed: Vec::new(),
            length: 0,
            is_ascii: true,
            zones: Zones::default(),
        }
    }

    /// Takes in a text of ASCII alone.
    pub fn ascii(&mut self, kernels: &Kernels, text: &[u8], lowercase: bool) {
        self.is_ascii = true;
        self.length = (kernels.squeeze)(text, lowercase, self.grams.within, &mut self.squeezed);
    }

    /// Takes in a text that is not ASCII alone; says whether it is UTF-8.
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
        let mut lowered = std::mem::take(lowered);
        self.lowered(kernels, &mut lowered[..length]);
        self.lowered = lowered;
        valid
    }

    /// Takes in the lower case of a text that is not ASCII alone; writes over whitespace in it.
    pub fn lowered(&mut self, kernels: &Kernels, lowered: &mut [u8]) {
        let within = self.grams.within;
        self.is_ascii = false;
        blank(lowered, within);
        self.length = (kernels.squeeze)(lowered, false, within, &mut self.squeezed);
    }

    /// Appends the hashes of all n-grams of the text taken in last.
    pub fn hash(&mut self, kernels: &Kernels, hashes: &mut Vec<u32>) {
        self.hash_from(kernels, 0, self.grams.sizes, hashes);
    }

    /// Appends the hashes of the n-grams that end in the part taken in last, of which the last characters of those
    /// before it are carried.
    pub fn hash_part(&mut self, kernels: &Kernels, carried: &mut Vec<u8>, hashes: &mut Vec<u32>) {
        if self.grams.within == Within::Words {
            return self.hash(kernels, hashes);
        }
        let Sizes { least, greatest } = self.grams.sizes;
        self.squeezed.splice(..0, carried.iter().copied());
        self.length += carried.len();
        self.is_ascii &= carried.is_ascii();
        for n in least..=greatest {
            let sizes = Sizes {
                least: n,
                greatest: n,
            };
            self.hash_from(kernels, start_of_last(carried, n - 1), sizes, hashes);
        }
        let text = &self.squeezed[..self.length];
        carried.clear();
        carried.extend_from_slice(&text[start_of_last(text, greatest - 1)..]);
    }

    /// Appends the hashes of the n-grams of these sizes from a byte of the text on.
    fn hash_from(&mut self, kernels: &Kernels, from: usize, sizes: Sizes, hashes: &mut Vec<u32>) {
        let CharacterGrams { within, seed, .. } = self.grams;
        let (squeezed, length) = (&self.squeezed[from..], self.length - from);
        let grams = Windows {
            least: sizes.least,
            greatest: sizes.greatest,
            within,
            seed,
        };
        let mut windows = |text: &[u8], length| (kernels.windows)(text, length, grams, hashes);
        if self.is_ascii {
            windows(squeezed, length);
            return;
        }
        let text = &squeezed[..length];
        // A zone reaches into the stretches beside it, not through them. The space between two words is part of both.
        let (shortest, shared) = match within {
            Within::Text => (SHORTEST.max(sizes.greatest), 0),
            Within::Words => (SHORTEST, 1),
        };
        self.zones.clear();
        let mut end = 0;
        for ascii in stretches(text, within, shortest) {
            windows(&squeezed[ascii.start..], ascii.len());
            self.zones
                .push(text, end..ascii.start + shared, within, sizes);
            end = ascii.end - shared;
        }
        self.zones.push(text, end..length, within, sizes);
        (kernels.grams)(squeezed, self.zones.edges(), 1, seed, hashes);
    }

    /// The first n-gram that holds a lone surrogate, if there is one: what no UTF-8 can be made of.
    pub fn with_surrogate(&self) -> Option<Vec<u8>> {
        let least = self.grams.sizes.least;
        let text = &self.squeezed[..self.length];
        let mut starts = Vec::new();
        let starts = starts_of(text, 0..text.len(), &mut starts);
        let find_in = |span: &[u32]| {
            let is_surrogate = |&at: &u32| matches!(text[at as usize..], [0xed, 0xa0..=0xff, ..]);
            let characters = span.len() - 1;
            let place = span[..characters].iter().position(is_surrogate)?;
            let first = (place + 1).saturating_sub(least);
            let last = characters.min(first.saturating_add(least));
            Some(text[span[first] as usize..span[last] as usize].to_vec())
        };
        match self.grams.within {
            Within::Text if starts.len() > least => find_in(starts),
            Within::Text => None,
            Within::Words => words_of(text, starts).find_map(find_in),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Characters;
    use crate::kernels::portable::murmur3;
    use crate::kernels::{SLACK, Within, available};
    use crate::text::analyzer::CharacterGrams;
    use crate::text::{Sizes, Table};
    use proptest::prelude::*;
    use std::sync::LazyLock;

    static TABLE: LazyLock<Table> =
        LazyLock::new(|| Table::decode(Table::file("14.0.0").expect("a file")).expect("a table"));

    /// The n-grams of a text of words with one space between them.
    fn naive(text: &str, sizes: Sizes, within: Within) -> Vec<String> {
        let words = text.split(' ').filter(|word| !word.is_empty());
        let spans: Vec<String> = match within {
            Within::Text => vec![text.to_owned()],
            Within::Words => words.map(|word| format!(" {word} ")).collect(),
        };
        let mut grams = Vec::new();
        for span in spans {
            let characters: Vec<char> = span.chars().collect();
            let windows = (sizes.least..=sizes.greatest).flat_map(|n| characters.windows(n));
            grams.extend(windows.map(|gram| gram.iter().collect()));
            if within == Within::Words && characters.len() < sizes.least {
                grams.push(span);
            }
        }
        grams
    }

    proptest! {
        #[test]
        fn n_grams_of_ascii_beside_other_text_are_those_of_the_naive_twin(
            words in prop::collection::vec("[a-c]{1,9}|[a-c]{20,50}|[a-cé]{1,9}|[一é😀]{1,3}", 1..20),
            least in 1usize..9, more in 0usize..40, seed in prop_oneof![Just(0), any::<u32>()],
        ) {
            let (text, sizes) = (words.join(" ") + " é", Sizes::new(least, least + more).unwrap());
            for within in [Within::Text, Within::Words] {
                let grams = naive(&text, sizes, within);
                let hash = |gram: &String| murmur3(&[gram.as_bytes(), &[0; SLACK]].concat(), 0, gram.len(), seed);
                let mut expected: Vec<u32> = grams.iter().map(hash).collect();
                expected.sort_unstable();
                for kernels in available() {
                    let mut characters = Characters::new(CharacterGrams { within, sizes, seed });
                    let mut hashes = Vec::new();
                    prop_assert!(characters.unicode(kernels, text.as_bytes(), true, &TABLE));
                    characters.hash(kernels, &mut hashes);
                    hashes.sort_unstable();
                    prop_assert_eq!(&hashes, &expected, "{} {:?}", kernels.name, within);
                }
            }
        }
    }
}
