//! Regularisation by arrears: which rows a feature has not paid for yet.
//!
//! ```text
//! row t touches feature j:   e[j] = t − last[j];   last[j] = t
//! settle:                    every feature pays t − last[j];  t = 0, last = 0
//! ```

use super::LearnError;
use super::table::zeros;

/// The row that touched each slot last, counted since the last settling.
#[derive(Debug)]
pub(super) struct Arrears {
    now: u32,
    last: Vec<u32>,
}

impl Arrears {
    /// # Errors
    /// If the memory is not there.
    pub(super) fn new(n_slots: usize) -> Result<Self, LearnError> {
        Ok(Self {
            now: 0,
            last: zeros(Some(n_slots), |n| vec![0u32; n])?,
        })
    }

    /// A further row begins.
    pub(super) fn advance(&mut self) {
        self.now = self.now.wrapping_add(1);
    }

    /// The rows that the feature in a slot owes for; it owes for none after that.
    #[inline(always)]
    pub(super) fn collect(&mut self, slot: usize) -> f32 {
        let elapsed = self.now.wrapping_sub(self.last[slot]);
        self.last[slot] = self.now;
        elapsed as f32
    }
}
