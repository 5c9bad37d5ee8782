//! The memory of counts: a block for each feature, or cells for the pairs of a feature and a class that occur.

use super::packed::Packed;
use super::pairs::{Pair, Pairs};
use crate::learn::LearnError;
use crate::rows::Rows;

/// Counts by feature and column: 1 column, or one for each class.
#[derive(Debug)]
pub(super) enum Table {
    /// Few columns: a look-up more would cost more than it saves.
    Blocks(Packed<u32>),
    /// Many columns, of which most features have few.
    Pairs(Pairs),
}

/// Columns of the widest blocks.
const MAX_BLOCK: usize = 16;

impl Table {
    /// # Errors
    /// If there is no memory.
    pub(super) fn new(n_features: usize, n_columns: usize) -> Result<Self, LearnError> {
        Ok(if n_columns <= MAX_BLOCK {
            Self::Blocks(Packed::new(n_features, n_columns)?)
        } else {
            Self::Pairs(Pairs::new(n_features))
        })
    }

    pub(super) fn n_features(&self) -> usize {
        match self {
            Self::Blocks(blocks) => blocks.n_features(),
            Self::Pairs(pairs) => pairs.n_features(),
        }
    }

    /// Adds 1 for each feature of rows, given with their columns.
    ///
    /// # Errors
    /// If there is no memory; some of the features are counted then.
    pub(super) fn count(
        &mut self,
        rows: &Rows,
        counted: impl Iterator<Item = (usize, usize)>,
    ) -> Result<(), LearnError> {
        let entries = |i: usize| rows.indptr[i]..rows.indptr[i + 1];
        match self {
            Self::Blocks(blocks) => {
                for (i, column) in counted {
                    for at in entries(i) {
                        blocks.warm(&rows.indices, at, column);
                        blocks.block_mut(rows.indices[at] as usize)[column] += 1;
                    }
                }
                Ok(())
            }
            Self::Pairs(pairs) => pairs.add(counted.flat_map(|(i, column)| {
                let features = rows.indices[entries(i)].iter();
                features.map(move |&feature| (feature, column as u32, 1))
            })),
        }
    }

    /// Adds counts that are not 0.
    ///
    /// # Errors
    /// If there is no memory; some of the counts are added then.
    pub(super) fn add(&mut self, counts: impl Iterator<Item = Pair>) -> Result<(), LearnError> {
        match self {
            Self::Blocks(blocks) => {
                for (feature, column, count) in counts {
                    blocks.block_mut(feature as usize)[column as usize] += count;
                }
                Ok(())
            }
            Self::Pairs(pairs) => pairs.add(counts),
        }
    }

    /// The same counts, with further columns.
    ///
    /// # Errors
    /// If there is no memory.
    pub(super) fn widen(&mut self, n_columns: usize) -> Result<(), LearnError> {
        if let Self::Blocks(blocks) = self {
            *self = if n_columns <= MAX_BLOCK {
                Self::Blocks(blocks.widened(n_columns)?)
            } else {
                let mut pairs = Self::new(blocks.n_features(), n_columns)?;
                pairs.add(self.counts())?;
                pairs
            };
        }
        Ok(())
    }

    /// The feature, the column and the number of each count that is not 0, sorted by feature and column.
    pub(super) fn counts(&self) -> Box<dyn Iterator<Item = Pair> + '_> {
        match self {
            Self::Blocks(blocks) => Box::new(blocks.met().flat_map(|(feature, block)| {
                let counts = (0..).zip(block.iter().copied());
                counts.filter_map(move |(column, n)| (n > 0).then_some((feature, column, n)))
            })),
            Self::Pairs(pairs) => Box::new(pairs.sorted()),
        }
    }

    /// Calls a function with each feature that has counts, ascending, and the columns and counts that are not 0.
    pub(super) fn for_each_feature(&self, mut call: impl FnMut(u32, &[(u32, u32)])) {
        let mut counts = Vec::new();
        match self {
            Self::Blocks(blocks) => blocks.for_each_met(|feature, block| {
                let columns = (0..).zip(block.iter().copied());
                counts.clear();
                counts.extend(columns.filter(|&(_, count)| count > 0));
                call(feature, &counts);
            }),
            Self::Pairs(pairs) => pairs.for_each_shard(|pairs| {
                for pairs_of_one in pairs.chunk_by(|one, other| one.0 == other.0) {
                    counts.clear();
                    counts.extend(pairs_of_one.iter().map(|&(_, class, count)| (class, count)));
                    call(pairs_of_one[0].0, &counts);
                }
            }),
        }
    }

    /// Bytes of memory written to at most.
    pub(super) fn nbytes(&self) -> usize {
        match self {
            Self::Blocks(blocks) => blocks.nbytes(),
            Self::Pairs(pairs) => pairs.nbytes(),
        }
    }
}
