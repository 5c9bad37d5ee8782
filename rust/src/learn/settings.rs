//! What a learner is made with, checked.

use super::{LearnError, Loss};

/// Greatest number of features.
const MAX_FEATURES: usize = 1 << 30;
// With the limit on gradients, below this no weight overflows in any number of rows that a machine can learn.
const MAX_LEARNING_RATE: f32 = 1e9;

/// The parameters of a learner.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Settings {
    /// The loss.
    pub loss: Loss,
    /// Strength of L1 per row.
    pub l1: f32,
    /// Strength of L2 per row.
    pub l2: f32,
    /// AdaGrad's eta.
    pub learning_rate: f32,
    /// The value at which every feature's sum of squared gradients starts.
    pub initial_g: f32,
    /// Whether outputs have an intercept.
    pub fit_intercept: bool,
}

impl Settings {
    /// Whether weights are regularised at all.
    #[must_use]
    pub fn is_regularised(&self) -> bool {
        self.l1 > 0.0 || self.l2 > 0.0
    }

    /// # Errors
    /// If a number is out of range.
    pub(super) fn check(&self) -> Result<(), LearnError> {
        let numbers = [
            ("l1", self.l1),
            ("l2", self.l2),
            ("initial_g", self.initial_g),
        ];
        for (name, number) in numbers {
            if !(number >= 0.0 && number.is_finite()) {
                return LearnError::invalid(format!(
                    "{name} is {number}, not a finite number of 0 or more"
                ));
            }
        }
        let rate = self.learning_rate;
        if !(rate > 0.0 && rate <= MAX_LEARNING_RATE) {
            return LearnError::invalid(format!(
                "learning_rate is {rate}, not above 0 and at most {MAX_LEARNING_RATE:e}"
            ));
        }
        Ok(())
    }
}

/// # Errors
/// If no learner has so many features or classes.
pub(super) fn check_shape(n_features: usize, n_classes: usize) -> Result<(), LearnError> {
    check_features(n_features)?;
    if !(2..=i32::MAX as usize).contains(&n_classes) {
        return LearnError::invalid(format!("n_classes is {n_classes}, not 2 to {}", i32::MAX));
    }
    Ok(())
}

/// # Errors
/// If there are not so many features anywhere.
pub(super) fn check_features(n_features: usize) -> Result<(), LearnError> {
    if !(1..=MAX_FEATURES).contains(&n_features) {
        return LearnError::invalid(format!(
            "n_features is {n_features}, not 1 to {MAX_FEATURES}"
        ));
    }
    Ok(())
}

/// One output decides between two classes; more classes have one each.
pub(super) fn n_outputs(n_classes: usize) -> usize {
    if n_classes == 2 { 1 } else { n_classes }
}
