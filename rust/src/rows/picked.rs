//! Rows of documents that were hashed before and lie somewhere, such as in a mapped file: nothing about them is trusted.
//!
//! ```text
//! for each document i:
//!     chunk  ← chunks[chunk_of[i]]
//!     hashes ← chunk.hashes[chunk.starts[row_of[i]] .. chunk.ends[row_of[i]]]
//!     row    ← what the hashes of any document become
//! ```

use super::Rows;
use super::learner::{RowOptions, RowWriter};
use crate::kernels::memory::prefetch;
use crate::text::HashError;

/// Documents as hashes: those of document `i` are `hashes[starts[i]..ends[i]]`.
#[derive(Debug, Clone, Copy)]
pub struct HashedChunk<'a> {
    /// Of these documents, and of any others.
    pub hashes: &'a [u32],
    /// Where each document starts.
    pub starts: &'a [i64],
    /// Where each document ends.
    pub ends: &'a [i64],
}

impl<'a> HashedChunk<'a> {
    /// The hashes of one row: `None` if there is no such row, `Some(None)` if they lie outside.
    fn row(&self, row: usize) -> Option<Option<&'a [u32]>> {
        let (&start, &end) = (self.starts.get(row)?, self.ends.get(row)?);
        let span = usize::try_from(start).ok().zip(usize::try_from(end).ok());
        Some(span.and_then(|(start, end)| self.hashes.get(start..end)))
    }
}

/// Numbers of a cache line, and how far into a document is asked for: the processor guesses the rest.
const LINE: usize = 16;
const WARMED: usize = 256;

/// The rows of documents: row `i` is that of document `row_of[i]` of `chunks[chunk_of[i]]`.
///
/// # Errors
/// If a document does not exist or its hashes lie outside, or the two lists differ in length.
pub fn picked_rows(
    chunks: &[HashedChunk<'_>],
    chunk_of: &[u32],
    row_of: &[u32],
    options: RowOptions,
) -> Result<Rows, HashError> {
    if chunk_of.len() != row_of.len() {
        return Err(HashError::Lengths(chunk_of.len(), row_of.len()));
    }
    let find = |i: usize| {
        let (&chunk, &row) = (chunk_of.get(i)?, row_of.get(i)?);
        let found = chunks.get(chunk as usize).and_then(|c| c.row(row as usize));
        Some(match found {
            None => Err(HashError::NoSuchRow(i, chunk, row)),
            Some(None) => Err(HashError::Offsets(i)),
            Some(Some(hashes)) => Ok(hashes),
        })
    };
    let mut writer = RowWriter::new(options, chunk_of.len());
    let mut next = find(0);
    let mut i = 0;
    while let Some(hashes) = next {
        i += 1;
        next = find(i);
        // Picked documents are nowhere near each other.
        if let Some(Ok(later)) = next {
            for at in (0..later.len().min(WARMED)).step_by(LINE) {
                prefetch(later, at);
            }
        }
        writer.write(hashes?);
    }
    Ok(writer.finish())
}

#[cfg(test)]
mod tests {
    use super::{HashedChunk, picked_rows};
    use crate::rows::{Norm, RowOptions, Value, learner_rows};
    use crate::text::{HashError, HashedBatch};
    use proptest::prelude::*;

    fn options(n_features: u32) -> RowOptions {
        RowOptions {
            n_features,
            value: Value::Log,
            norm: Some(Norm::L2),
        }
    }

    proptest! {
        #[test]
        fn picked_rows_are_those_of_a_batch_of_the_same_documents(
            documents in prop::collection::vec(prop::collection::vec(any::<u32>(), 0..40), 1..20),
            picks in prop::collection::vec(any::<prop::sample::Index>(), 0..30),
            n_features in 1..=1u32 << 31,
        ) {
            let hashes: Vec<u32> = documents.concat();
            let ends: Vec<i64> = documents
                .iter()
                .scan(0, |end, document| {
                    *end += document.len() as i64;
                    Some(*end)
                })
                .collect();
            let starts: Vec<i64> = std::iter::once(0).chain(ends.iter().copied()).take(ends.len()).collect();
            let chunk = HashedChunk { hashes: &hashes, starts: &starts, ends: &ends };
            let order: Vec<u32> = picks.iter().map(|pick| pick.index(documents.len()) as u32).collect();
            let rows = picked_rows(&[chunk, chunk], &vec![1; order.len()], &order, options(n_features));

            let taken: Vec<&[u32]> = order.iter().map(|&i| &documents[i as usize][..]).collect();
            let indptr = std::iter::once(0)
                .chain(taken.iter().scan(0, |end, document| {
                    *end += document.len();
                    Some(*end)
                }))
                .collect();
            let batch = HashedBatch::from_parts(taken.concat(), indptr).expect("a batch");
            prop_assert_eq!(rows, Ok(learner_rows(&batch, options(n_features))));
        }
    }

    #[test]
    fn documents_that_are_not_there_are_errors() {
        let chunk = HashedChunk {
            hashes: &[1, 2, 3],
            starts: &[0, 2, -1, 1, 3],
            ends: &[4, 1, 2, i64::MAX],
        };
        for row in 0..4 {
            let rows = picked_rows(&[chunk], &[0], &[row], options(8));
            assert_eq!(rows, Err(HashError::Offsets(0)), "row {row}");
        }
        for (number, row) in [(0, 4), (0, u32::MAX), (1, 0)] {
            let rows = picked_rows(&[chunk], &[number], &[row], options(8));
            assert_eq!(rows, Err(HashError::NoSuchRow(0, number, row)));
        }
        let rows = picked_rows(&[chunk], &[0, 0], &[0], options(8));
        assert_eq!(rows, Err(HashError::Lengths(2, 1)));
    }
}
