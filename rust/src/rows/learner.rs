//! Rows for the learner: counts without signs, damped, normed, in single precision.
//!
//! The arithmetic is written out and uses no function of the system's mathematical library, so that the same text
//! gives the same bytes on every platform.

use super::fold::Fold;
use super::{Norm, Rows};
use crate::kernels;
use crate::text::HashedBatch;
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

/// The rows of a batch under `1 ..= 2^31` features.
#[must_use]
pub fn learner_rows(
    batch: &HashedBatch,
    n_features: u32,
    value: Value,
    norm: Option<Norm>,
) -> Rows {
    let kernels = kernels::best();
    let fold = Fold::new(n_features);
    let (mut keys, mut spare, mut ends) = (Vec::new(), Vec::new(), Vec::new());
    let mut rows = Rows {
        indptr: Vec::with_capacity(batch.len() + 1),
        ..Rows::default()
    };
    rows.indptr.push(0);
    for hashes in batch.documents() {
        fold.features(hashes, &mut keys);
        (kernels.sort)(&mut keys, &mut spare);
        let written = rows.indices.len();
        rows.indices.resize(written + keys.len(), 0);
        let distinct = runs(&keys, &mut rows.indices[written..], &mut ends);
        rows.indices.truncate(written + distinct);
        let starts = [0].iter().chain(&ends);
        let counts = ends[..distinct]
            .iter()
            .zip(starts)
            .map(|(end, start)| end - start);
        match value {
            Value::Count => rows.values.extend(counts.map(|count| count as f32)),
            Value::Log => rows.values.extend(counts.map(damped)),
            Value::Binary => rows.values.extend(counts.map(|_| 1.0)),
        }
        if let Some(norm) = norm {
            divide(&mut rows.values[written..], norm);
        }
        rows.indptr.push(rows.indices.len());
    }
    rows
}

/// Writes the distinct keys and where the run of each ends; returns how many there are.
fn runs(keys: &[u32], indices: &mut [u32], ends: &mut Vec<u32>) -> usize {
    if ends.len() < keys.len() {
        ends.resize(keys.len(), 0);
    }
    let Some((&last, _)) = keys.split_last() else {
        return 0;
    };
    let (indices, ends) = (&mut indices[..keys.len()], &mut ends[..keys.len()]);
    let nexts = keys[1..].iter().copied().chain([!last]);
    let mut distinct = 0;
    for ((&key, next), end) in keys.iter().zip(nexts).zip(1..) {
        indices[distinct] = key;
        ends[distinct] = end;
        distinct += usize::from(key != next);
    }
    distinct
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
