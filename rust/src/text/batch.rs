//! Documents as the raw hashes of their tokens.

use super::{HashError, Sink};

/// The raw 32-bit hashes of the tokens of some documents, document after document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HashedBatch {
    hashes: Vec<u32>,
    indptr: Vec<usize>,
}

impl HashedBatch {
    /// A batch without documents, with room for `documents` of them.
    pub(super) fn with_room(documents: usize) -> Self {
        let mut indptr = Vec::with_capacity(documents + 1);
        indptr.push(0);
        Self {
            hashes: Vec::new(),
            indptr,
        }
    }

    /// A batch of given hashes, cut into documents by `indptr`.
    ///
    /// # Errors
    /// [`HashError::Indptr`] if `indptr` does not ascend from 0 to the number of hashes.
    pub fn from_parts(hashes: Vec<u32>, indptr: Vec<usize>) -> Result<Self, HashError> {
        let ends = indptr.first() == Some(&0) && indptr.last() == Some(&hashes.len());
        if ends && indptr.is_sorted() {
            Ok(Self { hashes, indptr })
        } else {
            Err(HashError::Indptr)
        }
    }

    /// All hashes.
    #[must_use]
    pub fn hashes(&self) -> &[u32] {
        &self.hashes
    }

    /// Where each document starts and ends.
    #[must_use]
    pub fn indptr(&self) -> &[usize] {
        &self.indptr
    }

    /// The number of documents.
    #[must_use]
    pub fn len(&self) -> usize {
        self.indptr.len() - 1
    }

    /// Whether there is no document.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The hashes of each document.
    pub fn documents(&self) -> impl ExactSizeIterator<Item = &[u32]> {
        self.indptr
            .windows(2)
            .map(|ends| &self.hashes[ends[0]..ends[1]])
    }
}

impl Sink for HashedBatch {
    fn hashes(&mut self) -> &mut Vec<u32> {
        &mut self.hashes
    }

    fn end_document(&mut self) {
        self.indptr.push(self.hashes.len());
    }
}
