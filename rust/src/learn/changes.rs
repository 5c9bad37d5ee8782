//! What a learner changes between two moments, feature by feature.
//!
//! ```text
//! begin:      nothing is noted
//! learn:      for each feature of the rows that is not noted yet: note it, and its block as it is
//! take:       for each noted feature, in order of its number: now − then;  put back what was then
//! ```
//!
//! Features are noted before the rows are learnt, in a loop of its own, at a bit a feature: learning costs what it
//! costs otherwise. With regularisation every feature may change with every row, so all that hold something are noted
//! at the beginning.

use super::table::{check_state, zeros};
use super::{LearnError, Learner};
use crate::rows::Rows;

/// Blocks as they were when their features were first met.
#[derive(Debug)]
pub(super) struct Noted {
    /// A bit for each feature.
    seen: Vec<u64>,
    features: Vec<u32>,
    /// Weights and sum of each noted feature.
    blocks: Vec<f32>,
    intercept: Vec<f32>,
    n_rows_seen: u64,
}

/// Features that changed, in order, and by how much.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct Changes {
    /// Ascending.
    pub features: Vec<u32>,
    /// One row of `n_outputs` a feature.
    pub weights: Vec<f32>,
    /// One a feature.
    pub sums: Vec<f32>,
    /// Intercepts, then their sums.
    pub intercept: Vec<f32>,
}

impl Changes {
    /// Leaves out features that moved by nothing.
    fn drop_unchanged(&mut self, k: usize) {
        let mut n_kept = 0;
        for i in 0..self.features.len() {
            let moved = i * k..(i + 1) * k;
            if self.sums[i] != 0.0 || self.weights[moved.clone()].iter().any(|&w| w != 0.0) {
                self.features[n_kept] = self.features[i];
                self.sums[n_kept] = self.sums[i];
                self.weights.copy_within(moved, n_kept * k);
                n_kept += 1;
            }
        }
        self.features.truncate(n_kept);
        self.sums.truncate(n_kept);
        self.weights.truncate(n_kept * k);
    }
}

impl Learner {
    /// From now on, notes what changes.
    ///
    /// # Errors
    /// If memory is lacking.
    pub fn begin_changes(&mut self) -> Result<(), LearnError> {
        self.settle()?;
        self.noted = Some(Noted {
            seen: zeros(Some(self.n_features().div_ceil(64)), |n| vec![0u64; n])?,
            features: Vec::new(),
            blocks: Vec::new(),
            intercept: self.intercept.clone(),
            n_rows_seen: self.n_rows_seen,
        });
        if self.settings.is_regularised() {
            let met = self.met();
            self.note_features(&met);
        }
        Ok(())
    }

    /// Notes the features of rows that are about to be learnt.
    pub(super) fn note(&mut self, rows: &Rows) {
        if self.noted.is_some() {
            self.note_features(&rows.indices);
        }
    }

    fn note_features(&mut self, features: &[u32]) {
        let n_used = self.n_outputs() + 1;
        let Some(noted) = &mut self.noted else { return };
        for &j in features {
            let (word, bit) = (&mut noted.seen[j as usize / 64], 1 << (j % 64));
            if *word & bit == 0 {
                *word |= bit;
                noted.features.push(j);
                noted
                    .blocks
                    .extend_from_slice(&self.table.block(j as usize)[..n_used]);
            }
        }
    }

    /// What has changed since [`Self::begin_changes`]; the learner is as it was then.
    ///
    /// # Errors
    /// If nothing was begun, or memory is lacking.
    pub fn take_changes(&mut self) -> Result<Changes, LearnError> {
        self.settle()?;
        let Some(noted) = self.noted.take() else {
            return LearnError::invalid(
                "changes are not being noted: call begin_changes first".into(),
            );
        };
        let k = self.n_outputs();
        // The place of a feature in order: how many are noted before it.
        let mut n_before = 0;
        let before: Vec<u32> = noted
            .seen
            .iter()
            .map(|word| {
                let here = n_before;
                n_before += word.count_ones();
                here
            })
            .collect();
        let m = noted.features.len();
        let mut changes = Changes {
            features: vec![0; m],
            weights: vec![0.0; m * k],
            sums: vec![0.0; m],
            intercept: Vec::new(),
        };
        let (mut slots, mut n_same) = (Vec::new(), 0);
        for (&j, then) in noted.features.iter().zip(noted.blocks.chunks_exact(k + 1)) {
            let (word, bit) = (j as usize / 64, j % 64);
            let lower = noted.seen[word] & ((1 << bit) - 1);
            let place = (before[word] + lower.count_ones()) as usize;
            self.table.take(&[j], &mut slots);
            let now = &mut self.table.block_of_slot(slots[0])[..k + 1];
            n_same += usize::from(now == then);
            changes.features[place] = j;
            let moved = changes.weights[place * k..][..k].iter_mut();
            for ((moved, now), then) in moved.zip(&*now).zip(then) {
                *moved = now - then;
            }
            changes.sums[place] = (now[k] - then[k]).max(0.0);
            now.copy_from_slice(then);
        }
        if n_same > 0 {
            changes.drop_unchanged(k);
        }
        let intercepts = self.intercept.iter().zip(&noted.intercept);
        changes.intercept = intercepts.map(|(now, then)| now - then).collect();
        self.intercept = noted.intercept;
        self.n_rows_seen = noted.n_rows_seen;
        Ok(changes)
    }

    /// Copies of the weights and sums of features.
    ///
    /// # Errors
    /// If there is no such feature.
    pub fn gather(&self, features: &[u32]) -> Result<(Vec<f32>, Vec<f32>), LearnError> {
        self.check_features(features)?;
        let k = self.n_outputs();
        let mut weights = Vec::with_capacity(features.len() * k);
        let mut sums = Vec::with_capacity(features.len());
        for &j in features {
            let block = self.table.block(j as usize);
            weights.extend_from_slice(&block[..k]);
            sums.push(block[k]);
        }
        Ok((weights, sums))
    }

    /// Overwrites features, given in ascending order; they owe no regularisation afterwards. What was being noted is
    /// forgotten.
    ///
    /// # Errors
    /// If the arrays do not fit or hold impossible numbers; nothing is changed then.
    pub fn scatter(
        &mut self,
        features: &[u32],
        weights: &[f32],
        sums: &[f32],
    ) -> Result<(), LearnError> {
        let k = self.n_outputs();
        if Some(weights.len()) != features.len().checked_mul(k) || sums.len() != features.len() {
            return LearnError::invalid(format!(
                "there are {} features, {} weights and {} accumulators",
                features.len(),
                weights.len(),
                sums.len()
            ));
        }
        self.check_features(features)?;
        check_state(weights, sums)?;
        self.noted = None;
        let mut slots = Vec::new();
        for (&j, (w, &sum)) in features.iter().zip(weights.chunks_exact(k).zip(sums)) {
            self.table.take(&[j], &mut slots);
            let block = self.table.block_of_slot(slots[0]);
            block[..k].copy_from_slice(w);
            block[k] = sum;
            if let Some(arrears) = &mut self.arrears {
                arrears.collect(slots[0] as usize);
            }
        }
        Ok(())
    }

    /// The features that hold something, in ascending order.
    #[must_use]
    pub fn met(&self) -> Vec<u32> {
        (0..self.n_features() as u32)
            .filter(|&j| self.table.block(j as usize).iter().any(|&cell| cell != 0.0))
            .collect()
    }

    fn check_features(&self, features: &[u32]) -> Result<(), LearnError> {
        if features.windows(2).any(|pair| pair[0] >= pair[1]) {
            return LearnError::invalid("features are not in ascending order".into());
        }
        match features.last() {
            Some(&j) if j as usize >= self.n_features() => {
                LearnError::invalid(format!("feature {j} is not below {}", self.n_features()))
            }
            _ => Ok(()),
        }
    }
}
