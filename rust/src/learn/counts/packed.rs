//! Numbers by feature, a few for each, with the memory of those features that were met.
//!
//! ```text
//! one or two columns   cells = [ a[0]  a[1]  … ]             the block of a feature is at its number
//! more columns         slots = [ 0 0 2 0 1 … ]               by feature: its block; 0: never met
//!                      cells = [ 0 … 0   a[4]   a[2]  … ]    by slot; block 0 is nobody's, all zeros
//! ```

use crate::kernels::memory::{prefer_large_pages, prefetch};
use crate::learn::LearnError;
use crate::learn::table::zeros;
use std::ops::AddAssign;

/// What can be counted with.
pub(super) trait Number: Copy + Default + PartialEq + AddAssign {
    /// So many zeros, of pages that are taken when they are written to.
    fn zeros(length: usize) -> Vec<Self>;
}

impl Number for u32 {
    fn zeros(length: usize) -> Vec<Self> {
        vec![0; length]
    }
}

impl Number for u64 {
    fn zeros(length: usize) -> Vec<Self> {
        vec![0; length]
    }
}

/// `n_columns` numbers for each feature.
#[derive(Debug, Clone)]
pub(super) struct Packed<T> {
    n_features: usize,
    n_columns: usize,
    /// Empty if the slot of a feature is its number.
    slots: Vec<u32>,
    /// Slots taken, the first one counted.
    taken: u32,
    cells: Vec<T>,
}

/// How far ahead the cells of a feature are asked for, and its slot before them.
const CELLS_AHEAD: usize = 16;
const SLOTS_AHEAD: usize = 2 * CELLS_AHEAD;

/// Features that are looked at together.
const GROUP: usize = 32;

impl<T: Number> Packed<T> {
    /// # Errors
    /// If there is no memory.
    pub(super) fn new(n_features: usize, n_columns: usize) -> Result<Self, LearnError> {
        let n_packed = if n_columns > 2 { n_features } else { 0 };
        let mut slots = zeros(Some(n_packed), |n| vec![0u32; n])?;
        let mut cells = zeros((n_features + 1).checked_mul(n_columns), T::zeros)?;
        prefer_large_pages(&mut slots);
        prefer_large_pages(&mut cells);
        Ok(Self {
            n_features,
            n_columns,
            slots,
            taken: 1,
            cells,
        })
    }

    pub(super) fn n_features(&self) -> usize {
        self.n_features
    }

    /// Asks for the memory of features that come soon: those of `indices` some places behind `at`.
    #[inline(always)]
    pub(super) fn warm(&self, indices: &[u32], at: usize, column: usize) {
        let Some(&soon) = indices.get(at + CELLS_AHEAD) else {
            return;
        };
        if self.slots.is_empty() {
            prefetch(&self.cells, soon as usize * self.n_columns + column);
            return;
        }
        let slot = self.slots[soon as usize] as usize;
        prefetch(&self.cells, slot * self.n_columns + column);
        if let Some(&later) = indices.get(at + SLOTS_AHEAD) {
            prefetch(&self.slots, later as usize);
        }
    }

    /// The numbers of a feature, to be changed.
    #[inline(always)]
    pub(super) fn block_mut(&mut self, feature: usize) -> &mut [T] {
        let slot = match self.slots.get_mut(feature) {
            None => feature,
            Some(slot) => {
                if *slot == 0 {
                    *slot = self.taken;
                    self.taken += 1;
                }
                *slot as usize
            }
        };
        &mut self.cells[slot * self.n_columns..][..self.n_columns]
    }

    /// The numbers of a feature; zeros if it was never met.
    #[inline(always)]
    pub(super) fn block(&self, feature: usize) -> &[T] {
        let slot = self
            .slots
            .get(feature)
            .map_or(feature, |&slot| slot as usize);
        &self.cells[slot * self.n_columns..][..self.n_columns]
    }

    /// The features that have a number that is not 0, ascending, and their numbers.
    pub(super) fn met(&self) -> impl Iterator<Item = (u32, &[T])> {
        (0..self.n_features as u32)
            .map(|feature| (feature, self.block(feature as usize)))
            .filter(|(_, block)| block.iter().any(|&number| number != T::default()))
    }

    /// Calls a function with each of [`Self::met`], in a quarter of the time where there are no slots.
    pub(super) fn for_each_met(&self, call: impl FnMut(u32, &[T])) {
        match (self.slots.is_empty(), self.n_columns) {
            (true, 1) => self.for_each_cell::<1>(call),
            (true, 2) => self.for_each_cell::<2>(call),
            _ => {
                let mut call = call;
                self.met().for_each(|(feature, block)| call(feature, block));
            }
        }
    }

    fn for_each_cell<const N: usize>(&self, mut call: impl FnMut(u32, &[T])) {
        let blocks = self.cells.as_chunks::<N>().0;
        for (group, first) in blocks.chunks(GROUP).zip((0u32..).step_by(GROUP)) {
            // No branch for each: which features are met cannot be predicted.
            let is_met = |block: &[T; N]| block.iter().any(|&number| number != T::default());
            let bits = group
                .iter()
                .zip(0..)
                .map(|(block, k)| u32::from(is_met(block)) << k);
            let mut met = bits.fold(0, |met, bit| met | bit);
            while met != 0 {
                let k = met.trailing_zeros();
                call(first + k, &group[k as usize]);
                met &= met - 1;
            }
        }
    }

    /// The features that are met and the numbers of all of them, one block after the other.
    pub(super) fn sparse(&self) -> (Vec<u32>, Vec<T>) {
        let (mut features, mut numbers) = (Vec::new(), Vec::new());
        for (feature, block) in self.met() {
            features.push(feature);
            numbers.extend_from_slice(block);
        }
        (features, numbers)
    }

    /// Adds the numbers of features, one block after the other.
    pub(super) fn add_sparse(&mut self, features: &[u32], numbers: &[T]) {
        for (&feature, block) in features.iter().zip(numbers.chunks_exact(self.n_columns)) {
            self.add(feature, block);
        }
    }

    /// Adds the numbers of another table of the same shape.
    pub(super) fn merge(&mut self, other: &Self) {
        for (feature, block) in other.met() {
            self.add(feature, block);
        }
    }

    fn add(&mut self, feature: u32, numbers: &[T]) {
        for (sum, &number) in self.block_mut(feature as usize).iter_mut().zip(numbers) {
            *sum += number;
        }
    }

    /// The same numbers, with columns of zeros behind them.
    ///
    /// # Errors
    /// If there is no memory.
    pub(super) fn widened(&self, n_columns: usize) -> Result<Self, LearnError> {
        let mut wide = Self::new(self.n_features, n_columns)?;
        for (feature, block) in self.met() {
            wide.add(feature, block);
        }
        Ok(wide)
    }

    /// Bytes of memory written to at most.
    pub(super) fn nbytes(&self) -> usize {
        let n_slots = if self.slots.is_empty() {
            self.n_features
        } else {
            self.taken as usize
        };
        size_of_val(&self.slots[..]) + n_slots * self.n_columns * size_of::<T>()
    }
}

#[cfg(test)]
mod tests {
    use super::{GROUP, Packed};

    #[test]
    fn features_are_visited_as_they_are_found_one_by_one() {
        for (n_features, n_columns) in [(3 * GROUP + 5, 1), (3 * GROUP, 2), (2 * GROUP, 3)] {
            let mut packed = Packed::<u32>::new(n_features, n_columns).expect("memory");
            for feature in [0, 1, GROUP - 1, GROUP, n_features - 1] {
                packed.block_mut(feature)[n_columns - 1] += feature as u32 + 1;
            }
            let mut visited = Vec::new();
            packed.for_each_met(|feature, block| visited.push((feature, block.to_vec())));
            let met = packed
                .met()
                .map(|(feature, block)| (feature, block.to_vec()));
            assert!(met.eq(visited));
        }
    }
}
