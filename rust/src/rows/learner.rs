//! Rows for the learner: counts without signs, damped, normed, in single precision.
//!
//! The arithmetic is written out and uses no function of the system's mathematical library, so that the same text
//! gives the same bytes on every platform.

use super::{Norm, Rows};
use crate::kernels::{self, Fold};
use crate::text::{HashedBatch, Sink};
use std::sync::LazyLock;

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
        }
    }

    fn write(&mut self, hashes: &[u32]) {
        let Self {
            options,
            fold,
            keys,
            spare,
            distinct,
            ends,
            rows,
            ..
        } = self;
        let kernels = kernels::best();
        (kernels.fold)(hashes, *fold, false, keys);
        (kernels.sort)(keys, spare);
        let count = (kernels.runs)(keys, distinct, ends);
        let written = rows.values.len();
        rows.indices.extend_from_slice(&distinct[..count]);
        let starts = [0].iter().chain(&*ends);
        let counts = ends[..count]
            .iter()
            .zip(starts)
            .map(|(end, start)| end - start);
        match options.value {
            Value::Count => rows.values.extend(counts.map(|count| count as f32)),
            Value::Log => rows.values.extend(counts.map(damped)),
            Value::Binary => rows.values.extend(counts.map(|_| 1.0)),
        }
        if let Some(norm) = options.norm {
            divide(&mut rows.values[written..], norm);
        }
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

/// Counts whose damped value is kept: nearly all that occur.
const KEPT: u32 = 256;

static DAMPED: LazyLock<Vec<f32>> = LazyLock::new(|| (0..KEPT).map(one_plus_log).collect());

fn damped(count: u32) -> f32 {
    DAMPED
        .get(count as usize)
        .copied()
        .unwrap_or_else(|| one_plus_log(count))
}

/// `libm` is compiled into the crate: unlike the system's, its logarithm has the same last bit everywhere.
fn one_plus_log(count: u32) -> f32 {
    (1.0 + libm::log(f64::from(count))) as f32
}

/// Sums run in four lanes, in this order whatever the processor: one lane alone would wait for each addition.
const LANES: usize = 4;

fn divide(row: &mut [f32], norm: Norm) {
    let term = |value: f32| match norm {
        Norm::L1 => f64::from(value), // no value is negative
        Norm::L2 => f64::from(value) * f64::from(value),
    };
    let mut sums = [0.0; LANES];
    let (fours, rest) = row.as_chunks::<LANES>();
    for four in fours {
        for (sum, &value) in sums.iter_mut().zip(four) {
            *sum += term(value);
        }
    }
    for (sum, &value) in sums.iter_mut().zip(rest) {
        *sum += term(value);
    }
    let sum = (sums[0] + sums[1]) + (sums[2] + sums[3]);
    let by = match norm {
        Norm::L1 => sum,
        Norm::L2 => sum.sqrt(),
    } as f32;
    if by != 0.0 {
        row.iter_mut().for_each(|value| *value /= by);
    }
}
