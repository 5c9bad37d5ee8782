//! Which features of a span several parts have together, and the place of each among them.
//!
//! ```text
//! find:       a bit for each feature of each part;  the bits, in order, are the features
//! places_of:  place of j = bits before its word + bits before it in its word
//! ```

/// Features that are merged at a time: what belongs to so many stays in the near caches.
pub(super) const SPAN: usize = 1 << 12;

/// Which features of a span any part has. No branch depends on how the parts interleave, which is chance.
#[derive(Debug)]
pub(super) struct Union {
    bits: [u64; SPAN / 64],
    /// By word: how many features are before it.
    below: [u32; SPAN / 64],
    pub(super) places: Vec<u32>,
}

impl Default for Union {
    fn default() -> Self {
        Self {
            bits: [0; SPAN / 64],
            below: [0; SPAN / 64],
            places: Vec::with_capacity(SPAN),
        }
    }
}

impl Union {
    /// Finds the features from `first` on, and appends them.
    #[inline(always)]
    pub(super) fn find(&mut self, first: u32, spans: &[&[u32]], features: &mut Vec<u32>) {
        self.bits.fill(0);
        for j in spans.iter().copied().flatten() {
            let at = j - first;
            self.bits[at as usize / 64] |= 1 << (at % 64);
        }
        for (word, (below, mut left)) in (0..).zip(self.below.iter_mut().zip(self.bits)) {
            *below = features.len() as u32;
            while left != 0 {
                features.push(first + word * 64 + left.trailing_zeros());
                left &= left - 1;
            }
        }
    }

    /// The places of features among those that were found.
    #[inline(always)]
    pub(super) fn places_of(&mut self, first: u32, span: &[u32]) {
        let Self {
            bits,
            below,
            places,
        } = self;
        places.clear();
        places.extend(span.iter().map(|j| {
            let at = j - first;
            let word = at as usize / 64;
            below[word] + (bits[word] & ((1 << (at % 64)) - 1)).count_ones()
        }));
    }
}
