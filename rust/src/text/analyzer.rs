//! The analyzers of scikit-learn that have kernels of their own: what n-grams are made of, and how long they are.

use super::analyze::Scratch;
use super::characters::Characters;
use super::parts::{Carried, MOST_WORDS};
use super::{HashError, StopWords, Table};
use crate::kernels::{Kernels, Within};

/// What n-grams are made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Analyzer {
    /// Words of two characters and more that are none of these.
    Words(StopWords),
    /// Characters.
    Characters(Within),
}

/// How long n-grams are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sizes {
    pub(super) least: usize,
    pub(super) greatest: usize,
}

impl Sizes {
    /// `least` to `greatest` words or characters.
    ///
    /// # Errors
    /// [`HashError::NgramRange`] unless `1 <= least <= greatest`.
    pub fn new(least: usize, greatest: usize) -> Result<Self, HashError> {
        if least < 1 || greatest < least {
            return Err(HashError::NgramRange(least, greatest));
        }
        Ok(Self { least, greatest })
    }
}

/// What an analyzer works in, with one way for text of ASCII alone and one for any other.
pub enum Memory<'a> {
    /// For words.
    Words(Scratch, &'a StopWords),
    /// For characters.
    Characters(Characters),
}

impl<'a> Memory<'a> {
    /// Memory that is not used yet.
    pub fn new(analyzer: &'a Analyzer) -> Self {
        match analyzer {
            Analyzer::Words(stop_words) => Self::Words(Scratch::default(), stop_words),
            Analyzer::Characters(within) => Self::Characters(Characters::new(*within)),
        }
    }

    /// Takes in a text of ASCII alone; false if it is not: [`Self::unicode`] is then to be called.
    pub fn ascii(&mut self, kernels: &Kernels, text: &[u8], lowercase: bool) -> bool {
        match self {
            Self::Words(scratch, _) => scratch.ascii(kernels, text, lowercase),
            Self::Characters(characters) => characters.ascii(kernels, text, lowercase),
        }
    }

    /// Takes in a text of which [`Self::ascii`] said that it is not ASCII; says whether it is UTF-8.
    pub fn unicode(
        &mut self,
        kernels: &Kernels,
        text: &[u8],
        lowercase: bool,
        table: &Table,
    ) -> bool {
        match self {
            Self::Words(scratch, _) => scratch.unicode(kernels, text, lowercase, table),
            Self::Characters(characters) => characters.unicode(kernels, text, lowercase, table),
        }
    }

    /// The first n-gram of the text taken in last that has no UTF-8. Surrogates separate words, but are characters.
    pub fn with_surrogate(&self, valid: bool, sizes: Sizes) -> Option<Vec<u8>> {
        match self {
            Self::Characters(characters) if !valid => characters.with_surrogate(sizes.least),
            _ => None,
        }
    }

    /// Whether a document may be hashed in parts.
    pub fn takes_parts(&self, sizes: Sizes) -> bool {
        matches!(self, Self::Words(_, stop_words) if stop_words.is_empty())
            && sizes.greatest <= MOST_WORDS
    }

    /// Appends the hashes of the n-grams that end in the part taken in last; only where [`Self::takes_parts`] says so.
    pub fn hash_part(
        &mut self,
        kernels: &Kernels,
        sizes: Sizes,
        carried: &mut Carried,
        hashes: &mut Vec<u32>,
    ) {
        if let Self::Words(scratch, _) = self {
            scratch.hash_part(kernels, sizes, carried, hashes);
        }
    }

    /// Appends the hashes of all n-grams of the text taken in last.
    pub fn hash(&mut self, kernels: &Kernels, sizes: Sizes, hashes: &mut Vec<u32>) {
        match self {
            Self::Words(scratch, stop_words) => scratch.hash(kernels, sizes, stop_words, hashes),
            Self::Characters(characters) => characters.hash(kernels, sizes, hashes),
        }
    }
}
