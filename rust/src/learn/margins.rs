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
use crate::rows::Rows;

/// Writes the margins of one row: `z[k] = intercept[k] + Σ_j x[j] · table[j · width + k]`.
///
/// Every index times `width` plus the number of outputs lies within the table.
pub(super) fn margins(
    row: (&[u32], &[f32]),
    table: &[f32],
    width: usize,
    intercept: &[f32],
    z: &mut [f32],
) {
    let (indices, values) = row;
    if let [z] = z {
        *z = one_output(indices, values, table, width) + intercept[0];
        return;
    }
    z.fill(0.0);
    let (fours, rest) = indices.as_chunks::<4>();
    let (values_of_fours, values_of_rest) = values.as_chunks::<4>();
    for (four, x) in fours.iter().zip(values_of_fours) {
        add_four(four.map(|j| &table[j as usize * width..][..z.len()]), *x, z);
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

#[inline(always)]
fn add_four(weights: [&[f32]; 4], x: [f32; 4], z: &mut [f32]) {
    let [w0, w1, w2, w3] = weights;
    let n = z.len();
    let (w0, w1, w2, w3) = (&w0[..n], &w1[..n], &w2[..n], &w3[..n]);
    for k in 0..n {
        z[k] += (x[0] * w0[k] + x[1] * w1[k]) + (x[2] * w2[k] + x[3] * w3[k]);
    }
}

/// Decision values of all rows, row after row, under a matrix of `width` numbers a feature.
///
/// # Errors
/// If a row has a feature that the table has not, or the result does not fit in memory.
pub(super) fn score_table(
    rows: &Rows,
    table: &[f32],
    width: usize,
    intercept: &[f32],
) -> Result<Vec<f32>, LearnError> {
    let k = intercept.len();
    check_rows(rows, table.len() / width)?;
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
    for (i, z) in scores.chunks_exact_mut(k).enumerate() {
        margins(rows.row(i), table, width, intercept, z);
    }
    Ok(scores)
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
    score_table(rows, weights, k, intercept)
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
