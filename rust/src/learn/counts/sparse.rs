//! Counts as arrays, to be sent or kept.

use super::check_features_below;
use crate::learn::LearnError;

/// The counts that are not 0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SparseCounts {
    /// The feature of each count, ascending.
    pub features: Vec<u32>,
    /// The class of each count, strictly ascending for a feature; empty if all classes are counted together.
    pub classes: Vec<u32>,
    /// The counts.
    pub counts: Vec<u32>,
    /// Rows of each class.
    pub rows: Vec<u64>,
    /// Features of the rows of each class, each counted once a row.
    pub distinct: Vec<u64>,
}

/// Rows that can be counted: no count is larger.
pub(super) const MAX_ROWS: u64 = u32::MAX as u64;

impl SparseCounts {
    /// The feature, the class and the number of each count; the class is 0 if all classes are counted together.
    pub(super) fn triples(&self) -> impl Iterator<Item = (u32, u32, u32)> {
        let classes = self.classes.iter().copied().chain(std::iter::repeat(0));
        let pairs = self.features.iter().copied().zip(classes);
        pairs.zip(&self.counts).map(|((j, c), &n)| (j, c, n))
    }

    /// Check that these can be counts of rows: sums that follow from two of the arrays must agree.
    pub(super) fn check(&self, n_features: usize, by_class: bool) -> Result<(), LearnError> {
        let n_classes = if by_class { self.features.len() } else { 0 };
        if self.counts.len() != self.features.len()
            || self.classes.len() != n_classes
            || self.distinct.len() != self.rows.len()
        {
            return LearnError::invalid("the arrays of counts do not fit together".into());
        }
        check_features_below(&self.features, n_features)?;
        let ascend = |a: (u32, u32, u32), b: (u32, u32, u32)| (a.0, a.1) < (b.0, b.1);
        if !self.triples().is_sorted_by(|&a, &b| ascend(a, b)) {
            return LearnError::invalid(
                "the features, and the classes of a feature, must ascend strictly".into(),
            );
        }
        let add = |sum: u64, &n: &u64| sum.checked_add(n);
        let n_rows = self.rows.iter().try_fold(0, add);
        let n_distinct = self.distinct.iter().try_fold(0, add);
        let (Some(n_rows @ 0..=MAX_ROWS), Some(n_distinct)) = (n_rows, n_distinct) else {
            return LearnError::invalid(format!("there are more rows than {MAX_ROWS}"));
        };
        let (rows, distinct) = if by_class {
            (self.rows.clone(), self.distinct.clone())
        } else {
            (vec![n_rows], vec![n_distinct])
        };
        let mut sums = vec![0u64; rows.len()];
        for (_, class, count) in self.triples() {
            let class = class as usize;
            let Some(&most) = rows.get(class) else {
                return LearnError::invalid(format!("there are counts of class {class}"));
            };
            if count == 0 || u64::from(count) > most {
                return LearnError::invalid(
                    "a count is 0 or larger than its number of rows".into(),
                );
            }
            sums[class] += u64::from(count);
        }
        if sums != distinct {
            return LearnError::invalid(
                "the counts are not as many as the features of the rows".into(),
            );
        }
        Ok(())
    }
}
