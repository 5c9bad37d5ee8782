//! Rows whose values are weighed by feature and normed again.
//!
//! ```text
//! for each row:
//!     value ← value · weights[feature]       weights are asked for some features ahead
//!     values ← values / norm of the row      summed as the learner's rows are
//! ```

use super::mapped::norm_of;
use super::values::divide;
use super::{Norm, Rows};
use crate::kernels::memory::prefetch;
use crate::kernels::widest::{self, Work};

/// How far ahead the weight of a feature is asked for.
const AHEAD: usize = 16;

impl Rows {
    /// The same rows, each value multiplied by the weight of its feature and each row divided by its norm. A row
    /// without a value that is not 0 stays as it is.
    ///
    /// # Errors
    /// What is wrong, if a feature has no weight or a value is not finite any more.
    pub fn weighted(&self, weights: &[f32], norm: Option<Norm>) -> Result<Self, String> {
        if let Some(&greatest) = self.indices.iter().max()
            && greatest as usize >= weights.len()
        {
            return Err(format!(
                "feature {greatest} has no weight: there are {}",
                weights.len()
            ));
        }
        let mut values = products(&self.indices, &self.values, weights);
        normed(&self.indptr, &mut values, norm)?;
        Ok(Self {
            indptr: self.indptr.clone(),
            indices: self.indices.clone(),
            values,
        })
    }
}

/// The values, each multiplied by the weight at its index.
fn products(indices: &[u32], values: &[f32], weights: &[f32]) -> Vec<f32> {
    let mut products = Vec::with_capacity(values.len());
    for (at, (&index, &value)) in indices.iter().zip(values).enumerate() {
        if let Some(&soon) = indices.get(at + AHEAD) {
            prefetch(weights, soon as usize);
        }
        products.push(value * weights[index as usize]);
    }
    products
}

/// Divides each row by its norm.
///
/// # Errors
/// If a value is not finite.
fn normed(indptr: &[usize], values: &mut [f32], norm: Option<Norm>) -> Result<(), String> {
    if let Some(norm) = norm {
        for ends in indptr.windows(2) {
            let row = &mut values[ends[0]..ends[1]];
            widest::run(Normed { row, norm });
        }
    }
    if !values.iter().all(|value| value.is_finite()) {
        return Err("a value times its feature's weight is not finite".into());
    }
    Ok(())
}

/// One row to be divided by its norm.
struct Normed<'a> {
    row: &'a mut [f32],
    norm: Norm,
}

impl Work for Normed<'_> {
    type Output = ();

    #[inline(always)]
    fn run<const LANES: usize>(self) {
        let Self { row, norm } = self;
        let by = norm_of(row, norm);
        divide(row, by);
    }
}

#[cfg(test)]
mod tests {
    use super::{Norm, Rows};

    fn rows() -> Rows {
        Rows::from_parts(vec![0, 2, 2, 4], vec![1, 3, 0, 2], vec![1.0, 2.0, 3.0, 4.0]).expect("fit")
    }

    #[test]
    fn each_value_is_multiplied_by_the_weight_of_its_feature() {
        let weighted = rows().weighted(&[1.0, 10.0, 0.5, 2.0], None).expect("fit");
        assert_eq!(weighted.values, [10.0, 4.0, 3.0, 2.0]);
    }

    #[test]
    fn weighted_rows_have_norm_one_or_stay_zeros() {
        let weights = [0.0, 3.0, 0.0, 2.0];
        let l2 = rows().weighted(&weights, Some(Norm::L2)).expect("fit");
        assert_eq!(l2.values, [0.6, 0.8, 0.0, 0.0]);
        let l1 = rows().weighted(&weights, Some(Norm::L1)).expect("fit");
        assert_eq!(l1.values, [3.0 / 7.0, 4.0 / 7.0, 0.0, 0.0]);
    }

    #[test]
    fn a_feature_without_a_weight_is_refused() {
        assert!(rows().weighted(&[1.0; 3], None).is_err());
        assert!(rows().weighted(&[f32::INFINITY; 4], None).is_err());
    }
}
