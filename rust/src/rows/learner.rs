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

/// Entries that room is made for at most beyond those of a row: one long document says nothing about the next ones.
const MOST_AHEAD: usize = 1 << 20;

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
    /// Of the parts of a long document so far: its features, how often each occurs, and the same to merge into.
    features: Vec<u32>,
    counts: Vec<u32>,
    merged: (Vec<u32>, Vec<u32>),
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
            features: Vec::new(),
            counts: Vec::new(),
            merged: (Vec::new(), Vec::new()),
            rows: Rows {
                indptr,
                ..Rows::default()
            },
            n_rows,
        }
    }

    pub(super) fn write(&mut self, hashes: &[u32]) {
        let count = self.runs(hashes);
        self.append(count);
    }

    /// The distinct features of hashes, and the ends of their runs; returns how many there are.
    fn runs(&mut self, hashes: &[u32]) -> usize {
        let kernels = kernels::best();
        (kernels.fold)(hashes, self.fold, false, &mut self.keys);
        (kernels.sort)(&mut self.keys, &mut self.spare);
        (kernels.runs)(&self.keys, &mut self.distinct, &mut self.ends)
    }

    /// Appends the row of so many distinct features and ends of runs.
    fn append(&mut self, count: usize) {
        let Self {
            options,
            distinct,
            ends,
            rows,
            n_rows,
            ..
        } = self;
        let written = rows.values.len();
        if rows.values.capacity() < written + count {
            // As if all documents were like those so far, and a little for those that are not.
            let rows_so_far = rows.len().max(1);
            let likely = (written + count) / rows_so_far * (*n_rows).max(rows_so_far);
            let more = (likely + likely / 16).saturating_sub(written);
            let more = more.min(MOST_AHEAD).max(count);
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

    /// Adds the hashes of a part of a document to those of the parts before it.
    fn add_part(&mut self, hashes: &[u32]) {
        let count = self.runs(hashes);
        let Self {
            distinct,
            ends,
            features,
            counts,
            merged,
            ..
        } = self;
        let (merged_features, merged_counts) = merged;
        let most = features.len() + count;
        for vector in [&mut *merged_features, &mut *merged_counts] {
            vector.clear();
            vector.reserve(most);
        }
        let (mut old, mut before) = (0, 0);
        for (&feature, &end) in distinct[..count].iter().zip(&ends[..count]) {
            let smaller = features[old..].iter().take_while(|&&known| known < feature);
            let upto = old + smaller.count();
            merged_features.extend_from_slice(&features[old..upto]);
            merged_counts.extend_from_slice(&counts[old..upto]);
            old = upto;
            let mut occurs = end - before;
            before = end;
            if features.get(old) == Some(&feature) {
                occurs += counts[old];
                old += 1;
            }
            merged_features.push(feature);
            merged_counts.push(occurs);
        }
        merged_features.extend_from_slice(&features[old..]);
        merged_counts.extend_from_slice(&counts[old..]);
        std::mem::swap(features, merged_features);
        std::mem::swap(counts, merged_counts);
    }

    /// Appends the row of a document that came in parts.
    fn append_parts(&mut self) {
        let mut end = 0;
        self.ends.clear();
        self.ends.extend(self.counts.iter().map(|count| {
            end += count;
            end
        }));
        std::mem::swap(&mut self.distinct, &mut self.features);
        self.append(self.counts.len());
        self.features = Vec::new();
        self.counts = Vec::new();
        self.merged = (Vec::new(), Vec::new());
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
    const TAKES_PARTS: bool = true;

    fn end_part(&mut self) {
        let mut hashes = std::mem::take(&mut self.hashes);
        self.add_part(&hashes);
        hashes.clear();
        self.hashes = hashes;
    }

    fn hashes(&mut self) -> &mut Vec<u32> {
        &mut self.hashes
    }

    fn end_document(&mut self) {
        if !self.features.is_empty() {
            return self.append_parts();
        }
        let mut hashes = std::mem::take(&mut self.hashes);
        self.write(&hashes);
        hashes.clear();
        self.hashes = hashes;
    }
}

#[cfg(test)]
mod tests {
    use super::{RowOptions, RowWriter, Value};
    use crate::rows::Norm;
    use crate::text::Sink;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_document_in_parts_has_the_row_of_the_whole(
            parts in prop::collection::vec(prop::collection::vec(any::<u32>(), 0..60), 1..6),
            n_features in 1u32..80,
        ) {
            let options = RowOptions { n_features, value: Value::Log, norm: Some(Norm::L2) };
            let (mut whole, mut in_parts) = (RowWriter::new(options, 3), RowWriter::new(options, 3));
            for hashes in [&parts[..1], &parts[..], &parts[..1]] {
                whole.hashes().extend(hashes.concat());
                whole.end_document();
                for part in hashes {
                    in_parts.hashes().extend(part);
                    in_parts.end_part();
                }
                in_parts.end_document();
            }
            prop_assert_eq!(in_parts.finish(), whole.finish());
        }
    }
}
