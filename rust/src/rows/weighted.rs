//! Rows whose values are weighed by feature and normed again.
//!
//! ```text
//! for each row:
//!     value ← value · weights[feature]       weights are asked for some features ahead
//!     values ← values / norm of the row      summed as the learner's rows are
//! ```

use super::values::{divide, sum};
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
        let mut values = Vec::with_capacity(self.values.len());
        for (at, (&feature, &value)) in self.indices.iter().zip(&self.values).enumerate() {
            if let Some(&soon) = self.indices.get(at + AHEAD) {
                prefetch(weights, soon as usize);
            }
            values.push(value * weights[feature as usize]);
        }
        if let Some(norm) = norm {
            for ends in self.indptr.windows(2) {
                let row = &mut values[ends[0]..ends[1]];
                widest::run(Normed { row, norm });
            }
        }
        if !values.iter().all(|value| value.is_finite()) {
            return Err("a value times its feature's weight is not finite".into());
        }
        Ok(Self {
            indptr: self.indptr.clone(),
            indices: self.indices.clone(),
            values,
        })
    }
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
        let norm = match norm {
            Norm::L1 => sum(row, |value| f64::from(value).abs()),
            Norm::L2 => sum(row, |value| f64::from(value) * f64::from(value)).sqrt(),
        };
        divide(row, norm as f32);
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
