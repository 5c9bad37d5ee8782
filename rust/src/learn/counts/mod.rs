//! The counting pass: in how many rows each feature is, over all classes or in each.
//!
//! ```text
//! for each row that counts (its weight is not 0, its class is known):
//!     rows[class] += 1
//!     distinct[class] += number of features of the row
//!     for each feature j of the row:   counts[j, class or 0] += 1
//! ```
//!
//! All of these are sums of whole numbers: counts of parts of the data, added up in any order, are the counts of the
//! data, to the last bit. No count can be larger than the number of rows, so all of them fit as long as that number
//! fits; a row too many is refused before anything is changed.

mod packed;
mod sums;

pub use sums::{FeatureSums, SparseSums};

use super::LearnError;
use super::settings::check_features;
use crate::kernels::memory::roomy;
use crate::rows::Rows;
use packed::Packed;

/// Counts of rows, by feature.
#[derive(Debug)]
pub struct FeatureCounts {
    by_class: bool,
    counts: Packed<u32>,
    rows: Vec<u64>,
    distinct: Vec<u64>,
}

/// The counts of the features that were met, to be sent or kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SparseCounts {
    /// The features, strictly ascending.
    pub features: Vec<u32>,
    /// Their counts: one for each feature, or one for each feature and class.
    pub counts: Vec<u32>,
    /// Rows of each class.
    pub rows: Vec<u64>,
    /// Features of the rows of each class, each counted once a row.
    pub distinct: Vec<u64>,
}

impl FeatureCounts {
    /// Counts of no rows at all.
    ///
    /// # Errors
    /// If a number is out of range, or there is no memory.
    pub fn new(n_features: usize, n_classes: usize, by_class: bool) -> Result<Self, LearnError> {
        check_features(n_features)?;
        check_classes(n_classes)?;
        Ok(Self {
            by_class,
            counts: Packed::new(n_features, if by_class { n_classes } else { 1 })?,
            rows: vec![0; n_classes],
            distinct: vec![0; n_classes],
        })
    }

    /// Features there are.
    #[must_use]
    pub fn n_features(&self) -> usize {
        self.counts.n_features()
    }

    /// Whether each class has counts of its own.
    #[must_use]
    pub fn is_by_class(&self) -> bool {
        self.by_class
    }

    /// Columns of the counts: 1, or one for each class.
    #[must_use]
    pub fn n_columns(&self) -> usize {
        self.counts.n_columns()
    }

    /// Rows counted, by class.
    #[must_use]
    pub fn rows(&self) -> &[u64] {
        &self.rows
    }

    /// Features of the rows counted, by class; each counts once a row.
    #[must_use]
    pub fn distinct(&self) -> &[u64] {
        &self.distinct
    }

    /// Counts rows; those of class -1 or weight 0 do not count.
    ///
    /// # Errors
    /// If lengths differ, a class or a feature is out of range, or the rows are too many; nothing is counted then.
    pub fn add(
        &mut self,
        rows: &Rows,
        classes: &[i32],
        weights: Option<&[f32]>,
    ) -> Result<(), LearnError> {
        let n_rows = check_rows(rows, classes, weights, self.n_features(), self.rows.len())?;
        self.check_room(n_rows)?;
        for (i, class) in counted(classes, weights) {
            let span = rows.indptr[i]..rows.indptr[i + 1];
            self.rows[class] += 1;
            self.distinct[class] += span.len() as u64;
            let column = if self.by_class { class } else { 0 };
            for at in span {
                self.counts.warm(&rows.indices, at, column);
                self.counts.block_mut(rows.indices[at] as usize)[column] += 1;
            }
        }
        Ok(())
    }

    /// Adds the counts of other rows.
    ///
    /// # Errors
    /// If they are of another shape, or the rows are too many; nothing is changed then.
    pub fn merge(&mut self, other: &Self) -> Result<(), LearnError> {
        let shape = |counts: &Self| (counts.n_features(), counts.rows.len(), counts.by_class);
        if shape(self) != shape(other) {
            return LearnError::invalid(format!(
                "counts of (n_features, n_classes, by_class) {:?} cannot be added to counts of {:?}",
                shape(other),
                shape(self)
            ));
        }
        self.check_room(other.rows.iter().sum())?;
        self.counts.merge(&other.counts);
        add_all(&mut self.rows, &other.rows);
        add_all(&mut self.distinct, &other.distinct);
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
        if self.by_class && n_classes > self.rows.len() {
            self.counts = self.counts.widened(n_classes)?;
        }
        self.rows.resize(n_classes, 0);
        self.distinct.resize(n_classes, 0);
        Ok(())
    }

    /// The counts of the features that were met.
    #[must_use]
    pub fn sparse(&self) -> SparseCounts {
        let (features, counts) = self.counts.sparse();
        SparseCounts {
            features,
            counts,
            rows: self.rows.clone(),
            distinct: self.distinct.clone(),
        }
    }

    /// Counts that were sent or kept.
    ///
    /// # Errors
    /// If they cannot be counts of rows, or there is no memory.
    pub fn from_sparse(
        n_features: usize,
        by_class: bool,
        sparse: &SparseCounts,
    ) -> Result<Self, LearnError> {
        let mut made = Self::new(n_features, sparse.rows.len(), by_class)?;
        sparse.check(n_features, made.n_columns())?;
        made.counts.add_sparse(&sparse.features, &sparse.counts);
        made.rows.copy_from_slice(&sparse.rows);
        made.distinct.copy_from_slice(&sparse.distinct);
        Ok(made)
    }

    /// In how many rows each feature is.
    #[must_use]
    pub fn document_frequencies(&self) -> Vec<u32> {
        (0..self.n_features())
            .map(|feature| self.counts.block(feature).iter().sum())
            .collect()
    }

    /// For each feature `values[df]`, where `df` is the number of rows that it is in.
    ///
    /// # Errors
    /// If a feature is in more rows than there are values for.
    pub fn by_frequency(&self, values: &[f32]) -> Result<Vec<f32>, LearnError> {
        let mut found = roomy(self.n_features());
        for feature in 0..self.n_features() {
            let frequency: u32 = self.counts.block(feature).iter().sum();
            let Some(&value) = values.get(frequency as usize) else {
                return LearnError::invalid(format!(
                    "there are {} values, and a feature in {frequency} rows",
                    values.len()
                ));
            };
            found.push(value);
        }
        Ok(found)
    }

    /// The counts of features `start` to `stop`, one block after the other.
    ///
    /// # Errors
    /// If there are no such features.
    pub fn block(&self, start: usize, stop: usize) -> Result<Vec<u32>, LearnError> {
        if start > stop || stop > self.n_features() {
            return LearnError::invalid(format!(
                "there are no features {start} to {stop} of {}",
                self.n_features()
            ));
        }
        Ok((start..stop)
            .flat_map(|feature| self.counts.block(feature))
            .copied()
            .collect())
    }

    /// Bytes of memory in use at most.
    #[must_use]
    pub fn nbytes(&self) -> usize {
        self.counts.nbytes() + 2 * size_of_val(&self.rows[..])
    }

    fn check_room(&self, n_rows: u64) -> Result<(), LearnError> {
        let counted: u64 = self.rows.iter().sum();
        if counted.saturating_add(n_rows) > MAX_ROWS {
            return LearnError::invalid(format!(
                "{counted} rows are counted and {n_rows} more would be over {MAX_ROWS}"
            ));
        }
        Ok(())
    }
}

/// Rows that can be counted: no count is larger.
const MAX_ROWS: u64 = u32::MAX as u64;

impl SparseCounts {
    /// Whether these can be counts of rows: each sum that can be told from two of the arrays is told alike by both.
    fn check(&self, n_features: usize, n_columns: usize) -> Result<(), LearnError> {
        check_features_of(&self.features, n_features)?;
        if self.features.len().checked_mul(n_columns) != Some(self.counts.len())
            || self.distinct.len() != self.rows.len()
        {
            return LearnError::invalid("the arrays of counts do not fit together".into());
        }
        let add = |sum: u64, &n: &u64| sum.checked_add(n);
        let n_rows = self.rows.iter().try_fold(0, add);
        let n_distinct = self.distinct.iter().try_fold(0, add);
        let (Some(n_rows @ 0..=MAX_ROWS), Some(n_distinct)) = (n_rows, n_distinct) else {
            return LearnError::invalid(format!("there are more rows than {MAX_ROWS}"));
        };
        let (rows, distinct) = if n_columns == self.rows.len() {
            (self.rows.clone(), self.distinct.clone())
        } else {
            (vec![n_rows], vec![n_distinct])
        };
        let mut sums = vec![0u64; n_columns];
        for block in self.counts.chunks_exact(n_columns) {
            let mut met = false;
            for ((&count, sum), &most) in block.iter().zip(&mut sums).zip(&rows) {
                if u64::from(count) > most {
                    return LearnError::invalid("a count is larger than its number of rows".into());
                }
                *sum += u64::from(count);
                met |= count > 0;
            }
            if !met {
                return LearnError::invalid("a feature has no count that is not 0".into());
            }
        }
        if sums != distinct {
            return LearnError::invalid(
                "the counts are not as many as the features of the rows".into(),
            );
        }
        Ok(())
    }
}

/// The rows that count, and their classes.
pub(super) fn counted<'a>(
    classes: &'a [i32],
    weights: Option<&'a [f32]>,
) -> impl Iterator<Item = (usize, usize)> + 'a {
    let counts = move |i: usize| weights.is_none_or(|weights| weights[i] != 0.0);
    let class = |(i, &class): (usize, &i32)| Some((i, usize::try_from(class).ok()?));
    classes
        .iter()
        .enumerate()
        .filter_map(class)
        .filter(move |&(i, _)| counts(i))
}

/// How many of the rows count.
fn check_rows(
    rows: &Rows,
    classes: &[i32],
    weights: Option<&[f32]>,
    n_features: usize,
    n_classes: usize,
) -> Result<u64, LearnError> {
    if classes.len() != rows.len() || weights.is_some_and(|weights| weights.len() != rows.len()) {
        return LearnError::invalid("there must be as many classes and weights as rows".into());
    }
    let allowed = -1..i32::try_from(n_classes).unwrap_or(i32::MAX);
    if let Some(class) = classes.iter().find(|class| !allowed.contains(class)) {
        return LearnError::invalid(format!("class {class} is not -1 to {}", n_classes - 1));
    }
    let bad = |weight: &&f32| !(**weight >= 0.0 && weight.is_finite());
    if let Some(weight) = weights.and_then(|weights| weights.iter().find(bad)) {
        return LearnError::invalid(format!("a row's weight is {weight}"));
    }
    check_features_below(&rows.indices, n_features)?;
    Ok(counted(classes, weights).count() as u64)
}

fn check_features_below(features: &[u32], n_features: usize) -> Result<(), LearnError> {
    match features.iter().max() {
        Some(&greatest) if greatest as usize >= n_features => LearnError::invalid(format!(
            "feature {greatest} is not below n_features={n_features}"
        )),
        _ => Ok(()),
    }
}

fn check_features_of(features: &[u32], n_features: usize) -> Result<(), LearnError> {
    if !features.is_sorted_by(|a, b| a < b) {
        return LearnError::invalid("the features must ascend strictly".into());
    }
    check_features_below(features, n_features)
}

fn check_classes(n_classes: usize) -> Result<(), LearnError> {
    if !(1..=i32::MAX as usize).contains(&n_classes) {
        return LearnError::invalid(format!("n_classes is {n_classes}, not 1 to {}", i32::MAX));
    }
    Ok(())
}

fn add_all(sums: &mut [u64], numbers: &[u64]) {
    for (sum, &number) in sums.iter_mut().zip(numbers) {
        *sum += number;
    }
}
