//! The state of the features: weights, and one sum of squared gradients a feature.
//!
//! ```text
//! cells = [ w[0,0] … w[0,K−1] G[0]   w[1,0] … w[1,K−1] G[1]   … ]      one block of K + 1 numbers a feature
//! ```
//!
//! What one update needs lies together: with one output, 8 bytes of one cache line.

use super::LearnError;
use crate::kernels::memory::prefer_large_pages;
use std::ops::Range;

/// Weights and squared-gradient sums of all features.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) n_features: usize,
    pub(super) n_outputs: usize,
    pub(super) cells: Vec<f32>,
}

/// `length` zeros. The allocator gives zeroed pages, so memory that is never written is never taken.
///
/// # Errors
/// If there is not so much memory.
pub(super) fn zeros<T>(
    length: Option<usize>,
    make: fn(usize) -> Vec<T>,
) -> Result<Vec<T>, LearnError> {
    let bytes = length.and_then(|n| n.checked_mul(size_of::<T>()));
    let (Some(length), Some(_)) = (length, bytes) else {
        return Err(LearnError::Memory { bytes: None });
    };
    // Zeroed memory cannot be asked for fallibly: ask for plain memory, give it back, take it zeroed.
    if Vec::<T>::new().try_reserve_exact(length).is_err() {
        return Err(LearnError::Memory { bytes });
    }
    Ok(make(length))
}

impl Table {
    /// # Errors
    /// If the table does not fit in memory.
    pub(super) fn new(n_features: usize, n_outputs: usize) -> Result<Self, LearnError> {
        let length = n_outputs
            .checked_add(1)
            .and_then(|width| n_features.checked_mul(width));
        let mut cells = zeros(length, |n| vec![0.0f32; n])?;
        prefer_large_pages(&mut cells);
        Ok(Self {
            n_features,
            n_outputs,
            cells,
        })
    }

    /// Numbers a feature.
    pub(super) fn width(&self) -> usize {
        self.n_outputs + 1
    }

    /// The table of `n_outputs` outputs that `spread` makes of this one.
    ///
    /// # Errors
    /// If the new table does not fit in memory beside the old one.
    pub(super) fn widened(&self, n_outputs: usize, spread: Spread) -> Result<Self, LearnError> {
        let mut wide = Self::new(self.n_features, n_outputs)?;
        let blocks = self.cells.chunks_exact(self.width());
        for (old, new) in blocks.zip(wide.cells.chunks_exact_mut(n_outputs + 1)) {
            // Untouched features stay untouched memory.
            if old.iter().any(|&cell| cell != 0.0) {
                spread.block(old, new);
            }
        }
        Ok(wide)
    }

    /// A copy of the cells at `part` of the blocks of the features `start` to `stop`.
    ///
    /// # Errors
    /// If there are no such features, or the copy does not fit in memory.
    pub(super) fn copy(
        &self,
        features: Range<usize>,
        part: Range<usize>,
    ) -> Result<Vec<f32>, LearnError> {
        let Range { start, end } = features;
        if start > end || end > self.n_features {
            return LearnError::invalid(format!(
                "features {start} to {end} are not within 0 to {}",
                self.n_features
            ));
        }
        let length = (end - start) * part.len();
        let bytes = Some(length * size_of::<f32>());
        let mut copy = Vec::new();
        copy.try_reserve_exact(length)
            .map_err(|_| LearnError::Memory { bytes })?;
        let width = self.width();
        for block in self.cells[start * width..end * width].chunks_exact(width) {
            copy.extend_from_slice(&block[part.clone()]);
        }
        Ok(copy)
    }

    /// Overwrites the features from `start` on.
    ///
    /// # Errors
    /// If the arrays do not fit, a number is not finite, or a sum is negative; nothing is changed then.
    pub(super) fn overwrite(
        &mut self,
        start: usize,
        weights: &[f32],
        sums: &[f32],
    ) -> Result<(), LearnError> {
        let (k, count) = (self.n_outputs, sums.len());
        if Some(weights.len()) != count.checked_mul(k) {
            return LearnError::invalid(format!(
                "there are {} weights and {count} accumulators, not {k} weights for each accumulator",
                weights.len()
            ));
        }
        if start
            .checked_add(count)
            .is_none_or(|end| end > self.n_features)
        {
            return LearnError::invalid(format!(
                "{count} features from {start} on are not within 0 to {}",
                self.n_features
            ));
        }
        check_state(weights, sums)?;
        let width = self.width();
        let blocks = self.cells[start * width..].chunks_exact_mut(width);
        for ((block, w), &sum) in blocks.zip(weights.chunks_exact(k)).zip(sums) {
            // Zeros over zeros: a state with few features set costs the memory of those.
            if sum != 0.0 || block.iter().chain(w).any(|&cell| cell != 0.0) {
                block[..k].copy_from_slice(w);
                block[k] = sum;
            }
        }
        Ok(())
    }
}

/// # Errors
/// If a number is not finite, or a sum negative.
pub(super) fn check_state(weights: &[f32], sums: &[f32]) -> Result<(), LearnError> {
    if !weights.iter().all(|w| w.is_finite()) {
        return LearnError::invalid("a weight is not finite".into());
    }
    if !sums.iter().all(|&sum| sum >= 0.0 && sum.is_finite()) {
        return LearnError::invalid("an accumulator is negative or not finite".into());
    }
    Ok(())
}

/// How the outputs of a model become those of a model with more classes.
#[derive(Debug, Clone, Copy)]
pub(super) enum Spread {
    /// Every output stays, new ones follow.
    Append,
    /// The one output `w` of two classes becomes the pair `−w·factor`, `w·factor`.
    Split {
        /// 1/2 under softmax, where the difference of the two decides; 1 else.
        factor: f32,
    },
}

impl Spread {
    /// Writes the `old` block into the `new`, which is all zeros.
    pub(super) fn block(self, old: &[f32], new: &mut [f32]) {
        let (Some((&old_sum, old)), Some((sum, new))) = (old.split_last(), new.split_last_mut())
        else {
            return;
        };
        match self {
            Self::Append => {
                new[..old.len()].copy_from_slice(old);
                *sum = old_sum;
            }
            Self::Split { factor } => {
                new[0] = -old[0] * factor;
                new[1] = old[0] * factor;
                // Each of the pair would have had the gradients of the one, up to the sign.
                *sum = 2.0 * old_sum;
            }
        }
    }
}
