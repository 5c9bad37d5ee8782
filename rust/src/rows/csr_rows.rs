//! Rows of scikit-learn's matrix that belong together: those of a block, or all of them.
//!
//! ```text
//! for each document:
//!     its hashes ──RowWriter──► its row, at the end of the rows
//! ```
//!
//! How long a row is is known before anything of it is written. Nothing is written to memory that is not used, so that
//! the system need not find any for it.

use super::csr::{CsrOptions, Float, RowWriter};
use crate::kernels::memory::prefer_large_pages;
use crate::text::{HashedBatch, Sink};
use std::collections::TryReserveError;

/// Rows of the matrix.
#[derive(Debug, Clone, PartialEq)]
pub struct CsrRows<T> {
    /// The values, row after row.
    pub data: Vec<T>,
    /// The feature of each value, ascending in a row.
    pub indices: Vec<i32>,
    /// Where each row ends.
    pub ends: Vec<usize>,
    /// How many tokens there were, each counted as often as it occurred.
    pub n_tokens: usize,
}

/// Positions as SciPy takes them: all of one type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Positions {
    /// Features and row pointers that fit 32 bits.
    Narrow(Vec<i32>, Vec<i32>),
    /// Those of a larger matrix.
    Wide(Vec<i64>, Vec<i64>),
}

impl<T> Default for CsrRows<T> {
    fn default() -> Self {
        Self {
            data: Vec::new(),
            indices: Vec::new(),
            ends: Vec::new(),
            n_tokens: 0,
        }
    }
}

impl<T: Float> CsrRows<T> {
    /// Drops the rows and keeps their memory.
    pub fn clear(&mut self) {
        self.data.clear();
        self.indices.clear();
        self.ends.clear();
        self.n_tokens = 0;
    }

    /// Appends rows.
    ///
    /// # Errors
    /// If there is no memory for them; nothing is appended then.
    pub fn append(&mut self, rows: &Self, all: Option<usize>) -> Result<(), TryReserveError> {
        self.make_room(rows.data.len(), rows.ends.len(), all)?;
        let before = self.data.len();
        self.data.extend_from_slice(&rows.data);
        self.indices.extend_from_slice(&rows.indices);
        self.ends.extend(rows.ends.iter().map(|end| before + end));
        self.n_tokens += rows.n_tokens;
        Ok(())
    }

    /// Makes sure that so many values and rows can be appended; `all`, if it is known, is how many rows there will be
    /// in the end. What is reserved in advance is not touched.
    ///
    /// # Errors
    /// If there is no memory for them.
    pub fn make_room(
        &mut self,
        values: usize,
        rows: usize,
        all: Option<usize>,
    ) -> Result<(), TryReserveError> {
        self.ends.try_reserve(rows)?;
        let needed = self.data.len() + values;
        if needed <= self.data.capacity() && needed <= self.indices.capacity() {
            return Ok(());
        }
        // As if all documents were like those so far, and half as much again for those that are not.
        let (values_so_far, rows_so_far) = match self.ends.len() {
            0 => (values, rows),
            rows_so_far => (self.data.len(), rows_so_far),
        };
        let a_row = values_so_far as f64 / rows_so_far.max(1) as f64;
        let likely = (a_row * all.unwrap_or(0) as f64 * 1.5) as usize;
        reserve(&mut self.data, values, likely)?;
        reserve(&mut self.indices, values, likely)
    }

    /// Values, features and row pointers, in no more memory than they need; with more than `narrow` tokens, each
    /// counted as often as it occurred, in 64 bits: those are scikit-learn's terms, for which `narrow` is 2^31 - 1.
    #[must_use]
    pub fn finish(mut self, narrow: usize) -> (Vec<T>, Positions) {
        self.data.shrink_to_fit();
        self.indices.shrink_to_fit();
        let ends = [0].into_iter().chain(self.ends.iter().copied());
        let positions = if self.n_tokens <= narrow {
            Positions::Narrow(self.indices, ends.map(|end| end as i32).collect())
        } else {
            let wide = self.indices.into_iter().map(i64::from).collect();
            Positions::Wide(wide, ends.map(|end| end as i64).collect())
        };
        (self.data, positions)
    }
}

/// Memory from which on large pages are worth while, as NumPy sees it.
const LARGE: usize = 4 << 20;

/// What is larger than this the system's allocator takes from the system alone and gives back at once: it is cut to
/// its size in place, and its pages are large from the beginning.
const OF_ITS_OWN: usize = 33 << 20;

/// Room for `more` elements at least and for `likely` in all if that can be had, on large pages. What is reserved
/// and not used costs addresses, no memory; an array that has to be moved costs a fifth of the time of a matrix.
fn reserve<T>(array: &mut Vec<T>, more: usize, likely: usize) -> Result<(), TryReserveError> {
    let likely = if likely.saturating_mul(size_of::<T>()) < LARGE {
        likely
    } else {
        likely.max(OF_ITS_OWN / size_of::<T>())
    };
    let likely = likely.saturating_sub(array.len());
    if likely <= more || array.try_reserve_exact(likely).is_err() {
        array.try_reserve(more)?;
    }
    prefer_large_pages(array.spare_capacity_mut());
    Ok(())
}

/// Makes one document's hashes after the other's rows of the matrix.
#[derive(Debug)]
pub struct CsrSink<T> {
    /// The rows, those given at first among them.
    pub rows: CsrRows<T>,
    writer: RowWriter,
    hashes: Vec<u32>,
}

impl<T: Float> CsrSink<T> {
    /// A sink that appends to these rows.
    #[must_use]
    pub fn new(options: CsrOptions, rows: CsrRows<T>) -> Self {
        Self {
            rows,
            writer: RowWriter::new(options),
            hashes: Vec::new(),
        }
    }

    fn write(&mut self, hashes: &[u32]) {
        let CsrRows { data, indices, .. } = &mut self.rows;
        self.writer.write(hashes, data, indices);
        self.rows.ends.push(self.rows.data.len());
        self.rows.n_tokens += hashes.len();
    }
}

impl<T: Float> Sink for CsrSink<T> {
    fn hashes(&mut self) -> &mut Vec<u32> {
        &mut self.hashes
    }

    fn end_document(&mut self) {
        let mut hashes = std::mem::take(&mut self.hashes);
        self.write(&hashes);
        hashes.clear();
        self.hashes = hashes;
    }
}

/// The rows of a batch.
///
/// # Errors
/// If there is no memory for them.
pub fn csr_rows<T: Float>(
    batch: &HashedBatch,
    options: CsrOptions,
) -> Result<CsrRows<T>, TryReserveError> {
    let mut sink = CsrSink::new(options, CsrRows::default());
    sink.rows
        .make_room(batch.hashes().len(), batch.len(), None)?;
    for hashes in batch.documents() {
        sink.write(hashes);
    }
    Ok(sink.rows)
}

#[cfg(test)]
mod tests {
    use super::{CsrRows, Positions, csr_rows};
    use crate::rows::CsrOptions;
    use crate::text::HashedBatch;

    const OPTIONS: CsrOptions = CsrOptions {
        n_features: 100,
        alternate_sign: false,
        binary: false,
        norm: None,
    };

    fn rows(hashes: &[u32], indptr: &[usize]) -> CsrRows<f64> {
        let batch = HashedBatch::from_parts(hashes.to_vec(), indptr.to_vec()).expect("fits");
        csr_rows(&batch, OPTIONS).expect("memory")
    }

    #[test]
    fn rows_appended_to_rows_are_the_rows_of_both() {
        let mut some = rows(&[7, 7, 5], &[0, 2, 2, 3]);
        some.append(&rows(&[9, 1], &[0, 0, 2]), Some(5))
            .expect("memory");
        assert_eq!(some, rows(&[7, 7, 5, 9, 1], &[0, 2, 2, 3, 3, 5]));
    }

    #[test]
    fn many_tokens_make_wide_positions_however_few_values_are_left() {
        let some = rows(&[7, 7, 5], &[0, 2, 3]);
        let narrow = Positions::Narrow(vec![7, 5], vec![0, 1, 2]);
        let wide = Positions::Wide(vec![7, 5], vec![0, 1, 2]);
        assert_eq!(some.clone().finish(3), (vec![2.0, 1.0], narrow));
        assert_eq!(some.finish(2), (vec![2.0, 1.0], wide));
    }

    #[test]
    fn a_likely_size_that_cannot_be_had_is_done_without() {
        let mut some = rows(&[7, 5], &[0, 1, 2]);
        assert!(some.make_room(10, 1, Some(usize::MAX)).is_ok());
        assert!(some.data.capacity() >= 12);
        assert!(some.make_room(usize::MAX / 16, 1, None).is_err());
    }

    #[test]
    fn finished_rows_take_no_more_memory_than_they_need() {
        let mut some = rows(&[7, 5], &[0, 1, 2]);
        some.make_room(1000, 0, Some(100_000)).expect("memory");
        assert_eq!(some.finish(9).0.capacity(), 2);
    }
}
