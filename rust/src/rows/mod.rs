//! Hashes of a document turned into its row of features: sorted, counted, valued, normed.

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
