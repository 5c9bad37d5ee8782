//! Hashes of a document turned into its row of features: sorted, counted, valued, normed.
//!
//! ```text
//! for each document:
//!     keys    ← abs(hash) % n_features          (and the sign as lowest bit, for scikit-learn's matrix)
//!     sort keys
//!     indices ← the distinct ones
//!     counts  ← differences of the ends of their runs
//!     values  ← counts, 1 + ln(counts) or 1; divided by the row's norm
//! ```

mod csr;
mod csr_rows;
mod feature_table;
mod learner;
mod mapped;
mod picked;
mod placing;
mod svmlight;
mod values;
mod weighted;

pub use csr::{CsrOptions, Float};
pub use csr_rows::{CsrRows, CsrSink, Positions, csr_rows};
pub use feature_table::{FeatureTable, FeatureTableError};
pub use learner::{RowOptions, RowWriter, Value, learner_rows};
pub use picked::{HashedChunk, picked_rows};
pub use placing::Placing;
pub use svmlight::svmlight_lines;

/// What a row is divided by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Norm {
    /// The sum of the absolute values.
    L1,
    /// The root of the sum of the squares.
    L2,
}

/// Rows of features, ready for the learner: compressed sparse rows without a matrix around them.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct Rows {
    /// Where each row starts and ends in `indices` and `values`: `n_rows + 1` numbers, the first is 0.
    pub indptr: Vec<usize>,
    /// Feature numbers, strictly ascending inside a row.
    pub indices: Vec<u32>,
    /// The value of each feature.
    pub values: Vec<f32>,
}

impl Rows {
    /// Rows of given arrays.
    ///
    /// # Errors
    /// What is wrong, if `indptr` does not ascend from 0 to the end, the indices of a row do not strictly ascend,
    /// or there are not as many values as indices.
    pub fn from_parts(
        indptr: Vec<usize>,
        indices: Vec<u32>,
        values: Vec<f32>,
    ) -> Result<Self, &'static str> {
        if indices.len() != values.len() {
            return Err("there must be as many values as indices");
        }
        if indptr.first() != Some(&0)
            || indptr.last() != Some(&indices.len())
            || !indptr.is_sorted()
        {
            return Err("indptr must ascend from 0 to the number of indices");
        }
        let ascends = |ends: &[usize]| indices[ends[0]..ends[1]].is_sorted_by(|a, b| a < b);
        if !indptr.windows(2).all(ascends) {
            return Err("the indices of a row must ascend strictly");
        }
        Ok(Self {
            indptr,
            indices,
            values,
        })
    }

    /// The number of rows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.indptr.len().saturating_sub(1)
    }

    /// Whether there is no row at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The rows picked by `order`, in that order; `None` if there is no such row.
    #[must_use]
    pub fn take(&self, order: &[u32]) -> Option<Self> {
        let size = |&i: &u32| Some(self.indptr.get(i as usize + 1)? - self.indptr[i as usize]);
        let total = order.iter().map(size).sum::<Option<usize>>()?;
        let mut taken = Self {
            indptr: Vec::with_capacity(order.len() + 1),
            indices: Vec::with_capacity(total),
            values: Vec::with_capacity(total),
        };
        taken.indptr.push(0);
        for &i in order {
            let (indices, values) = self.row(i as usize);
            taken.indices.extend_from_slice(indices);
            taken.values.extend_from_slice(values);
            taken.indptr.push(taken.indices.len());
        }
        Some(taken)
    }

    /// Indices and values of row `i`.
    ///
    /// # Panics
    /// If there is no row `i`.
    #[must_use]
    pub fn row(&self, i: usize) -> (&[u32], &[f32]) {
        let span = self.indptr[i]..self.indptr[i + 1];
        (&self.indices[span.clone()], &self.values[span])
    }
}
