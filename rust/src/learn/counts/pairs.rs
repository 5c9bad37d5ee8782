//! Counts of pairs of a feature and a class, with memory for the pairs that occur.
//!
//! ```text
//! shards = [ features 0 to n/16   features n/16 to 2n/16   … ]       each a hash table with open addressing
//! cells  = [ (feature, class, count)   0   0   (feature, class, count)   … ]
//! ```
//!
//! A cell takes 12 bytes. Two to three quarters of the cells of a shard are in use, so that a pair takes 16 to 24 bytes;
//! a block with a count for each class takes four bytes a class for each feature. A shard grows alone: no more than a
//! sixteenth of the counts is ever in memory twice.

use crate::kernels::memory::{prefer_large_pages, prefetch};
use crate::learn::LearnError;
use crate::learn::table::zeros;
use std::iter::repeat_n;
use std::mem::replace;

/// A feature, a class and the number of rows of the class with the feature.
pub(super) type Pair = (u32, u32, u32);

/// Counts by feature and class.
#[derive(Debug)]
pub(super) struct Pairs {
    n_features: usize,
    /// The shard of a feature is its number without so many bits.
    shift: u32,
    shards: Vec<Shard>,
}

#[derive(Debug, Default)]
struct Shard {
    len: usize,
    /// Feature, class, count; a count of 0: no pair.
    cells: Vec<[u32; 3]>,
}

/// Shards at most, as bits.
const SHARD_BITS: u32 = 4;

/// How far ahead the cell of a pair is asked for.
const AHEAD: usize = 16;

/// Cells of the smallest shard.
const FIRST_CELLS: usize = 16;

impl Pairs {
    pub(super) fn new(n_features: usize) -> Self {
        let last = n_features - 1;
        let shift = (usize::BITS - last.leading_zeros()).saturating_sub(SHARD_BITS);
        let shards = (0..=last >> shift).map(|_| Shard::default()).collect();
        Self {
            n_features,
            shift,
            shards,
        }
    }

    pub(super) fn n_features(&self) -> usize {
        self.n_features
    }

    /// Adds pairs, whose counts are not 0.
    ///
    /// # Errors
    /// If there is no memory; some of the pairs are added then.
    pub(super) fn add(&mut self, pairs: impl Iterator<Item = Pair>) -> Result<(), LearnError> {
        let mut waiting = [None; AHEAD];
        let pairs = pairs.map(Some).chain(repeat_n(None, AHEAD));
        for (n, pair) in pairs.enumerate() {
            if let Some((feature, class, _)) = pair {
                self.shards[feature as usize >> self.shift].warm(feature, class);
            }
            if let Some(pair) = replace(&mut waiting[n % AHEAD], pair) {
                self.shards[pair.0 as usize >> self.shift].add(pair)?;
            }
        }
        Ok(())
    }

    /// All pairs, sorted by feature and class. In the order of its cells they must not be added to another table: its
    /// cells would fill up from the front.
    pub(super) fn sorted(&self) -> impl Iterator<Item = Pair> {
        self.shards.iter().flat_map(Shard::sorted)
    }

    /// Calls a function with the pairs of each shard, sorted by feature and class; the features of shards ascend, too.
    pub(super) fn for_each_shard(&self, mut call: impl FnMut(&[Pair])) {
        for shard in &self.shards {
            call(&shard.sorted());
        }
    }

    /// Bytes of memory in use.
    pub(super) fn nbytes(&self) -> usize {
        let cells = self
            .shards
            .iter()
            .map(|shard| size_of_val(&shard.cells[..]));
        size_of_val(&self.shards[..]) + cells.sum::<usize>()
    }
}

impl Shard {
    /// Where the search for a pair starts: a shard without cells has no such place.
    #[inline(always)]
    fn start(&self, feature: u32, class: u32) -> usize {
        let key = u64::from(class) << 32 | u64::from(feature);
        let hash = key.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        ((u128::from(hash) * self.cells.len() as u128) >> 64) as usize
    }

    #[inline(always)]
    fn warm(&self, feature: u32, class: u32) {
        prefetch(&self.cells, self.start(feature, class));
    }

    #[inline(always)]
    fn add(&mut self, (feature, class, count): Pair) -> Result<(), LearnError> {
        if 4 * (self.len + 1) > 3 * self.cells.len() {
            self.grow()?;
        }
        let cell = self.find(feature, class);
        let is_new = cell[2] == 0;
        *cell = [feature, class, cell[2] + count];
        self.len += usize::from(is_new);
        Ok(())
    }

    /// The cell of a pair, or the empty one that is to become its cell.
    #[inline(always)]
    fn find(&mut self, feature: u32, class: u32) -> &mut [u32; 3] {
        let mut at = self.start(feature, class);
        while self.cells[at][2] != 0 && self.cells[at][..2] != [feature, class] {
            at += 1;
            if at == self.cells.len() {
                at = 0;
            }
        }
        &mut self.cells[at]
    }

    /// Half as many cells again.
    #[cold]
    fn grow(&mut self) -> Result<(), LearnError> {
        let length = FIRST_CELLS.max(self.cells.len() / 2 * 3);
        let mut cells = zeros(Some(length), |n| vec![[0u32; 3]; n])?;
        prefer_large_pages(&mut cells);
        for cell in replace(&mut self.cells, cells) {
            if cell[2] != 0 {
                *self.find(cell[0], cell[1]) = cell;
            }
        }
        Ok(())
    }

    fn sorted(&self) -> Vec<Pair> {
        let mut pairs = Vec::with_capacity(self.len);
        let used = self.cells.iter().filter(|cell| cell[2] != 0);
        pairs.extend(used.map(|&[feature, class, count]| (feature, class, count)));
        pairs.sort_unstable_by_key(|&(feature, class, _)| {
            u64::from(feature) << 32 | u64::from(class)
        });
        pairs
    }
}

#[cfg(test)]
mod tests {
    use super::{Pair, Pairs};
    use std::collections::BTreeMap;

    fn random_pairs(seed: u64, n: usize, n_features: u32, n_classes: u32) -> Vec<Pair> {
        let mut state = seed;
        let mut below = |n: u32| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (state >> 33) as u32 % n
        };
        (0..n)
            .map(|_| (below(n_features), below(n_classes), 1 + below(3)))
            .collect()
    }

    fn expected(pairs: &[Pair]) -> Vec<Pair> {
        let mut sums = BTreeMap::new();
        for &(feature, class, count) in pairs {
            *sums.entry((feature, class)).or_insert(0) += count;
        }
        sums.into_iter().map(|((j, c), n)| (j, c, n)).collect()
    }

    #[test]
    fn pairs_are_added_up_and_sorted_whatever_the_number_of_features() {
        for n_features in [1usize, 2, 15, 16, 17, 1000, 1 << 30] {
            let pairs = random_pairs(n_features as u64, 5000, n_features as u32, 300);
            let mut counts = Pairs::new(n_features);
            counts.add(pairs.iter().copied()).expect("memory");
            assert!(
                counts.sorted().eq(expected(&pairs)),
                "{n_features} features"
            );
        }
    }

    #[test]
    fn merged_pairs_are_the_pairs_of_both() {
        let (one, other) = (
            random_pairs(1, 3000, 99, 40),
            random_pairs(2, 90_000, 99, 4000),
        );
        let mut counts = [Pairs::new(99), Pairs::new(99)];
        for (counts, pairs) in counts.iter_mut().zip([&one, &other]) {
            counts.add(pairs.iter().copied()).expect("memory");
        }
        let [mut merged, other_counts] = counts;
        merged.add(other_counts.sorted()).expect("memory");
        assert!(merged.sorted().eq(expected(&[one, other].concat())));
    }

    #[test]
    fn a_pair_takes_at_most_24_bytes() {
        let mut counts = Pairs::new(1 << 20);
        let pairs = random_pairs(3, 200_000, 1 << 20, 1 << 20);
        counts.add(pairs.iter().copied()).expect("memory");
        assert!(counts.nbytes() <= 24 * expected(&pairs).len() + 1000);
    }
}
