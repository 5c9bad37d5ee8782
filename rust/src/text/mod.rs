//! Documents to hashed batches: what scikit-learn's analyzers and its murmur3 do, bit for bit.
//!
//! ```text
//! for each document:
//!     lowered, mask ← lower-case; which bytes belong to word characters   (ASCII: a kernel; else: Unicode tables)
//!     words         ← runs of word characters, two or more, without the stop words        (\b\w\w+\b)
//!     for n in least ..= greatest: hash each n words joined by one space
//! ```
//!
//! The learner's rule for words, emoji and scripts without spaces is in `unicode_tokens`. N-grams of characters are in
//! `characters`: `spaces` makes whitespace ready, `stretches` finds what a kernel takes of
//! a text that is not ASCII alone, `zones` does the rest.
//!
//! Lower case and word characters are those of the Python that runs, given as a [`Table`]; the Unicode functions
//! of Rust's own library belong to another Unicode version and are not used. Text is UTF-8, in which lone
//! surrogates may stand as three bytes; no byte sequence can do worse than give other hashes.

mod analyze;
mod analyzer;
mod batch;
mod characters;
mod documents;
mod hasher;
mod in_place;
mod lower;
mod parts;
mod scripts;
mod singles;
mod spaces;
mod stop_words;
mod stretches;
mod table;
mod tokens;
mod unicode_tokens;
mod utf8;
mod zones;

pub use analyzer::{Analyzer, CHARACTERS, Sizes, TokenRule, WordGrams};
pub use batch::HashedBatch;
pub use documents::{Column, pick};
pub use hasher::{Form, Hasher};
pub use scripts::{Kind, count_unspaced};
pub use stop_words::StopWords;
pub use table::Table;
pub use tokens::TokenHasher;

/// What takes the hashes of one document after the other.
pub trait Sink {
    /// Whether a long document may come in parts, its hashes in another order.
    const TAKES_PARTS: bool = false;
    /// Where the hashes of the current document are appended.
    fn hashes(&mut self) -> &mut Vec<u32>;
    /// The current document has all its hashes.
    fn end_document(&mut self);
    /// There are hashes of a part of the current document: they need not be held until its end.
    fn end_part(&mut self) {}
}

/// Why a batch could not be hashed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HashError {
    /// Not `1 <= least <= greatest`.
    NgramRange(usize, usize),
    /// The document of this number has more bytes than a hash batch can address.
    TooLong(usize),
    /// The document of this number is not UTF-8 from this byte on.
    NotUtf8(usize, usize),
    /// A document has lone surrogates, and they are in n-grams, which have no UTF-8: the first n-gram with them, its
    /// surrogates as three bytes each.
    Surrogate(Vec<u8>),
    /// There is no such document: its number in the batch, its chunk and its row.
    NoSuchRow(usize, u32, u32),
    /// Two arrays that belong together differ in length.
    Lengths(usize, usize),
    /// The offsets of this document descend or leave the data.
    Offsets(usize),
    /// Row pointers that do not ascend from 0 to the number of hashes.
    Indptr,
    /// There is no memory for the result.
    Memory,
    /// A table of characters that cannot be read.
    Table(String),
}

impl HashError {
    /// The same of a document that has `before` more documents before it.
    #[must_use]
    pub fn after(self, before: usize) -> Self {
        match self {
            Self::TooLong(document) => Self::TooLong(before + document),
            Self::NotUtf8(document, byte) => Self::NotUtf8(before + document, byte),
            Self::NoSuchRow(document, chunk, row) => Self::NoSuchRow(before + document, chunk, row),
            Self::Offsets(document) => Self::Offsets(before + document),
            other => other,
        }
    }
}

impl std::fmt::Display for HashError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NgramRange(least, greatest) => {
                write!(
                    f,
                    "ngram_range must be 1 <= least <= greatest, got ({least}, {greatest})"
                )
            }
            Self::TooLong(document) => write!(f, "document {document} has more than 2^30 bytes"),
            Self::NotUtf8(document, byte) => {
                write!(f, "document {document} is not UTF-8 at its byte {byte}")
            }
            Self::Surrogate(gram) => {
                let gram = String::from_utf8_lossy(gram);
                write!(
                    f,
                    "the n-gram {gram:?} has a lone surrogate and therefore no UTF-8"
                )
            }
            Self::NoSuchRow(document, chunk, row) => {
                write!(
                    f,
                    "document {document} is row {row} of chunk {chunk}, which does not exist"
                )
            }
            Self::Lengths(chunks, rows) => {
                write!(f, "chunk_of has {chunks} items and row_of has {rows}")
            }
            Self::Offsets(document) => write!(
                f,
                "the offsets of document {document} lie outside of its data"
            ),
            Self::Indptr => write!(f, "indptr must ascend from 0 to the number of hashes"),
            Self::Memory => write!(
                f,
                "there is no memory for the matrix. Hint: use fewer texts at a time"
            ),
            Self::Table(what) => write!(f, "the table of characters cannot be read: {what}"),
        }
    }
}

impl std::error::Error for HashError {}
