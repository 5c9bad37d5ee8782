//! Sums of the values of rows, by feature and class, to the same bits in any order.
//!
//! ```text
//! for each row that counts:   rows[class] += 1
//!     for each feature j:     sums[j, class] += round(value · 2^36)
//! ```
//!
//! Values are added as whole numbers of 2^-36: of values from 2^-12 on, and of all whole numbers, nothing is lost,
//! and no more than 2^-37 of any other. That 63 bits hold all sums, up to 2^27, a bound tells that is known before
//! anything is added: the greatest value of each row, summed up.

use super::packed::Packed;
use super::{add_all, check_classes, check_features_of, check_rows, counted};
use crate::learn::LearnError;
use crate::learn::settings::check_features;
use crate::rows::Rows;

/// Sums of values, by feature and class.
#[derive(Debug)]
pub struct FeatureSums {
    sums: Packed<u64>,
    rows: Vec<u64>,
    /// No sum of a feature over all classes is larger.
    bound: u64,
}

/// The sums of the features that were met, to be sent or kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SparseSums {
    /// The features, strictly ascending.
    pub features: Vec<u32>,
    /// Their sums in units of 2^-36, one for each feature and class.
    pub sums: Vec<u64>,
    /// Rows of each class.
    pub rows: Vec<u64>,
    /// No sum of a feature over all classes is larger.
    pub bound: u64,
}

/// A value of 1.
pub const ONE: f64 = (1u64 << 36) as f64;

/// Greatest bound.
const MOST: u64 = u64::MAX / 2;

impl FeatureSums {
    /// Sums of no rows at all.
    ///
    /// # Errors
    /// If a number is out of range, or there is no memory.
    pub fn new(n_features: usize, n_classes: usize) -> Result<Self, LearnError> {
        check_features(n_features)?;
        check_classes(n_classes)?;
        Ok(Self {
            sums: Packed::new(n_features, n_classes)?,
            rows: vec![0; n_classes],
            bound: 0,
        })
    }

    /// Features there are.
    #[must_use]
    pub fn n_features(&self) -> usize {
        self.sums.n_features()
    }

    /// Rows added, by class.
    #[must_use]
    pub fn rows(&self) -> &[u64] {
        &self.rows
    }

    /// Adds rows; those of class -1 or weight 0 do not count, the others all alike.
    ///
    /// # Errors
    /// If lengths differ, a class, a feature or a value is out of range, or the sums would be too large; nothing is
    /// added then.
    pub fn add(
        &mut self,
        rows: &Rows,
        classes: &[i32],
        weights: Option<&[f32]>,
    ) -> Result<(), LearnError> {
        check_rows(rows, classes, weights, self.n_features(), self.rows.len())?;
        if !rows.values.iter().all(|value| *value >= 0.0) {
            return LearnError::invalid("a value is negative or no number".into());
        }
        let greatest = |i: usize| rows.row(i).1.iter().copied().fold(0.0, f32::max);
        let bound = counted(classes, weights).try_fold(self.bound, |bound, (i, _)| {
            bound.checked_add(units(greatest(i)))
        });
        self.bound = checked(bound)?;
        for (i, class) in counted(classes, weights) {
            self.rows[class] += 1;
            for at in rows.indptr[i]..rows.indptr[i + 1] {
                self.sums.warm(&rows.indices, at, class);
                self.sums.block_mut(rows.indices[at] as usize)[class] += units(rows.values[at]);
            }
        }
        Ok(())
    }

    /// Adds the sums of other rows.
    ///
    /// # Errors
    /// If they are of another shape, or would be too large; nothing is changed then.
    pub fn merge(&mut self, other: &Self) -> Result<(), LearnError> {
        let shape = |sums: &Self| (sums.n_features(), sums.rows.len());
        if shape(self) != shape(other) {
            return LearnError::invalid(format!(
                "sums of (n_features, n_classes) {:?} cannot be added to sums of {:?}",
                shape(other),
                shape(self)
            ));
        }
        let mut rows = self.rows.iter().chain(&other.rows);
        if !within(&mut rows, MOST) {
            return LearnError::invalid(format!("there would be more than {MOST} rows"));
        }
        self.bound = checked(self.bound.checked_add(other.bound))?;
        self.sums.merge(&other.sums);
        add_all(&mut self.rows, &other.rows);
        Ok(())
    }

    /// Makes room for further classes.
    ///
    /// # Errors
    /// If there are more already, or there is no memory.
    pub fn grow(&mut self, n_classes: usize) -> Result<(), LearnError> {
        check_classes(n_classes)?;
        if n_classes < self.rows.len() {
            return LearnError::invalid(format!(
                "there are {} classes already, more than {n_classes}",
                self.rows.len()
            ));
        }
        if n_classes > self.rows.len() {
            self.sums = self.sums.widened(n_classes)?;
            self.rows.resize(n_classes, 0);
        }
        Ok(())
    }

    /// The sums of the features that were met.
    #[must_use]
    pub fn sparse(&self) -> SparseSums {
        let (features, sums) = self.sums.sparse();
        SparseSums {
            features,
            sums,
            rows: self.rows.clone(),
            bound: self.bound,
        }
    }

    /// Sums that were sent or kept.
    ///
    /// # Errors
    /// If they cannot be sums of rows, or there is no memory.
    pub fn from_sparse(n_features: usize, sparse: &SparseSums) -> Result<Self, LearnError> {
        let mut made = Self::new(n_features, sparse.rows.len())?;
        check_features_of(&sparse.features, n_features)?;
        if sparse.features.len().checked_mul(sparse.rows.len()) != Some(sparse.sums.len()) {
            return LearnError::invalid("the arrays of sums do not fit together".into());
        }
        let mut blocks = sparse.sums.chunks_exact(sparse.rows.len());
        if !within(&mut sparse.rows.iter(), MOST)
            || !blocks.all(|block| within(&mut block.iter(), sparse.bound))
        {
            return LearnError::invalid("a sum is larger than its rows can make it".into());
        }
        made.bound = checked(Some(sparse.bound))?;
        made.sums.add_sparse(&sparse.features, &sparse.sums);
        made.rows.copy_from_slice(&sparse.rows);
        Ok(made)
    }

    /// Bytes of memory in use at most.
    #[must_use]
    pub fn nbytes(&self) -> usize {
        self.sums.nbytes() + size_of_val(&self.rows[..])
    }
}

/// Whether numbers add up to no more than `most`.
fn within<'a>(numbers: &mut impl Iterator<Item = &'a u64>, most: u64) -> bool {
    let total = numbers.try_fold(0u64, |sum, &n| sum.checked_add(n));
    total.is_some_and(|total| total <= most)
}

/// A value in whole numbers of 2^-36; one that is too large for them becomes the largest there is.
#[inline(always)]
fn units(value: f32) -> u64 {
    (f64::from(value) * ONE + 0.5) as u64
}

fn checked(bound: Option<u64>) -> Result<u64, LearnError> {
    match bound {
        Some(bound) if bound <= MOST => Ok(bound),
        _ => LearnError::invalid(format!(
            "the sums would be too large: the greatest values of all rows make more than {}",
            MOST as f64 / ONE
        )),
    }
}
