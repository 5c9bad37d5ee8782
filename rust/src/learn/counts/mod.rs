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
mod pairs;
mod sparse;
mod sums;
mod tables;
mod weights;

pub use sparse::SparseCounts;
pub use sums::{FeatureSums, SparseSums};
pub use weights::TableKind;

use super::LearnError;
use super::settings::check_features;
use crate::rows::Rows;
use sparse::MAX_ROWS;
use tables::Table;

/// Counts of rows, by feature.
#[derive(Debug)]
pub struct FeatureCounts {
    by_class: bool,
    counts: Table,
    rows: Vec<u64>,
    distinct: Vec<u64>,
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
            counts: Table::new(n_features, if by_class { n_classes } else { 1 })?,
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
    /// If lengths differ, a class or a feature is out of range, or the rows are too many: nothing is counted then. If
    /// there is no memory: some of the features are counted then, and the counts are of no use any more.
    pub fn add(
        &mut self,
        rows: &Rows,
        classes: &[i32],
        weights: Option<&[f32]>,
    ) -> Result<(), LearnError> {
        let n_rows = check_rows(rows, classes, weights, self.n_features(), self.rows.len())?;
        self.check_room(n_rows)?;
        for (i, class) in counted(classes, weights) {
            self.rows[class] += 1;
            self.distinct[class] += (rows.indptr[i + 1] - rows.indptr[i]) as u64;
        }
        let column = |class| if self.by_class { class } else { 0 };
        let counted = counted(classes, weights).map(|(i, class)| (i, column(class)));
        self.counts.count(rows, counted)
    }

    /// Adds the counts of other rows.
    ///
    /// # Errors
    /// If they are of another shape, or the rows are too many: nothing is changed then. If there is no memory: some of
    /// the counts are added then, and the sums are of no use any more.
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
        add_all(&mut self.rows, &other.rows);
        add_all(&mut self.distinct, &other.distinct);
        self.counts.add(other.counts.counts())
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
            self.counts.widen(n_classes)?;
        }
        self.rows.resize(n_classes, 0);
        self.distinct.resize(n_classes, 0);
        Ok(())
    }

    /// The counts that are not 0.
    #[must_use]
    pub fn sparse(&self) -> SparseCounts {
        let mut sparse = SparseCounts {
            features: Vec::new(),
            classes: Vec::new(),
            counts: Vec::new(),
            rows: self.rows.clone(),
            distinct: self.distinct.clone(),
        };
        for (feature, column, count) in self.counts.counts() {
            sparse.features.push(feature);
            if self.by_class {
                sparse.classes.push(column);
            }
            sparse.counts.push(count);
        }
        sparse
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
        sparse.check(n_features, by_class)?;
        made.counts.add(sparse.triples())?;
        made.rows.copy_from_slice(&sparse.rows);
        made.distinct.copy_from_slice(&sparse.distinct);
        Ok(made)
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
