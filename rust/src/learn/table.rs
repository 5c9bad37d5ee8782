//! The state of the features: weights and squared-gradient sums, side by side.
//!
//! ```text
//! cells = [ w[0,0] … w[0,K−1]  G[0,0] … G[0,K−1]   w[1,0] … ]      one block of 2·K numbers a feature
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
pub(super) fn zeros<T: Copy + Default>(
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
            .checked_mul(2)
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
        2 * self.n_outputs
    }

    /// The table of `n_outputs` outputs that `spread` makes of this one: it gets a feature's old and new weights,
    /// then its old and new sums.
    ///
    /// # Errors
    /// If the new table does not fit in memory beside the old one.
    pub(super) fn widened(&self, n_outputs: usize, spread: Spread) -> Result<Self, LearnError> {
        let mut wide = Self::new(self.n_features, n_outputs)?;
        let blocks = self.cells.chunks_exact(self.width());
        for (old, new) in blocks.zip(wide.cells.chunks_exact_mut(2 * n_outputs)) {
            // Untouched features stay untouched memory.
            if old.iter().any(|&cell| cell != 0.0) {
                let (weights, sums) = new.split_at_mut(n_outputs);
                spread.weights(&old[..self.n_outputs], weights);
                spread.sums(&old[self.n_outputs..], sums);
            }
        }
        Ok(wide)
    }

    /// A copy of one half of the blocks of the features `start` to `stop`: weights, or sums.
    ///
    /// # Errors
    /// If there are no such features, or the copy does not fit in memory.
    pub(super) fn copy(&self, features: Range<usize>, sums: bool) -> Result<Vec<f32>, LearnError> {
        let Range { start, end } = features;
        if start > end || end > self.n_features {
            return LearnError::invalid(format!(
                "features {start} to {end} are not within 0 to {}",
                self.n_features
            ));
        }
        let k = self.n_outputs;
        let mut copy = Vec::new();
        let bytes = (end - start) * k * size_of::<f32>();
        copy.try_reserve_exact((end - start) * k)
            .map_err(|_| LearnError::Memory { bytes: Some(bytes) })?;
        let from = if sums { k } else { 0 };
        for block in self.cells[start * 2 * k..end * 2 * k].chunks_exact(2 * k) {
            copy.extend_from_slice(&block[from..from + k]);
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
        let k = self.n_outputs;
        let count = weights.len() / k;
        if weights.len() != sums.len() || weights.len() != count * k {
            return LearnError::invalid(format!(
                "weights and accumulators are not both of shape (n, {k})"
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
        let blocks = self.cells[start * 2 * k..].chunks_exact_mut(2 * k);
        for ((block, w), g) in blocks
            .zip(weights.chunks_exact(k))
            .zip(sums.chunks_exact(k))
        {
            // Zeros over zeros: a state with few features set costs the memory of those.
            if block.iter().chain(w).chain(g).any(|&cell| cell != 0.0) {
                block[..k].copy_from_slice(w);
                block[k..].copy_from_slice(g);
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
    if !sums.iter().all(|&g| g >= 0.0 && g.is_finite()) {
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
    /// Writes `old` weights into the beginning of `new`.
    pub(super) fn weights(self, old: &[f32], new: &mut [f32]) {
        match self {
            Self::Append => new[..old.len()].copy_from_slice(old),
            Self::Split { factor } => {
                new[0] = -old[0] * factor;
                new[1] = old[0] * factor;
            }
        }
    }

    /// Writes `old` squared-gradient sums into the beginning of `new`: gradients differ in sign alone.
    pub(super) fn sums(self, old: &[f32], new: &mut [f32]) {
        match self {
            Self::Append => new[..old.len()].copy_from_slice(old),
            Self::Split { .. } => new[..2].fill(old[0]),
        }
    }
}
