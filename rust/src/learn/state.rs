//! What a learner knows, read and written from outside: copies, growth, settling.

use super::settings::{check_shape, n_outputs};
use super::step::{Step, settle};
use super::table::{Spread, check_state};
use super::{LearnError, Learner, Loss};

impl Learner {
    /// Makes every feature pay the regularisation that it still owes for rows it was absent from.
    ///
    /// Without regularisation nothing happens. After it, weights, sums and intercept state are the whole state.
    pub fn settle(&mut self) {
        // Where no row was learnt since the last time nothing is owed.
        if self.now > 0.0 {
            let step = Step::new(&self.settings);
            if self.rounds.is_empty() {
                settle(&mut self.table, step, self.now);
            } else {
                self.rounds.settle(&mut self.table, step);
                self.rounds.clear();
            }
            self.now = 0.0;
        }
    }

    /// Makes room for further classes, which start unlearnt.
    ///
    /// # Errors
    /// If there are more classes already, or the larger state does not fit in memory beside the old one.
    pub fn grow(&mut self, n_classes: usize) -> Result<(), LearnError> {
        if n_classes < self.n_classes {
            return LearnError::invalid(format!(
                "there are {} classes already, more than {n_classes}",
                self.n_classes
            ));
        }
        if n_classes == self.n_classes {
            return Ok(());
        }
        check_shape(self.table.n_features, n_classes)?;
        let spread = match (self.n_classes, self.settings.loss) {
            (2, Loss::Log) => Spread::Split { factor: 0.5 },
            (2, _) => Spread::Split { factor: 1.0 },
            _ => Spread::Append,
        };
        let k = n_outputs(n_classes);
        self.table = self.table.widened(k, spread)?;
        self.forget_changes();
        let mut intercept = vec![0.0; 2 * k];
        let (weights, sums) = intercept.split_at_mut(k);
        let (old_weights, old_sums) = self.intercept.split_at(self.intercept.len() / 2);
        spread.weights(old_weights, weights);
        spread.sums(old_sums, sums);
        self.intercept = intercept;
        self.n_classes = n_classes;
        Ok(())
    }

    /// A copy of the weights of features `start` to `stop`, one row of `n_outputs` a feature.
    ///
    /// # Errors
    /// If there are no such features, or memory is lacking.
    pub fn weights(&self, start: usize, stop: usize) -> Result<Vec<f32>, LearnError> {
        self.table.copy(start..stop, 0..self.n_outputs())
    }

    /// A copy of the squared-gradient sums, one a feature.
    ///
    /// # Errors
    /// If there are no such features, or memory is lacking.
    pub fn accumulators(&self, start: usize, stop: usize) -> Result<Vec<f32>, LearnError> {
        let k = self.n_outputs();
        self.table.copy(start..stop, k..k + 1)
    }

    /// Overwrites the features from `start` on; they owe no regularisation afterwards.
    ///
    /// # Errors
    /// If the arrays do not fit or hold impossible numbers; nothing is changed then.
    pub fn set_state(
        &mut self,
        start: usize,
        weights: &[f32],
        sums: &[f32],
    ) -> Result<(), LearnError> {
        self.table.overwrite(start, weights, sums)?;
        self.forget_changes();
        if self.now > 0.0 {
            for j in start..start + sums.len() {
                self.table.set_date(self.table.slot(j), self.now);
            }
        }
        Ok(())
    }

    /// The intercepts.
    #[must_use]
    pub fn intercept(&self) -> &[f32] {
        &self.intercept[..self.n_outputs()]
    }

    /// The intercepts, then their squared-gradient sums.
    #[must_use]
    pub fn intercept_state(&self) -> &[f32] {
        &self.intercept
    }

    /// Overwrites what [`Self::intercept_state`] gives, and the count of rows.
    ///
    /// # Errors
    /// If the length differs or a number is impossible; nothing is changed then.
    pub fn set_intercept_state(
        &mut self,
        state: &[f32],
        n_rows_seen: u64,
    ) -> Result<(), LearnError> {
        if state.len() != self.intercept.len() {
            return LearnError::invalid(format!(
                "the intercept state has {} numbers, not {}",
                state.len(),
                self.intercept.len()
            ));
        }
        let (weights, sums) = state.split_at(self.n_outputs());
        check_state(weights, sums)?;
        self.intercept.copy_from_slice(state);
        self.n_rows_seen = n_rows_seen;
        Ok(())
    }
}
