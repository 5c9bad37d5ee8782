//! What a learner changes between two moments, feature by feature.
//!
//! ```text
//! begin:      nothing is noted
//! learn:      for each feature of the rows that is not noted yet: note it, and its block as it is
//! take:       for each noted feature, in order of its number: now − then;  put back what was then
//!
//! where many features change, with a copy of the whole table:
//! learn:      a bit for each feature of the rows
//! take:       for each bit: now − the copy;  the copy is put back
//! scatter:    table and copy alike, so that the copy serves the next round too
//! ```
//!
//! Features are noted before the rows are learnt, in a loop of its own, at a bit a feature: learning costs what it
//! costs otherwise. Regularisation waits until the round is over (see [`super::rounds`]): what a feature owes for earlier
//! rounds it pays when it is noted, and that is no change. To note a feature is to read one place of a large table; where, last time, one in sixty-four
//! changed, the table is copied once and the copy kept up from then on: bits fit in the near caches, and both tables
//! are read in order. What comes out is the same.

use super::step::Step;
use super::table::{check_state, zeros};
use super::{LearnError, Learner};
use crate::kernels::memory::{prefer_large_pages, prefetch, roomy};
use crate::kernels::widest::{self, Work};
use crate::rows::Rows;

/// Blocks as they were when their features were first met. Its memory serves again and again: to be given new pages by
/// the system takes longer than to fill them.
#[derive(Debug, Default)]
pub(super) struct Noted {
    pub(super) is_noting: bool,
    /// A bit for each feature.
    seen: Vec<u64>,
    features: Vec<u32>,
    /// Weights and sum of each noted feature.
    blocks: Vec<f32>,
    /// By word of `seen`: how many are noted before it.
    before: Vec<u32>,
    /// By place in order: where the feature is noted.
    order: Vec<u32>,
    intercept: Vec<f32>,
    n_rows_seen: u64,
    /// Features that had changed the last time.
    n_last: usize,
    /// Whether the table was ever anything but zeros while nothing was noted.
    is_written: bool,
    /// All blocks as they were when noting began, and as they are while nothing is noted; empty if features are noted
    /// one by one.
    whole: Vec<f32>,
}

/// The share of the features from which on the whole table is copied.
const WHOLE: usize = 64;

/// Features ahead of the one that is noted whose places are asked for.
const AHEAD: usize = 16;

impl Noted {
    /// Notes nothing any more; the copy of the table no longer holds.
    fn clear(&mut self) {
        if !self.whole.is_empty() {
            self.seen.fill(0);
            self.whole.clear();
        }
        self.end();
    }

    /// Notes nothing any more.
    fn end(&mut self) {
        self.is_noting = false;
        for j in self.features.drain(..) {
            self.seen[j as usize / 64] = 0;
        }
        self.blocks.clear();
    }

    /// Finds out the order of the features.
    fn sort(&mut self) {
        let mut n_before = 0;
        self.before.clear();
        self.before.extend(self.seen.iter().map(|word| {
            let here = n_before;
            n_before += word.count_ones();
            here
        }));
        self.order.resize(self.features.len(), 0);
        for (i, j) in (0..).zip(&self.features) {
            let (word, bit) = (*j as usize / 64, j % 64);
            let lower = self.seen[word] & ((1 << bit) - 1);
            self.order[(self.before[word] + lower.count_ones()) as usize] = i;
        }
    }
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
    fn with_room(n_features: usize, n_outputs: usize) -> Self {
        Self {
            features: roomy(n_features),
            weights: roomy(n_features * n_outputs),
            sums: roomy(n_features),
            intercept: Vec::new(),
        }
    }

    /// A feature whose block was `then`; one that moved by nothing is left out.
    #[inline(always)]
    fn add(&mut self, feature: u32, now: &[f32], then: &[f32]) {
        if now != then {
            let k = now.len() - 1;
            self.features.push(feature);
            self.sums.push((now[k] - then[k]).max(0.0));
            let moved = now[..k].iter().zip(then).map(|(now, then)| now - then);
            self.weights.extend(moved);
        }
    }
}

/// The changes of the features that have a bit, against the copy of a table without slots, which is put back.
struct Marked<'a> {
    learner: &'a mut Learner,
}

impl Work for Marked<'_> {
    type Output = Changes;

    #[inline(always)]
    fn run<const LANES: usize>(self) -> Changes {
        let Learner { noted, table, .. } = self.learner;
        // A table without slots has one output: blocks of a known length are copied without a call.
        const BLOCK: usize = 2;
        let n_seen = noted.seen.iter().map(|word| word.count_ones() as usize);
        let mut changes = Changes::with_room(n_seen.sum(), BLOCK - 1);
        let cells = table.cells_mut();
        for (word, left) in (0..).zip(&mut noted.seen) {
            while *left != 0 {
                let j = word * 64 + left.trailing_zeros();
                *left &= *left - 1;
                let at = j as usize * BLOCK;
                let (now, then) = (&mut cells[at..][..BLOCK], &noted.whole[at..][..BLOCK]);
                changes.add(j, now, then);
                now.copy_from_slice(then);
            }
        }
        changes
    }
}

impl Learner {
    /// From now on, notes what changes; until then nothing is paid for rows that are learnt.
    ///
    /// # Errors
    /// If memory is lacking.
    pub fn begin_changes(&mut self) -> Result<(), LearnError> {
        if self.rounds.is_empty() {
            self.settle();
        }
        if self.noted.is_noting {
            self.forget_changes();
        }
        if self.noted.seen.is_empty() {
            self.noted.seen = zeros(Some(self.n_features().div_ceil(64)), |n| vec![0u64; n])?;
        }
        self.noted.is_noting = true;
        self.noted.intercept.clone_from(&self.intercept);
        self.noted.n_rows_seen = self.n_rows_seen;
        if self.noted.whole.is_empty()
            && self.table.is_direct()
            && !self.table.is_dated
            && self.noted.n_last >= self.n_features() / WHOLE
        {
            let cells = &self.table.cells()[..self.table.n_features * self.table.width()];
            if self.noted.whole.capacity() < cells.len() {
                self.noted.whole = roomy(cells.len());
            }
            self.noted.whole.extend_from_slice(cells);
        }
        Ok(())
    }

    /// Notes the features of rows that are about to be learnt.
    ///
    /// # Errors
    /// If memory is lacking.
    pub(super) fn note(&mut self, rows: &Rows) -> Result<(), LearnError> {
        if !self.noted.is_noting {
            self.forget_changes();
            if !self.rounds.is_empty() {
                self.settle();
            }
        } else if self.noted.whole.is_empty() {
            self.note_features(&rows.indices);
            self.copy_zeros()?;
        } else {
            for &j in &rows.indices {
                self.noted.seen[j as usize / 64] |= 1 << (j % 64);
            }
        }
        Ok(())
    }

    /// Goes over to a copy of the table, which was nothing but zeros, if many features change.
    fn copy_zeros(&mut self) -> Result<(), LearnError> {
        let is_zero = !self.noted.is_written && self.table.is_direct() && !self.table.is_dated;
        if is_zero && self.noted.features.len() >= self.n_features() / WHOLE {
            let length = self.table.n_features * self.table.width();
            self.noted.whole = zeros(Some(length), |n| vec![0.0f32; n])?;
            prefer_large_pages(&mut self.noted.whole);
            self.noted.features.clear();
            self.noted.blocks.clear();
        }
        Ok(())
    }

    /// Ends the noting.
    pub(super) fn forget_changes(&mut self) {
        self.noted.is_written = true;
        self.noted.clear();
    }

    fn note_features(&mut self, features: &[u32]) {
        let n_used = self.n_outputs() + 1;
        let noted = &mut self.noted;
        let step = Step::new(&self.settings);
        for (i, &j) in features.iter().enumerate() {
            if let Some(&later) = features.get(i + AHEAD) {
                self.table.warm_block(later);
            }
            let (word, bit) = (&mut noted.seen[j as usize / 64], 1 << (j % 64));
            if *word & bit == 0 {
                *word |= bit;
                noted.features.push(j);
                if !self.rounds.is_empty() {
                    self.rounds.pay_one(&mut self.table, step, j);
                }
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
        if !self.noted.is_noting {
            return LearnError::invalid(
                "changes are not being noted: call begin_changes first".into(),
            );
        }
        let mut changes = if self.noted.whole.is_empty() {
            self.noted_changes()
        } else {
            widest::run(Marked { learner: self })
        };
        self.noted.n_last = changes.features.len();
        let noted = &self.noted;
        let intercepts = self.intercept.iter().zip(&noted.intercept);
        changes.intercept = intercepts.map(|(now, then)| now - then).collect();
        self.intercept.clone_from(&noted.intercept);
        self.n_rows_seen = noted.n_rows_seen;
        self.noted.end();
        Ok(changes)
    }

    /// The changes of the features that were noted; puts back what was.
    fn noted_changes(&mut self) -> Changes {
        let k = self.n_outputs();
        let noted = &mut self.noted;
        noted.sort();
        let mut changes = Changes::with_room(noted.features.len(), k);
        for (place, &i) in noted.order.iter().enumerate() {
            if let Some(&later) = noted.order.get(place + AHEAD) {
                self.table.warm_block(noted.features[later as usize]);
                prefetch(&noted.blocks, later as usize * (k + 1));
            }
            let then = &noted.blocks[i as usize * (k + 1)..][..k + 1];
            let j = noted.features[i as usize];
            // Rows may have been noted that an error kept from being learnt: such a feature may have no slot.
            let slot = self.table.slot(j as usize) as u32;
            let now = &mut self.table.block_of_slot(slot)[..k + 1];
            changes.add(j, now, then);
            // A zero may have got another sign.
            now.copy_from_slice(then);
        }
        changes
    }

    /// Copies of the weights and sums of features.
    ///
    /// # Errors
    /// If there is no such feature.
    pub fn gather(&self, features: &[u32]) -> Result<(Vec<f32>, Vec<f32>), LearnError> {
        self.check_features(features)?;
        let k = self.n_outputs();
        let mut weights = roomy(features.len() * k);
        let mut sums = roomy(features.len());
        if self.table.is_direct() {
            for &j in features {
                let block = self.table.block(j as usize);
                weights.push(block[0]);
                sums.push(block[1]);
            }
            return Ok((weights, sums));
        }
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
        self.table.reserve(features.len())?;
        if self.noted.is_noting {
            self.forget_changes();
        }
        self.noted.is_written = true;
        let is_copied = !self.noted.whole.is_empty();
        for (&j, (w, &sum)) in features.iter().zip(weights.chunks_exact(k).zip(sums)) {
            let slot = self.table.take_one(j);
            let block = self.table.block_of_slot(slot);
            // One number is copied without a call; only tables of such blocks have a copy.
            if let [weight] = w {
                block[0] = *weight;
            } else {
                block[..k].copy_from_slice(w);
            }
            block[k] = sum;
            if is_copied {
                let at = slot as usize * block.len();
                self.noted.whole[at] = block[0];
                self.noted.whole[at + 1] = sum;
            }
            self.table.set_date(slot as usize, self.now);
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

#[cfg(test)]
mod tests;
