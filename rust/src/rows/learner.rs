//! Rows for the learner: counts without signs, damped, normed, in single precision.
//!
//! The arithmetic is written out and uses no function of the system's mathematical library, so that the same text
//! gives the same bytes on every platform.

use super::values::Values;
use super::{Norm, Rows};
use crate::kernels::{self, Fold, widest};
use crate::text::{HashedBatch, Sink};

/// The value of a feature that occurs `count` times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value {
    /// `count`
    Count,
    /// `1 + ln(count)`
    Log,
    /// `1`
    Binary,
}

/// How a document becomes a row.
#[derive(Debug, Clone, Copy)]
pub struct RowOptions {
    /// Features there are, 1 to 2^31.
    pub n_features: u32,
    /// The value of a feature.
    pub value: Value,
    /// What a row is divided by.
    pub norm: Option<Norm>,
}

/// The rows of a batch.
#[must_use]
pub fn learner_rows(batch: &HashedBatch, options: RowOptions) -> Rows {
    let mut writer = RowWriter::new(options, batch.len());
    for hashes in batch.documents() {
        writer.write(hashes);
    }
    writer.finish()
}

/// Makes rows of one document's hashes after the other's, in memory that stays in the processor's cache.
#[derive(Debug)]
pub struct RowWriter {
    options: RowOptions,
    fold: Fold,
    hashes: Vec<u32>,
    keys: Vec<u32>,
    spare: Vec<u32>,
    distinct: Vec<u32>,
    ends: Vec<u32>,
    rows: Rows,
    /// Rows that there will be.
    n_rows: usize,
}

impl RowWriter {
    /// A writer without rows, with room for `n_rows` of them.
    #[must_use]
    pub fn new(options: RowOptions, n_rows: usize) -> Self {
        let mut indptr = Vec::with_capacity(n_rows + 1);
        indptr.push(0);
        Self {
            options,
            fold: Fold::new(options.n_features),
            hashes: Vec::new(),
            keys: Vec::new(),
            spare: Vec::new(),
            distinct: Vec::new(),
            ends: Vec::new(),
            rows: Rows {
                indptr,
                ..Rows::default()
            },
            n_rows,
        }
    }

    pub(super) fn write(&mut self, hashes: &[u32]) {
        let Self {
            options,
            fold,
            keys,
            spare,
            distinct,
            ends,
            rows,
            n_rows,
            ..
        } = self;
        let kernels = kernels::best();
        (kernels.fold)(hashes, *fold, false, keys);
        (kernels.sort)(keys, spare);
        let count = (kernels.runs)(keys, distinct, ends);
        let written = rows.values.len();
        if rows.values.capacity() < written + count {
            // As if all documents were like those so far, and a little for those that are not.
            let rows_so_far = rows.len().max(1);
            let likely = (written + count) / rows_so_far * (*n_rows).max(rows_so_far);
            let more = (likely + likely / 16).saturating_sub(written).max(count);
            rows.indices.reserve(more);
            rows.values.reserve(more);
        }
        rows.indices.extend_from_slice(&distinct[..count]);
        rows.values.resize(written + count, 0.0);
        widest::run(Values {
            ends: &ends[..count],
            row: &mut rows.values[written..],
            value: options.value,
            norm: options.norm,
        });
        rows.indptr.push(rows.indices.len());
    }

    /// The rows, in no more memory than they need.
    #[must_use]
    pub fn finish(mut self) -> Rows {
        self.rows.indices.shrink_to_fit();
        self.rows.values.shrink_to_fit();
        self.rows
    }
}

impl Sink for RowWriter {
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
