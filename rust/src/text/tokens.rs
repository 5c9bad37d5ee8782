//! Tokens that somebody else made, to a hashed batch: what scikit-learn's n-grams and its murmur3 do, bit for bit.
//!
//! ```text
//! for each document: its tokens, one space behind each        (an n-gram is then a slice)
//! now and then, for each document:
//!     for n in least ..= greatest: hash each n tokens joined by one space
//! ```

use super::{HashError, HashedBatch, Sink};
use crate::kernels::{self, SLACK};
use std::ops::Range;

/// Text that is gathered before it is hashed: it stays in the cache, and nobody waits for a call for each document.
const GATHERED: usize = 1 << 16;

/// Text is addressed by 32 bits: that of a document, and what was gathered before it.
const LONGEST: usize = 1 << 30;

/// Takes the tokens of one document after the other.
#[derive(Debug)]
pub struct TokenHasher {
    text: Vec<u8>,
    edges: Vec<u32>,
    documents: Vec<Document>,
    /// How much of the text and of the edges belongs to whole documents.
    whole: (usize, usize),
    batch: HashedBatch,
}

/// A document that is not hashed yet: its part of the edges, and the least and greatest number of tokens of an n-gram.
#[derive(Debug)]
struct Document {
    edges: Range<usize>,
    least: usize,
    greatest: usize,
}

impl Default for TokenHasher {
    fn default() -> Self {
        Self {
            text: Vec::new(),
            edges: Vec::new(),
            documents: Vec::new(),
            whole: (0, 0),
            batch: HashedBatch::with_room(0),
        }
    }
}

impl TokenHasher {
    /// One more token of the current document.
    ///
    /// # Errors
    /// [`HashError::TooLong`] if the document is now longer than can be addressed.
    pub fn token(&mut self, token: &[u8]) -> Result<(), HashError> {
        self.check_length(token.len())?;
        let start = self.text.len();
        self.text.extend_from_slice(token);
        self.edges.extend([start as u32, self.text.len() as u32]);
        self.text.push(b' ');
        Ok(())
    }

    /// Whether so much more can be addressed.
    fn check_length(&self, more: usize) -> Result<(), HashError> {
        if self.text.len().max(more) > LONGEST {
            return Err(HashError::TooLong(self.len()));
        }
        Ok(())
    }

    /// The current document starts anew.
    pub fn forget(&mut self) {
        self.text.truncate(self.whole.0);
        self.edges.truncate(self.whole.1);
    }

    /// The current document is whole: its n-grams are of `least` to `greatest` tokens. Says whether it is time to hash.
    ///
    /// # Errors
    /// [`HashError::NgramRange`] unless `1 <= least <= greatest`.
    pub fn end_document(&mut self, least: usize, greatest: usize) -> Result<bool, HashError> {
        if least < 1 || greatest < least {
            return Err(HashError::NgramRange(least, greatest));
        }
        let edges = self.whole.1..self.edges.len();
        self.documents.push(Document {
            edges,
            least,
            greatest,
        });
        self.whole = (self.text.len(), self.edges.len());
        Ok(self.text.len() > GATHERED)
    }

    /// Hashes the whole documents gathered so far; the tokens of the current one are forgotten.
    pub fn hash(&mut self) {
        self.forget();
        let kernels = kernels::best();
        self.text.resize(self.text.len() + SLACK, 0);
        for document in self.documents.drain(..) {
            let edges = &self.edges[document.edges];
            for n in document.least..=document.greatest.min(edges.len() / 2) {
                (kernels.grams)(&self.text, edges, n, 0, Sink::hashes(&mut self.batch));
            }
            self.batch.end_document();
        }
        self.text.clear();
        self.edges.clear();
        self.whole = (0, 0);
    }

    /// The documents since the last time.
    pub fn take(&mut self) -> HashedBatch {
        self.hash();
        std::mem::replace(&mut self.batch, HashedBatch::with_room(0))
    }

    /// The number of whole documents since the last time.
    #[must_use]
    pub fn len(&self) -> usize {
        self.batch.len() + self.documents.len()
    }

    /// Bytes of memory in use: of what was gathered, and of the hashes since the last time.
    #[must_use]
    pub fn nbytes(&self) -> usize {
        self.text.len()
            + size_of_val(&self.edges[..])
            + size_of_val(&self.documents[..])
            + size_of_val(self.batch.hashes())
            + size_of_val(self.batch.indptr())
    }

    /// Whether there is no whole document since the last time.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::{HashError, TokenHasher};
    use crate::kernels::{SLACK, portable::PORTABLE};
    use proptest::prelude::*;

    fn murmur3(token: &[u8]) -> u32 {
        let mut hashes = Vec::new();
        let text = [token, &[0; SLACK]].concat();
        (PORTABLE.grams)(&text, &[0, token.len() as u32], 1, 0, &mut hashes);
        hashes[0]
    }

    /// Documents of tokens, empty ones among both, some longer than what is gathered.
    fn documents() -> impl Strategy<Value = Vec<Vec<Vec<u8>>>> {
        let short = prop::collection::vec(any::<u8>(), 0..40);
        let token = prop_oneof![40 => short, 1 => Just(vec![b'x'; 70_000])];
        prop::collection::vec(prop::collection::vec(token, 0..8), 0..5)
    }

    proptest! {
        #[test]
        fn every_ngram_has_its_hash(documents in documents(), least in 1usize..4, more in 0usize..3) {
            let mut hasher = TokenHasher::default();
            let (mut hashes, mut indptr) = (Vec::new(), vec![0]);
            for document in &documents {
                document.iter().for_each(|token| hasher.token(token).unwrap());
                if hasher.end_document(least, least + more).unwrap() {
                    hasher.hash();
                }
                for n in least..=least + more {
                    hashes.extend(document.windows(n).map(|gram| murmur3(&gram.join(&b' '))));
                }
                indptr.push(hashes.len());
            }
            let batch = hasher.take();
            prop_assert_eq!(batch.hashes(), &hashes[..]);
            prop_assert_eq!(batch.indptr(), &indptr[..]);
            prop_assert!(hasher.is_empty() && hasher.nbytes() == size_of::<usize>());
        }
    }

    #[test]
    fn a_document_that_starts_anew_leaves_no_token_behind() {
        let mut hasher = TokenHasher::default();
        for kept in [b"one", b"two"] {
            hasher.token(b"rubbish").unwrap();
            hasher.forget();
            hasher.token(kept).unwrap();
            hasher.end_document(1, 2).unwrap();
        }
        hasher.token(b"rubbish").unwrap();
        let batch = hasher.take();
        assert_eq!(batch.hashes(), &[murmur3(b"one"), murmur3(b"two")]);
        assert_eq!(batch.indptr(), &[0, 1, 2]);
    }

    #[test]
    fn ngrams_of_no_token_are_an_error() {
        let mut hasher = TokenHasher::default();
        assert_eq!(hasher.end_document(0, 1), Err(HashError::NgramRange(0, 1)));
        assert_eq!(hasher.end_document(2, 1), Err(HashError::NgramRange(2, 1)));
    }
}
