//! Margins of rows: sums of products in one fixed order.
//!
//! ```text
//! one output:    eight running sums, feature i of the row into sum i mod 8, put together in pairs
//! more outputs:  z[k] += (x0·w0[k] + x1·w1[k]) + (x2·w2[k] + x3·w3[k])      four features at a time
//! ```
//!
//! The table may have anything behind the weights of a feature (`width` numbers a feature, of which the first
//! are the weights): the learner's interleaved state and a saved model's matrix give the same bytes.

use super::LearnError;
use super::sums::{add_products, total};
use crate::kernels::widest::{self, Work};
use crate::rows::Rows;

/// Writes the margins of one row: `z[k] = intercept[k] + Σ_j x[j] · table[j · width + k]`.
///
/// Every index times `width` plus the length of `z` lies within the table. `z` may be longer than the intercept, up to
/// `width`: what is behind the outputs is of no use then.
#[inline(always)]
pub(super) fn margins<const LANES: usize>(
    row: (&[u32], &[f32]),
    table: &[f32],
    width: usize,
    intercept: &[f32],
    z: &mut [f32],
) {
    let (indices, values) = row;
    if intercept.len() == 1 {
        z[0] = one_output(indices, values, table, width) + intercept[0];
        return;
    }
    z.fill(0.0);
    let (fours, rest) = indices.as_chunks::<4>();
    let (values_of_fours, values_of_rest) = values.as_chunks::<4>();
    for (four, x) in fours.iter().zip(values_of_fours) {
        add_four::<LANES>(four.map(|j| &table[j as usize * width..][..z.len()]), *x, z);
    }
    for (&j, &x) in rest.iter().zip(values_of_rest) {
        for (z, w) in z.iter_mut().zip(&table[j as usize * width..]) {
            *z += x * w;
        }
    }
    for (z, b) in z.iter_mut().zip(intercept) {
        *z += b;
    }
}

#[inline(always)]
fn one_output(indices: &[u32], values: &[f32], table: &[f32], width: usize) -> f32 {
    let mut sums = [0.0f32; 8];
    let (eights, rest) = indices.as_chunks::<8>();
    let (values_of_eights, values_of_rest) = values.as_chunks::<8>();
    for (eight, x) in eights.iter().zip(values_of_eights) {
        add_products(&mut sums, x, &eight.map(|j| table[j as usize * width]));
    }
    for (sum, (&j, x)) in sums.iter_mut().zip(rest.iter().zip(values_of_rest)) {
        *sum += x * table[j as usize * width];
    }
    total(sums)
}

/// `LANES` outputs at a time, then four: loops of fixed length need no asking how many are left.
#[inline(always)]
fn add_four<const LANES: usize>(weights: [&[f32]; 4], x: [f32; 4], z: &mut [f32]) {
    if LANES == 1 {
        return add_any(weights, x, z);
    }
    let (all, rest) = z.as_chunks_mut::<LANES>();
    let (fours, ones) = rest.as_chunks_mut::<4>();
    let weights_of_rest = weights.map(|w| &w[all.len() * LANES..]);
    let weights_of_ones = weights_of_rest.map(|w| &w[fours.len() * 4..]);
    add_chunks(weights, x, all);
    add_chunks(weights_of_rest, x, fours);
    add_any(weights_of_ones, x, ones);
}

#[inline(always)]
fn add_any(weights: [&[f32]; 4], x: [f32; 4], z: &mut [f32]) {
    let n = z.len();
    let [w0, w1, w2, w3] = weights.map(|w| &w[..n]);
    for k in 0..n {
        z[k] += (x[0] * w0[k] + x[1] * w1[k]) + (x[2] * w2[k] + x[3] * w3[k]);
    }
}

#[inline(always)]
fn add_chunks<const N: usize>(weights: [&[f32]; 4], x: [f32; 4], z: &mut [[f32; N]]) {
    let [w0, w1, w2, w3] = weights.map(|w| w.as_chunks::<N>().0);
    for ((((z, w0), w1), w2), w3) in z.iter_mut().zip(w0).zip(w1).zip(w2).zip(w3) {
        let mut sums = *z;
        for k in 0..N {
            sums[k] += (x[0] * w0[k] + x[1] * w1[k]) + (x[2] * w2[k] + x[3] * w3[k]);
        }
        *z = sums;
    }
}

/// What rows are scored with.
pub(super) trait Model {
    /// Writes the margins of one row.
    fn margins<const LANES: usize>(&mut self, row: (&[u32], &[f32]), z: &mut [f32]);
}

/// Decision values of all rows, row after row, `k` each.
///
/// # Errors
/// If the result does not fit in memory.
pub(super) fn score(rows: &Rows, k: usize, model: impl Model) -> Result<Vec<f32>, LearnError> {
    let length = rows
        .len()
        .checked_mul(k)
        .ok_or(LearnError::Memory { bytes: None })?;
    let mut scores = Vec::new();
    scores
        .try_reserve_exact(length)
        .map_err(|_| LearnError::Memory {
            bytes: length.checked_mul(size_of::<f32>()),
        })?;
    scores.resize(length, 0.0);
    let scores_of_rows = scores.chunks_exact_mut(k).enumerate();
    widest::run(Scoring {
        rows,
        scores_of_rows,
        model,
    });
    Ok(scores)
}

struct Scoring<'a, I, M> {
    rows: &'a Rows,
    scores_of_rows: I,
    model: M,
}

impl<'a, I: Iterator<Item = (usize, &'a mut [f32])>, M: Model> Work for Scoring<'_, I, M> {
    type Output = ();

    #[inline(always)]
    fn run<const LANES: usize>(mut self) {
        for (i, z) in self.scores_of_rows {
            self.model.margins::<LANES>(self.rows.row(i), z);
        }
    }
}

/// Weights in the order of the features.
struct Matrix<'a> {
    weights: &'a [f32],
    intercept: &'a [f32],
}

impl Model for Matrix<'_> {
    #[inline(always)]
    fn margins<const LANES: usize>(&mut self, row: (&[u32], &[f32]), z: &mut [f32]) {
        margins::<LANES>(row, self.weights, self.intercept.len(), self.intercept, z);
    }
}

/// Decision values of all rows under given weights, shape `(n_rows, n_outputs)` flattened: the same bytes as
/// [`super::Learner::scores`].
///
/// # Errors
/// If the weights are no matrix of `intercept.len()` columns, a row has a feature that they have not, or the
/// result does not fit in memory.
pub fn score_rows(rows: &Rows, weights: &[f32], intercept: &[f32]) -> Result<Vec<f32>, LearnError> {
    let k = intercept.len();
    if k == 0 || !weights.len().is_multiple_of(k) {
        return LearnError::invalid(format!(
            "weights are not of shape (n_features, {k}), the intercept's"
        ));
    }
    check_rows(rows, weights.len() / k)?;
    score(rows, k, Matrix { weights, intercept })
}

/// # Errors
/// If the arrays do not fit together, or a feature is not below `n_features`.
pub(super) fn check_rows(rows: &Rows, n_features: usize) -> Result<(), LearnError> {
    let ascending = rows.indptr.is_sorted();
    let end = rows.indptr.last().copied().unwrap_or(0);
    if !ascending || end > rows.indices.len() || end > rows.values.len() {
        return LearnError::invalid("the arrays of the rows do not fit together".into());
    }
    let greatest = rows
        .indices
        .iter()
        .fold(0, |greatest, &j| if j > greatest { j } else { greatest });
    if !rows.indices.is_empty() && greatest as usize >= n_features {
        let position = rows
            .indices
            .iter()
            .position(|&j| j as usize >= n_features)
            .unwrap_or(0);
        let row = rows
            .indptr
            .partition_point(|&start| start <= position)
            .saturating_sub(1);
        return LearnError::invalid(format!(
            "row {row} has feature {}, and there are {n_features}",
            rows.indices[position]
        ));
    }
    Ok(())
}
