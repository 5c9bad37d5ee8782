//! Rows of hashed features turned into rows of the columns in use.
//!
//! ```text
//! for each row:     column ← column of its feature, or the number of columns: not in use
//!                   value  ← value · weight of the column, 0 if not in use
//!                   values ← values / norm of the row
//!                   entries not in use ← dropped
//! ```
//!
//! Entries are dropped last: which of the running sums of the norm an entry is added to depends on its place in the row,
//! and the values are to be those of [`Rows::weighted`] to the last bit. A row is worked on while it is in the
//! processor's first cache, and the weights of the next one are on their way meanwhile.

use super::values::{divide, sum};
use super::{FeatureTable, Norm, Rows};
use crate::kernels::memory::prefetch;
use crate::kernels::widest::{self, Work};

/// How far ahead the cell of a feature is asked for.
const AHEAD: usize = 16;

impl Rows {
    /// The rows with the columns of the table in place of the features, each value multiplied by the weight of its
    /// column and each row divided by its norm. Entries whose feature is not in the table are dropped. What stays has the
    /// values that [`Rows::weighted`] gives with weights of 0 for features that are not in the table.
    ///
    /// # Errors
    /// What is wrong, if a feature is not below `n_hashed`, or a value is not finite any more.
    pub fn mapped(&self, table: &FeatureTable, norm: Option<Norm>) -> Result<Self, String> {
        widest::run(Mapping {
            rows: self,
            table,
            norm,
        })
    }
}

/// Rows to be mapped.
struct Mapping<'a> {
    rows: &'a Rows,
    table: &'a FeatureTable,
    norm: Option<Norm>,
}

impl Work for Mapping<'_> {
    type Output = Result<Rows, String>;

    #[inline(always)]
    fn run<const LANES: usize>(self) -> Self::Output {
        let Self { rows, table, norm } = self;
        let mut mapped = Rows {
            indptr: Vec::with_capacity(rows.indptr.len()),
            indices: Vec::with_capacity(rows.indices.len()),
            values: Vec::with_capacity(rows.values.len()),
        };
        mapped.indptr.push(0);
        let (mut columns, mut next) = (Vec::new(), Vec::new());
        let mut values = Vec::new();
        if !rows.is_empty() {
            self.look_up(0, &mut next)?;
        }
        for i in 0..rows.len() {
            std::mem::swap(&mut columns, &mut next);
            if i + 1 < rows.len() {
                self.look_up(i + 1, &mut next)?;
            }
            weigh(table, &columns, rows.row(i).1, &mut values);
            if let Some(norm) = norm {
                let by = norm_of(&values, norm);
                divide(&mut values, by);
            }
            if !values
                .iter()
                .fold(true, |all, value| all & value.is_finite())
            {
                return Err("a value times its feature's weight is not finite".into());
            }
            append(&mut mapped, &columns, &values, table.len() as u32);
        }
        // Pages that are given back are cleared by the system when the next rows need them: not worth it for a few.
        if mapped.indices.len() < rows.indices.len() / 4 * 3 {
            mapped.indices.shrink_to_fit();
            mapped.values.shrink_to_fit();
        }
        Ok(mapped)
    }
}

impl Mapping<'_> {
    /// The columns of a row's features; asks for their weights.
    ///
    /// # Errors
    /// If a feature is not below `n_hashed`.
    #[inline(always)]
    fn look_up(&self, i: usize, columns: &mut Vec<u32>) -> Result<(), String> {
        let Self { rows, table, .. } = self;
        let span = rows.indptr[i]..rows.indptr[i + 1];
        let (features, weights) = (&rows.indices[span.clone()], table.weights_and_zero());
        let greatest = features.iter().fold(0, |most, &feature| most.max(feature));
        if greatest as usize >= table.n_hashed() {
            return Err(format!(
                "feature {greatest} is not below n_hashed={}",
                table.n_hashed()
            ));
        }
        // Not `extend`, which is not compiled for the wide registers.
        columns.resize(features.len(), 0);
        for ((column, &feature), at) in columns.iter_mut().zip(features).zip(span) {
            if let Some(&soon) = rows.indices.get(at + AHEAD) {
                prefetch(&table.cells, FeatureTable::cell(soon));
            }
            *column = table.column(feature);
            prefetch(weights.unwrap_or_default(), *column as usize);
        }
        Ok(())
    }
}

/// The values of a row, each multiplied by the weight of its column, or by whether it is in use.
#[inline(always)]
fn weigh(table: &FeatureTable, columns: &[u32], values: &[f32], weighted: &mut Vec<f32>) {
    weighted.resize(values.len(), 0.0);
    let entries = weighted.iter_mut().zip(columns.iter().zip(values));
    match table.weights_and_zero() {
        Some(weights) => entries.for_each(|(y, (&column, x))| *y = x * weights[column as usize]),
        None => {
            let absent = table.len() as u32;
            entries.for_each(|(y, (&column, x))| *y = x * f32::from(u8::from(column != absent)));
        }
    }
}

/// What the values of a row are divided by.
#[inline(always)]
pub(super) fn norm_of(values: &[f32], norm: Norm) -> f32 {
    let norm = match norm {
        Norm::L1 => sum(values, |value| f64::from(value).abs()),
        Norm::L2 => sum(values, |value| f64::from(value) * f64::from(value)).sqrt(),
    };
    norm as f32
}

/// Appends a row without its entries of the column `absent`.
#[inline(always)]
fn append(rows: &mut Rows, columns: &[u32], values: &[f32], absent: u32) {
    let start = rows.indices.len();
    rows.indices.extend_from_slice(columns);
    rows.values.extend_from_slice(values);
    // In training all features of most rows are in use.
    if columns
        .iter()
        .fold(false, |any, &column| any | (column == absent))
    {
        let (new, new_values) = (&mut rows.indices[start..], &mut rows.values[start..]);
        let mut kept = 0;
        for (&column, &value) in columns.iter().zip(values) {
            new[kept] = column;
            new_values[kept] = value;
            // No branch: which features are in use cannot be predicted.
            kept += usize::from(column != absent);
        }
        rows.indices.truncate(start + kept);
        rows.values.truncate(start + kept);
    }
    rows.indptr.push(rows.indices.len());
}

#[cfg(test)]
mod tests {
    use super::{FeatureTable, Norm, Rows};
    use proptest::prelude::*;

    const N_HASHED: usize = 200;

    /// A row or a table: features and their values or weights.
    type Entries = Vec<(u32, f32)>;

    /// Rows of which some features are in the table, and the table.
    fn cases() -> impl Strategy<Value = (Vec<Entries>, Entries)> {
        let value = prop_oneof![-100.0f32..100.0, Just(0.0), Just(3e38), Just(f32::INFINITY)];
        let row = prop::collection::btree_map(0..N_HASHED as u32, value, 0..40);
        let weight = prop_oneof![0.0f32..9.0, Just(0.0)];
        let table = prop::collection::btree_map(0..N_HASHED as u32, weight, 0..N_HASHED);
        let rows = prop::collection::vec(row.prop_map(|row| row.into_iter().collect()), 0..5);
        (rows, table.prop_map(|table| table.into_iter().collect()))
    }

    fn rows_of(rows: &[Entries]) -> Rows {
        let mut indptr = vec![0];
        for row in rows {
            indptr.push(indptr[indptr.len() - 1] + row.len());
        }
        let (indices, values) = rows.iter().flatten().copied().unzip();
        Rows::from_parts(indptr, indices, values).expect("fit")
    }

    proptest! {
        #[test]
        fn mapped_rows_are_weighted_rows_without_the_features_outside(
            (rows, table) in cases(),
            norm in prop::sample::select(vec![None, Some(Norm::L1), Some(Norm::L2)]),
            has_weights: bool,
        ) {
            let rows = rows_of(&rows);
            let (features, weights): (Vec<u32>, Vec<f32>) = table.into_iter().unzip();
            let mut dense = vec![0.0; N_HASHED];
            for (&feature, &weight) in features.iter().zip(&weights) {
                dense[feature as usize] = if has_weights { weight } else { 1.0 };
            }
            let made = FeatureTable::from_parts(N_HASHED, &features, has_weights.then_some(&weights));
            let mapped = rows.mapped(&made.expect("valid"), norm);
            let weighted = rows.weighted(&dense, norm);
            prop_assert_eq!(mapped.is_ok(), weighted.is_ok());
            let (Ok(mapped), Ok(weighted)) = (mapped, weighted) else { return Ok(()) };
            prop_assert_eq!(mapped.len(), weighted.len());
            for i in 0..mapped.len() {
                let (columns, values) = mapped.row(i);
                let (all, theirs) = weighted.row(i);
                let inside = all.iter().zip(theirs).filter_map(|(j, value)| {
                    Some((features.binary_search(j).ok()? as u32, value.to_bits()))
                });
                let found = columns.iter().zip(values).map(|(&c, value)| (c, value.to_bits()));
                prop_assert!(found.eq(inside));
            }
        }
    }

    #[test]
    fn a_feature_that_is_not_below_n_hashed_is_refused() {
        let rows = rows_of(&[vec![(64, 1.0)]]);
        let table = |n_hashed| FeatureTable::from_parts(n_hashed, &[3], None).expect("valid");
        assert!(rows.mapped(&table(64), None).is_err());
        let mapped = rows.mapped(&table(65), None).expect("valid");
        assert_eq!(mapped.indptr, [0, 0]);
    }
}
