//! What features are made of: n-grams of words, of characters, or of both beside each other.
//!
//! ```text
//! text ─┬─ words ──────► hashes with seed 0                        scikit-learn's analyzer `word`
//!       └─ characters ─► hashes with seed 0                        `char`, `char_wb`
//!                        beside words, with a seed of their own    the learner: the word `the` is not the trigram `the`
//! ```
//!
//! Both parts go over a document while it is in the cache, and what is not ASCII is lower-cased once.

use super::analyze::Scratch;
use super::characters::Characters;
use super::parts::{Behind, Carried, MOST_CHARACTERS, MOST_WORDS};
use super::{Form, HashError, StopWords, Table};
use crate::kernels::{Kernels, Within};

/// The seed of the hashes of words, and of n-grams of characters that stand alone: scikit-learn's.
pub const WORDS: u32 = 0;

/// The seed of the hashes of n-grams of characters in the learner's features: the ASCII bytes of `char`.
pub const CHARACTERS: u32 = 0x6368_6172;

/// What a word is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenRule {
    /// Two word characters and more, `\b\w\w+\b`: scikit-learn's default.
    TwoOrMore,
    /// Words of any length with their combining marks, emoji, runs of ! and ?; letters of scripts without spaces by
    /// ones, twos and threes. See [`super::unicode_tokens`].
    Unicode,
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

/// Features of words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WordGrams {
    /// What a word is.
    pub rule: TokenRule,
    /// Words that are left out.
    pub stop_words: StopWords,
    /// How many words an n-gram has.
    pub sizes: Sizes,
}

/// Features of characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CharacterGrams {
    /// What they may not cross.
    pub within: Within,
    /// How many characters an n-gram has.
    pub sizes: Sizes,
    /// The seed of their hashes.
    pub seed: u32,
}

/// What the features of a document are made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Analyzer {
    words: Option<WordGrams>,
    characters: Option<CharacterGrams>,
}

impl Analyzer {
    /// Scikit-learn's analyzer `word`, with its default token pattern.
    #[must_use]
    pub fn words(stop_words: StopWords, sizes: Sizes) -> Self {
        Self {
            words: Some(WordGrams {
                rule: TokenRule::TwoOrMore,
                stop_words,
                sizes,
            }),
            characters: None,
        }
    }

    /// Scikit-learn's analyzers `char` and `char_wb`.
    #[must_use]
    pub fn characters(within: Within, sizes: Sizes) -> Self {
        Self {
            words: None,
            characters: Some(CharacterGrams {
                within,
                sizes,
                seed: WORDS,
            }),
        }
    }

    /// The learner's features: n-grams of characters are never those of words.
    #[must_use]
    pub fn of_learner(words: Option<WordGrams>, characters: Option<(Within, Sizes)>) -> Self {
        Self {
            words,
            characters: characters.map(|(within, sizes)| CharacterGrams {
                within,
                sizes,
                seed: CHARACTERS,
            }),
        }
    }

    /// Where a document may be cut for hashing in parts; `None` if it may not.
    pub(super) fn end(&self, form: Form) -> Option<Behind> {
        let takes =
            |words: &WordGrams| words.stop_words.is_empty() && words.sizes.greatest <= MOST_WORDS;
        if !self.words.as_ref().is_none_or(takes) {
            return None;
        }
        match (&self.words, &self.characters) {
            // Surrogates in n-grams of characters are an error, which is found in whole documents only.
            (_, Some(_)) if form == Form::Str => None,
            (_, Some(characters)) if characters.within == Within::Words => Some(Behind::Space),
            (_, Some(characters)) => {
                (characters.sizes.greatest <= MOST_CHARACTERS).then_some(Behind::LoneSpace)
            }
            (Some(words), None) => Some(Behind::Token(words.rule)),
            (None, None) => None,
        }
    }
}

/// What an analyzer works in, with one way for text of ASCII alone and one for any other.
pub struct Memory<'a> {
    words: Option<(Scratch, &'a WordGrams)>,
    characters: Option<Characters>,
}

impl<'a> Memory<'a> {
    /// Memory that is not used yet.
    pub fn new(analyzer: &'a Analyzer) -> Self {
        let words = analyzer.words.as_ref();
        Self {
            words: words.map(|words| (Scratch::new(words.rule), words)),
            characters: analyzer.characters.map(Characters::new),
        }
    }

    /// Takes in a text of ASCII alone; false if it is not: [`Self::unicode`] is then to be called.
    pub fn ascii(&mut self, kernels: &Kernels, text: &[u8], lowercase: bool) -> bool {
        let is_ascii = match &mut self.words {
            Some((scratch, _)) => scratch.ascii(kernels, text, lowercase),
            None => text.is_ascii(),
        };
        if let Some(characters) = self.characters.as_mut().filter(|_| is_ascii) {
            characters.ascii(kernels, text, lowercase);
        }
        is_ascii
    }

    /// Takes in a text of which [`Self::ascii`] said that it is not ASCII; says whether it is UTF-8.
    pub fn unicode(
        &mut self,
        kernels: &Kernels,
        text: &[u8],
        lowercase: bool,
        table: &Table,
    ) -> bool {
        match (&mut self.words, &mut self.characters) {
            (Some((scratch, _)), characters) => {
                let valid = scratch.unicode(kernels, text, lowercase, table);
                if let Some(characters) = characters {
                    characters.lowered(kernels, scratch.lowered());
                }
                valid
            }
            (None, Some(characters)) => characters.unicode(kernels, text, lowercase, table),
            (None, None) => str::from_utf8(text).is_ok(),
        }
    }

    /// The first n-gram of the text taken in last that has no UTF-8. Surrogates separate words, but are characters.
    pub fn with_surrogate(&self, valid: bool) -> Option<Vec<u8>> {
        let characters = self.characters.as_ref().filter(|_| !valid)?;
        characters.with_surrogate()
    }

    /// Appends the hashes of the n-grams that end in the part taken in last; only where [`Analyzer::end`] says how
    /// documents are cut.
    pub fn hash_part(&mut self, kernels: &Kernels, carried: &mut Carried, hashes: &mut Vec<u32>) {
        if let Some((scratch, words)) = &mut self.words {
            scratch.hash_part(kernels, words.sizes, carried, hashes);
        }
        if let Some(characters) = &mut self.characters {
            characters.hash_part(kernels, &mut carried.characters, hashes);
        }
    }

    /// Appends the hashes of all n-grams of the text taken in last.
    pub fn hash(&mut self, kernels: &Kernels, hashes: &mut Vec<u32>) {
        if let Some((scratch, words)) = &mut self.words {
            scratch.hash(kernels, words, hashes);
        }
        if let Some(characters) = &mut self.characters {
            characters.hash(kernels, hashes);
        }
    }
}
