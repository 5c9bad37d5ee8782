//! What the product must make of documents, by the twin.

use crate::case::{Analyzer, Settings};
use crate::twin;
use _core::text::{Form, HashError};
use std::collections::BTreeSet;

/// The hashes of each document, and what the analyzer leaves out.
pub struct Expected {
    /// `None` of bytes that are no text at all; else the hashes, or the first n-gram that has no UTF-8.
    pub hashes: Vec<Option<Result<Vec<u32>, Vec<u8>>>>,
    pub stop_words: BTreeSet<Vec<u8>>,
}

impl Expected {
    pub fn of(settings: &Settings, documents: &[Vec<u8>]) -> Self {
        let lowered: Vec<Option<Vec<u32>>> = documents
            .iter()
            .map(|text| lowered(settings, text))
            .collect();
        let stop_words = match settings.analyzer {
            Analyzer::WordsButSome => some_words(settings, lowered.iter().flatten()),
            _ => BTreeSet::new(),
        };
        let hashes = |text: &Option<Vec<u32>>| Some(hashes(settings, text.as_ref()?, &stop_words));
        Self {
            hashes: lowered.iter().map(hashes).collect(),
            stop_words,
        }
    }

    /// The error of the first document that has one.
    pub fn error(&self, form: Form, documents: &[Vec<u8>]) -> Option<HashError> {
        let errors = documents.iter().zip(&self.hashes).enumerate();
        errors
            .into_iter()
            .find_map(|(i, (text, hashes))| match form {
                Form::Utf8 => {
                    let error = str::from_utf8(text).err()?;
                    Some(HashError::NotUtf8(i, error.valid_up_to()))
                }
                Form::Str => {
                    let gram = hashes.as_ref()?.as_ref().err()?;
                    Some(HashError::Surrogate(gram.clone()))
                }
            })
    }
}

fn lowered(settings: &Settings, text: &[u8]) -> Option<Vec<u32>> {
    let characters = twin::characters(text)?;
    Some(if settings.lowercase {
        twin::lower(&characters, settings.table())
    } else {
        characters
    })
}

/// A quarter of the words of the texts, and what is nearly one of them.
fn some_words<'a>(
    settings: &Settings,
    texts: impl Iterator<Item = &'a Vec<u32>>,
) -> BTreeSet<Vec<u8>> {
    let words = texts.flat_map(|text| twin::words(text, settings.table()));
    let words = words.map(|word| twin::encoded(&word).0);
    let picked = words.filter(|word| twin::murmur3(word).is_multiple_of(4));
    picked
        .flat_map(|word| {
            [
                word[..word.len() - 1].to_vec(),
                [&word[..], b"x"].concat(),
                word,
            ]
        })
        .collect()
}

fn hashes(
    settings: &Settings,
    text: &[u32],
    stop_words: &BTreeSet<Vec<u8>>,
) -> Result<Vec<u32>, Vec<u8>> {
    let (least, greatest) = settings.ngrams;
    let grams = match settings.analyzer {
        Analyzer::Characters => twin::character_ngrams(text, least, greatest),
        Analyzer::CharactersOfWords => twin::bounded_ngrams(text, least, greatest),
        Analyzer::Words | Analyzer::WordsButSome => {
            let mut words = twin::words(text, settings.table());
            words.retain(|word| !stop_words.contains(&twin::encoded(word).0));
            twin::word_ngrams(&words, least, greatest)
        }
    };
    let mut hashes = Vec::with_capacity(grams.len());
    for gram in grams {
        match twin::encoded(&gram) {
            (bytes, false) => hashes.push(twin::murmur3(&bytes)),
            (bytes, true) => return Err(bytes),
        }
    }
    if settings.analyzer.is_of_characters() {
        hashes.sort_unstable();
    }
    Ok(hashes)
}
