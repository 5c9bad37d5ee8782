//! The state of the features: weights, and one sum of squared gradients a feature.
//!
//! ```text
//! one output      cells = [ w[0] G[0]   w[1] G[1]   … ]                      the block of a feature is at its number
//! more outputs    slots = [ 0 0 3 0 1 … ]                                    by feature: its block; 0: never met
//!                 cells = [ 0 … 0   w[1,0] … w[1,K−1] G[1]   … ]             by slot; block 0 is nobody's, all zeros
//! regularised     … w[j,K−1] G[j] t[j] …                                     t: the row that touched the feature last
//! ```
//!
//! What one update needs lies together: with one output, 8 bytes of one cache line, 12 with regularisation. In an array
//! of its own the row that touched a feature last would cost a further cache line for each feature of a row. G is the
//! sum of the squares that were added; the value at which it starts is in the settings alone.
//!
//! Hashing spreads features over the whole table, so that a few of them touch nearly all of its memory. Where a
//! block is large it is taken when its feature is first met: what is met is packed together, and memory grows with
//! it, slot by slot, however many features there may be: 512 outputs, 2^24 features of which 800,000 are met take
//! 1.7 GB, and 0.6 GB where those that a single row has are weighed with 0. An epoch of 20 newsgroups (20 outputs,
//! 2^20 features, of which 1 in 9 occurs) touches 12 MB instead of 88 and takes 0.7 of the time. With one output the
//! further look-up costs more than it saves.

use super::LearnError;
use crate::kernels::memory::{prefer_large_pages, prefetch};
use std::ops::Range;

/// Weights and squared-gradient sums of all features.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) n_features: usize,
    pub(super) n_outputs: usize,
    /// Whether each block ends with the number of the row that touched it last.
    pub(super) is_dated: bool,
    /// Empty if the slot of a feature is its number.
    slots: Vec<u32>,
    /// Slots taken, the first one counted.
    taken: u32,
    width: usize,
    /// Where the cells begin in the memory: at the beginning of a cache line.
    origin: usize,
    /// All cells, or, where the system does not give so much at once, those of the slots taken; and as many numbers more
    /// as it may take to begin where a cache line does.
    memory: Vec<f32>,
}

/// Bytes that no machine addresses. A table that may become so large is refused before it is begun.
const MAX_BYTES: usize = 1 << 47;

/// Numbers that fit into the widest registers in use.
const LANES: usize = 8;

/// Numbers from which on a block is filled up to whole registers; below, to half ones.
const WIDE: usize = 32;

/// Numbers of a block: no more than are used with one output, else filled up so that registers are seldom, and wide blocks never, loaded from
/// two cache lines.
fn width(n_outputs: usize, is_dated: bool) -> Option<usize> {
    let used = n_outputs.checked_add(1 + usize::from(is_dated))?;
    match n_outputs {
        1 => Some(used),
        2..WIDE => used.checked_next_multiple_of(LANES / 2),
        _ => used.checked_next_multiple_of(LANES),
    }
}

// Cells of a cache line of 64 bytes, and how many cells of a feature are asked for: the processor guesses the rest. The
// first block begins at a line: with 57 outputs, whose blocks have four lines, learning takes 0.85 of the time that it
// takes where each block touches five.
const CELLS_OF_A_LINE: usize = 16;
const FETCHED_CELLS: usize = 64;

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
    pub(super) fn new(
        n_features: usize,
        n_outputs: usize,
        is_dated: bool,
    ) -> Result<Self, LearnError> {
        let width = width(n_outputs, is_dated);
        let length = width.and_then(|width| {
            let cells = n_features.checked_add(1)?.checked_mul(width)?;
            cells.checked_add(CELLS_OF_A_LINE)
        });
        let bytes = length.and_then(|length| length.checked_mul(size_of::<f32>()));
        if bytes.is_none_or(|bytes| bytes > MAX_BYTES) {
            return Err(LearnError::Memory { bytes });
        }
        let is_packed = n_outputs > 1;
        let n_packed = if is_packed { n_features } else { 0 };
        let mut slots = zeros(Some(n_packed), |n| vec![0u32; n])?;
        let mut memory = match zeros(length, |n| vec![0.0f32; n]) {
            // Nobody's block alone: the others follow as their features are met.
            Err(_) if is_packed => zeros(width.map(|width| CELLS_OF_A_LINE + width), |n| {
                vec![0.0f32; n]
            })?,
            memory => memory?,
        };
        prefer_large_pages(&mut slots);
        prefer_large_pages(&mut memory);
        let origin = memory
            .as_ptr()
            .align_offset(CELLS_OF_A_LINE * size_of::<f32>());
        Ok(Self {
            n_features,
            n_outputs,
            is_dated,
            width: width.unwrap_or_default(),
            slots,
            taken: 1,
            origin: origin.min(CELLS_OF_A_LINE),
            memory,
        })
    }

    /// The slots of a row's features, taken for those that have none yet. A value of 0 changes no weight, so its
    /// feature needs no slot: weights of 0 for seldom features save their blocks.
    ///
    /// # Errors
    /// If memory is lacking.
    #[inline(always)]
    pub(super) fn take(
        &mut self,
        (features, values): (&[u32], &[f32]),
        slots: &mut Vec<u32>,
    ) -> Result<(), LearnError> {
        slots.clear();
        if self.is_direct() {
            slots.extend_from_slice(features);
            return Ok(());
        }
        self.reserve(features.len())?;
        slots.extend(features.iter().zip(values).map(|(&j, &x)| {
            if x == 0.0 {
                self.slots[j as usize]
            } else {
                self.take_one(j)
            }
        }));
        Ok(())
    }

    /// The slot of a feature, taken if it has none yet: there has to be room for it, see [`Self::reserve`].
    #[inline(always)]
    pub(super) fn take_one(&mut self, feature: u32) -> u32 {
        if self.is_direct() {
            return feature;
        }
        let slot = &mut self.slots[feature as usize];
        if *slot == 0 {
            *slot = self.taken;
            self.taken += 1;
            let end = CELLS_OF_A_LINE + self.taken as usize * self.width;
            if self.memory.len() < end {
                self.memory.resize(end, 0.0);
            }
        }
        *slot
    }

    /// Makes room for so many features more.
    ///
    /// # Errors
    /// If memory is lacking.
    #[inline(always)]
    pub(super) fn reserve(&mut self, n_features: usize) -> Result<(), LearnError> {
        let n_slots = (self.taken as usize + n_features).min(self.n_features + 1);
        let length = CELLS_OF_A_LINE + n_slots * self.width;
        if length <= self.memory.capacity() {
            return Ok(());
        }
        self.enlarge(length)
    }

    /// Makes the memory so long. That costs time with every slot: the first pass of a table of 20 outputs takes 1.7
    /// times as long as where all memory could be had at once.
    #[cold]
    fn enlarge(&mut self, length: usize) -> Result<(), LearnError> {
        // Twice as much where that can be had: large memory is moved by its pages, and what is not used is not taken.
        let more = length - self.memory.len();
        if self.memory.try_reserve(more).is_err() {
            let bytes = Some(length * size_of::<f32>());
            let exact = self.memory.try_reserve_exact(more);
            exact.map_err(|_| LearnError::Memory { bytes })?;
        }
        prefer_large_pages(&mut self.memory);
        prefer_large_pages(self.memory.spare_capacity_mut());
        let origin = self
            .memory
            .as_ptr()
            .align_offset(CELLS_OF_A_LINE * size_of::<f32>());
        let (from, to) = (self.origin, origin.min(CELLS_OF_A_LINE));
        if from != to {
            let length = self.taken as usize * self.width;
            self.memory.copy_within(from..from + length, to);
            self.memory[to + length..].fill(0.0);
            self.origin = to;
        }
        Ok(())
    }

    /// Whether the slot of a feature is its number.
    pub(super) fn is_direct(&self) -> bool {
        self.slots.is_empty()
    }

    /// The slots of features, 0 for those that have none; not for a direct table.
    #[inline(always)]
    pub(super) fn find(&self, features: &[u32], slots: &mut Vec<u32>) {
        slots.clear();
        slots.extend(features.iter().map(|&j| self.slots[j as usize]));
    }

    /// Asks for the slots of features that come soon.
    #[inline(always)]
    pub(super) fn warm_slots(&self, features: &[u32]) {
        for &j in features {
            prefetch(&self.slots, j as usize);
        }
    }

    /// Asks for the cells of slots that come next.
    #[inline(always)]
    pub(super) fn warm_cells(&self, slots: &[u32]) {
        let width = self.width();
        for &slot in slots {
            for at in (0..width.min(FETCHED_CELLS)).step_by(CELLS_OF_A_LINE) {
                prefetch(self.cells(), slot as usize * width + at);
            }
        }
    }

    /// Asks for the block of a feature that comes soon; where it has a slot, for that.
    #[inline(always)]
    pub(super) fn warm_block(&self, feature: u32) {
        if self.is_direct() {
            prefetch(self.cells(), feature as usize * self.width());
        } else {
            prefetch(&self.slots, feature as usize);
        }
    }

    /// The slot of a feature; 0 if it has none.
    pub(super) fn slot(&self, feature: usize) -> usize {
        self.slots
            .get(feature)
            .map_or(feature, |&slot| slot as usize)
    }

    /// The blocks in use, slot after slot.
    pub(super) fn used_mut(&mut self) -> std::slice::ChunksExactMut<'_, f32> {
        let width = self.width();
        let n_used = if self.is_direct() {
            self.n_features
        } else {
            self.taken as usize
        };
        self.cells_mut()[..n_used * width].chunks_exact_mut(width)
    }

    /// Weights and sum of a feature; all zeros if it was never met.
    pub(super) fn block(&self, feature: usize) -> &[f32] {
        &self.cells()[self.slot(feature) * self.width()..][..=self.n_outputs]
    }

    /// Weights and sum in a slot.
    pub(super) fn block_of_slot(&mut self, slot: u32) -> &mut [f32] {
        let (start, k) = (slot as usize * self.width(), self.n_outputs);
        &mut self.cells_mut()[start..][..=k]
    }

    /// The row that touched a slot last; 0 in a table without dates.
    fn date(&self, slot: usize) -> f32 {
        if self.is_dated {
            self.cells()[slot * self.width() + self.n_outputs + 1]
        } else {
            0.0
        }
    }

    /// Notes the row that touched a slot last, in a table with dates.
    pub(super) fn set_date(&mut self, slot: usize, date: f32) {
        if self.is_dated {
            let at = slot * self.width() + self.n_outputs + 1;
            self.cells_mut()[at] = date;
        }
    }

    /// Numbers of a block: the weights, the sum of squared gradients, the date if there are dates, and zeros that fill
    /// it up.
    pub(super) fn width(&self) -> usize {
        self.width
    }

    /// The blocks, slot after slot.
    #[inline(always)]
    pub(super) fn cells(&self) -> &[f32] {
        &self.memory[self.origin..]
    }

    /// The blocks, slot after slot.
    #[inline(always)]
    pub(super) fn cells_mut(&mut self) -> &mut [f32] {
        &mut self.memory[self.origin..]
    }

    /// The table of `n_outputs` outputs that `spread` makes of this one.
    ///
    /// # Errors
    /// If the new table does not fit in memory beside the old one.
    pub(super) fn widened(&self, n_outputs: usize, spread: Spread) -> Result<Self, LearnError> {
        let mut wide = Self::new(self.n_features, n_outputs, self.is_dated)?;
        for j in 0..self.n_features {
            let (block, date) = (self.block(j), self.date(self.slot(j)));
            // Untouched features stay untouched memory.
            if date != 0.0 || block.iter().any(|&cell| cell != 0.0) {
                wide.reserve(1)?;
                let slot = wide.take_one(j as u32);
                let new = wide.block_of_slot(slot);
                spread.block((block, self.n_outputs), (new, n_outputs));
                wide.set_date(slot as usize, date);
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
        prefer_large_pages(copy.spare_capacity_mut());
        if self.is_direct() && part.len() == 1 {
            // Half of the time where a large state is copied after each pass.
            let blocks = &self.cells()[start * self.width..end * self.width];
            copy.extend(
                blocks
                    .chunks_exact(self.width)
                    .map(|block| block[part.start]),
            );
            return Ok(copy);
        }
        for feature in start..end {
            copy.extend_from_slice(&self.block(feature)[part.clone()]);
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
        self.reserve(count)?;
        let width = self.width();
        if self.is_direct() {
            let blocks = &mut self.cells_mut()[start * width..(start + count) * width];
            for (block, (&w, &sum)) in blocks.chunks_exact_mut(width).zip(weights.iter().zip(sums))
            {
                // Zeros over zeros: a state with few features set costs the memory of those.
                if block[..2] != [0.0, 0.0] || [w, sum] != [0.0, 0.0] {
                    block[..2].copy_from_slice(&[w, sum]);
                }
            }
            return Ok(());
        }
        for (j, (w, &sum)) in (start as u32..).zip(weights.chunks_exact(k).zip(sums)) {
            let known = self
                .block(j as usize)
                .iter()
                .chain(w)
                .any(|&cell| cell != 0.0);
            // Zeros over zeros: a state with few features set costs the memory of those.
            if known || sum != 0.0 {
                let slot = self.take_one(j);
                let block = self.block_of_slot(slot);
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
    if !are_finite(weights) {
        return LearnError::invalid("a weight is not finite".into());
    }
    if !are_finite(sums) || sums.iter().any(|&sum| sum < 0.0) {
        return LearnError::invalid("an accumulator is negative or not finite".into());
    }
    Ok(())
}

/// Whether all numbers are finite. On bits, and without a way out before the end: such a loop vectorises.
pub(super) fn are_finite(numbers: &[f32]) -> bool {
    const EXPONENT: u32 = 0x7f80_0000;
    let wrong = numbers.iter().fold(0, |wrong, x| {
        wrong | u32::from(x.to_bits() & EXPONENT == EXPONENT)
    });
    wrong == 0
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
    /// Writes the `old` block into the `new`, which is all zeros; each with its number of outputs.
    fn block(self, (old, n_old): (&[f32], usize), (new, n_new): (&mut [f32], usize)) {
        self.weights(&old[..n_old], &mut new[..n_new]);
        // Each of a pair would have had the gradients of the one, up to the sign.
        new[n_new] = match self {
            Self::Append => old[n_old],
            Self::Split { .. } => 2.0 * old[n_old],
        };
    }

    /// Writes the `old` weights into the beginning of the `new`.
    pub(super) fn weights(self, old: &[f32], new: &mut [f32]) {
        match self {
            Self::Append => new[..old.len()].copy_from_slice(old),
            Self::Split { factor } => {
                new[0] = -old[0] * factor;
                new[1] = old[0] * factor;
            }
        }
    }

    /// Writes the `old` sums of single outputs into the beginning of the `new`.
    pub(super) fn sums(self, old: &[f32], new: &mut [f32]) {
        match self {
            Self::Append => new[..old.len()].copy_from_slice(old),
            Self::Split { .. } => new[..2].fill(old[0]),
        }
    }
}

#[cfg(test)]
mod tests;
