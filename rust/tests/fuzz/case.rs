//! One thing to try: settings that follow from a seed, and documents that follow from it too until they are shrunk.

use crate::document::{LENGTHS, document};
use crate::random::Random;
use _core::rows::{CsrOptions, Norm, RowOptions, Value};
use _core::text::{Form, Table};
use std::sync::LazyLock;

const VERSIONS: [&str; 4] = ["14.0.0", "15.0.0", "15.1.0", "16.0.0"];

static TABLES: [LazyLock<Table>; 4] = [
    LazyLock::new(|| table(VERSIONS[0])),
    LazyLock::new(|| table(VERSIONS[1])),
    LazyLock::new(|| table(VERSIONS[2])),
    LazyLock::new(|| table(VERSIONS[3])),
];

fn table(version: &str) -> Table {
    let decoded = Table::file(version).map(Table::decode);
    decoded.expect("a file").expect("a table")
}

/// Where the documents lie in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Each in an allocation of exactly its length, which an address sanitizer watches.
    Alone,
    /// Each up to a forbidden page.
    AgainstTheEnd,
    /// Each from behind a forbidden page on.
    AgainstTheStart,
    /// One after the other in one allocation, as in a column.
    Together,
}

/// What is done with the documents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// They are hashed and made rows.
    Text,
    /// Their bytes are taken for hashes.
    Hashes,
}

/// What n-grams are made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Analyzer {
    Words,
    /// Some of the document's words are left out.
    WordsButSome,
    Characters,
    CharactersOfWords,
    /// By the rule of the learner.
    Tokens,
    /// Some of them are left out.
    TokensButSome,
    TokensBesideCharacters,
    TokensBesideCharactersOfWords,
    WordsBesideCharactersOfWords,
}

impl Analyzer {
    /// Whether hashes come in the order of the reference.
    pub fn has_order(self) -> bool {
        matches!(self, Self::Words | Self::WordsButSome)
    }
}

/// The choices of a caller, and more.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    pub subject: Subject,
    pub place: Place,
    pub form: Form,
    pub analyzer: Analyzer,
    pub ngrams: (usize, usize),
    pub lowercase: bool,
    pub unicode: usize,
    pub matrix: CsrOptions,
    pub rows: RowOptions,
}

impl Settings {
    pub fn table(&self) -> &'static Table {
        &TABLES[self.unicode]
    }

    fn of(random: &mut Random) -> Self {
        let n_features = match random.below(3) {
            0 => random.pick(&[1, 2, 3, 1000, 1_000_003, (1 << 31) - 1]),
            1 => 1 << random.below(32),
            _ => 1 << 20,
        };
        let norm = random.pick(&[None, Some(Norm::L1), Some(Norm::L2)]);
        let least = 1 + random.pick(&[0, 0, 1, 2, 3, 7, 18]);
        Self {
            subject: if random.once_in(5) {
                Subject::Hashes
            } else {
                Subject::Text
            },
            place: random.pick(&[
                Place::Alone,
                Place::AgainstTheEnd,
                Place::AgainstTheStart,
                Place::Together,
            ]),
            form: random.pick(&[Form::Utf8, Form::Str]),
            analyzer: random.pick(&[
                Analyzer::Words,
                Analyzer::WordsButSome,
                Analyzer::Characters,
                Analyzer::CharactersOfWords,
                Analyzer::Tokens,
                Analyzer::TokensButSome,
                Analyzer::TokensBesideCharacters,
                Analyzer::TokensBesideCharactersOfWords,
                Analyzer::WordsBesideCharactersOfWords,
            ]),
            ngrams: (least, least + random.below(4)),
            lowercase: !random.once_in(4),
            unicode: random.below(VERSIONS.len()),
            matrix: CsrOptions {
                n_features,
                alternate_sign: !random.once_in(3),
                binary: random.once_in(4),
                norm,
            },
            rows: RowOptions {
                n_features,
                value: random.pick(&[Value::Count, Value::Log, Value::Binary]),
                norm,
            },
        }
    }
}

/// Settings and documents.
pub struct Case {
    pub settings: Settings,
    pub documents: Vec<Vec<u8>>,
}

impl Case {
    pub fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let settings = Settings::of(&mut random);
        let documents = match settings.subject {
            Subject::Text => {
                let surrogates = settings.form == Form::Str;
                let count = random.below(5);
                (0..count)
                    .map(|_| document(&mut random, surrogates))
                    .collect()
            }
            Subject::Hashes => vec![hashes(&mut random)],
        };
        Self {
            settings,
            documents,
        }
    }

    /// The settings of a seed with other documents.
    pub fn with(seed: u64, documents: Vec<Vec<u8>>) -> Self {
        let settings = Settings::of(&mut Random::new(seed));
        Self {
            settings,
            documents,
        }
    }
}

/// Hashes as four bytes each: all equal, a few, only in their low or high bits, ascending, the greatest and the least.
fn hashes(random: &mut Random) -> Vec<u8> {
    let scale = random.pick(&[1, 1, 2, 4, 4, 100]);
    let length = random.pick(&LENGTHS) * scale + random.below(3);
    let (kind, few) = (random.below(7), 1 + random.below(40));
    let shift = random.below(32);
    let constant = random.next() as u32;
    let hash = |i: usize| match kind {
        0 => constant,
        1 => constant.wrapping_mul(random.below(few) as u32),
        2 => random.next() as u32 >> shift,
        3 => (random.next() as u32) << shift,
        4 => (i as u32) << (shift % 16),
        5 => random.pick(&[0, 1, u32::MAX, u32::MAX - 1, 1 << 31, i32::MAX as u32]),
        _ => random.next() as u32,
    };
    (0..length).map(hash).flat_map(u32::to_le_bytes).collect()
}
