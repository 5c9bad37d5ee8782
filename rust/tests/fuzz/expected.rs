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
            Analyzer::WordsButSome | Analyzer::TokensButSome => {
                some_words(settings, lowered.iter().flatten())
            }
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
    let words = texts.flat_map(|text| {
        let (stretches, grams) = tokens(settings, text);
        stretches.into_iter().flatten().chain(grams)
    });
    let words = words.map(|word| twin::encoded(&word).0);
    let picked = words.filter(|word| twin::murmur3(word, WORDS).is_multiple_of(4));
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

/// The seeds of words and of characters beside them.
const WORDS: u32 = 0;
const CHARACTERS: u32 = u32::from_be_bytes(*b"char");

/// The words between runs of scripts without spaces, and the n-grams of these runs.
fn tokens(settings: &Settings, text: &[u32]) -> (Vec<Vec<Vec<u32>>>, Vec<Vec<u32>>) {
    match settings.analyzer {
        Analyzer::Characters | Analyzer::CharactersOfWords => (vec![], vec![]),
        Analyzer::Words | Analyzer::WordsButSome | Analyzer::WordsBesideCharactersOfWords => {
            (vec![twin::words(text, settings.table())], vec![])
        }
        _ => twin::tokens(text, settings.table()),
    }
}

/// The n-grams of characters, and the seed of their hashes.
fn characters(settings: &Settings, text: &[u32]) -> (Vec<Vec<u32>>, u32) {
    let (least, greatest) = settings.ngrams;
    match settings.analyzer {
        Analyzer::Characters => (twin::character_ngrams(text, least, greatest), WORDS),
        Analyzer::CharactersOfWords => (twin::bounded_ngrams(text, least, greatest), WORDS),
        Analyzer::TokensBesideCharacters => {
            (twin::character_ngrams(text, least, greatest), CHARACTERS)
        }
        Analyzer::TokensBesideCharactersOfWords | Analyzer::WordsBesideCharactersOfWords => {
            (twin::bounded_ngrams(text, least, greatest), CHARACTERS)
        }
        _ => (vec![], WORDS),
    }
}

fn hashes(
    settings: &Settings,
    text: &[u32],
    stop_words: &BTreeSet<Vec<u8>>,
) -> Result<Vec<u32>, Vec<u8>> {
    let (least, greatest) = settings.ngrams;
    let is_kept = |word: &Vec<u32>| !stop_words.contains(&twin::encoded(word).0);
    let (mut stretches, mut grams) = tokens(settings, text);
    grams.retain(is_kept);
    for words in &mut stretches {
        words.retain(is_kept);
        grams.extend(twin::word_ngrams(words, least, greatest));
    }
    let (of_characters, seed) = characters(settings, text);
    let mut hashes = Vec::with_capacity(grams.len() + of_characters.len());
    for (grams, seed) in [(grams, WORDS), (of_characters, seed)] {
        for gram in grams {
            match twin::encoded(&gram) {
                (bytes, false) => hashes.push(twin::murmur3(&bytes, seed)),
                (bytes, true) => return Err(bytes),
            }
        }
    }
    if !settings.analyzer.has_order() {
        hashes.sort_unstable();
    }
    Ok(hashes)
}
