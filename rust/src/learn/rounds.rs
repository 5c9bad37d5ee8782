//! Regularisation of lanes: a feature pays for all rows of a round at once, when the round is over.
//!
//! ```text
//! learn, while changes are noted:  no feature pays
//! decay:                           every feature owes for the rows of one round more
//! note, settle:                    for each round n that the feature owes for, in order:
//!                                      W ← soft(W, α·l1·n) / (1 + α·l2·n)
//! ```
//!
//! A lane sees a part of the rows of a round, so it cannot know what a feature owes; if it paid for its own rows, every
//! feature that it holds would change and would have to be exchanged. Instead each learner that holds the state does the
//! same arithmetic: the payments of a feature depend on its weights, its sum and the sizes of the rounds alone, so it
//! does not matter who pays when. Lanes hold a part of each sum (see `load_state` in `linear/state.py`), and α is the rate
//! of the whole: both compute it from the rounded part.

use super::Learner;
use super::step::Step;
use super::table::Table;

/// How a learner holds sums of squared gradients that lanes share.
#[derive(Debug, Default, Clone, Copy, PartialEq)]
pub struct Shares {
    /// The number of lanes.
    pub n_lanes: f32,
    /// Whether the learner holds the part of one lane, or the whole.
    pub is_part: bool,
}

impl Shares {
    /// The whole of a sum, as all learners know it.
    fn whole(self, sum: f32) -> f32 {
        let part = if self.is_part {
            sum
        } else {
            sum / self.n_lanes
        };
        part * self.n_lanes
    }
}

/// Rounds that features may still owe for.
#[derive(Debug, Default)]
pub(super) struct Rounds {
    /// Rows of each; the date of a feature is the number of rounds that it has paid for.
    rows: Vec<f32>,
    shares: Shares,
}

impl Rounds {
    /// Whether no feature owes anything.
    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Forgets rounds that all features have paid for.
    pub(super) fn clear(&mut self) {
        self.rows.clear();
    }

    /// Makes a block of `k` weights, a sum and a date pay.
    #[inline(always)]
    fn pay(&self, step: Step, block: &mut [f32], k: usize) {
        let rate = step.rate(self.shares.whole(block[k]));
        for &n_rows in &self.rows[block[k + 1] as usize..] {
            let penalty = step.penalty(rate, n_rows);
            for w in &mut block[..k] {
                *w = penalty.of(*w);
            }
        }
    }

    /// Makes a feature pay that holds something.
    #[inline(always)]
    pub(super) fn pay_one(&self, table: &mut Table, step: Step, feature: u32) {
        let (slot, k) = (table.slot(feature as usize), table.n_outputs);
        let (start, width) = (slot * table.width(), table.width());
        let block = &mut table.cells_mut()[start..][..width];
        // The block of features without a slot is nobody's.
        if block[..=k].iter().any(|&cell| cell != 0.0) {
            self.pay(step, block, k);
            block[k + 1] = self.rows.len() as f32;
        }
    }

    /// Makes every feature pay.
    pub(super) fn settle(&self, table: &mut Table, step: Step) {
        let k = table.n_outputs;
        for block in table.used_mut() {
            // Untouched features stay untouched memory.
            if block.iter().any(|&cell| cell != 0.0) {
                self.pay(step, block, k);
                block[k + 1] = 0.0;
            }
        }
    }
}

impl Learner {
    /// From now on every feature owes the regularisation for a round of so many rows; it pays when its changes are
    /// noted, or all features are settled. Which of the two, and when, does not change a byte.
    ///
    /// Without regularisation nothing happens. What was being noted is forgotten.
    pub fn decay(&mut self, n_rows: u64, shares: Shares) {
        if !self.settings.is_regularised() {
            return;
        }
        self.forget_changes();
        if self.rounds.is_empty() || self.rounds.shares != shares {
            self.settle();
        }
        self.rounds.shares = shares;
        self.rounds.rows.push(n_rows as f32);
        self.now = self.rounds.rows.len() as f32;
        self.settle_in_time();
    }
}
