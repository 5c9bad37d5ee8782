//! The hashed features in use: the column of each, and its weight.
//!
//! ```text
//! cells     = [ (bits 0 to 63, rank)   (bits 64 to 127, rank)   … ]      one cell for 64 hashed features
//! bit j     = whether feature j is in use
//! rank      = features in use before those of the cell
//! column(j) = rank + number of bits set in the cell below bit j
//! ```
//!
//! A cell takes 12 bytes: 3 MB for 2^24 features stay in the processor's second cache, where an array with a number for
//! each feature would take 64 MB. One look-up reads one cell.

use std::fmt;
use std::hint::select_unpredictable;

/// Greatest number of hashed features.
const MAX_HASHED: usize = 1 << 30;

/// Features of a cell.
const CELL: usize = 64;

/// The features in use and their weights.
#[derive(Debug, PartialEq)]
pub struct FeatureTable {
    n_hashed: usize,
    n_columns: u32,
    /// Bits 0 to 31, bits 32 to 63, rank.
    pub(super) cells: Vec<[u32; 3]>,
    /// The weight of each column, and a 0 behind them for features that are not in use.
    weights: Option<Vec<f32>>,
}

/// Why a table could not be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FeatureTableError {
    /// The arrays or the number of features are invalid.
    Invalid(String),
    /// There is not enough memory.
    Memory {
        /// Bytes asked for.
        bytes: usize,
    },
}

impl fmt::Display for FeatureTableError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invalid(message) => f.write_str(message),
            Self::Memory { bytes } => write!(f, "a table of features needs {bytes} bytes"),
        }
    }
}

impl std::error::Error for FeatureTableError {}

impl FeatureTable {
    /// A table of these features, each with its weight if there are weights.
    ///
    /// # Errors
    /// If `n_hashed` is not 1 to 2^30, the features do not ascend strictly or are not below it, a weight is negative or
    /// not finite, there are not as many weights as features, or there is no memory.
    pub fn from_parts(
        n_hashed: usize,
        features: &[u32],
        weights: Option<&[f32]>,
    ) -> Result<Self, FeatureTableError> {
        check(n_hashed, features, weights).map_err(FeatureTableError::Invalid)?;
        let n_columns = features.len() as u32;
        let weights = weights
            .map(|weights| {
                let mut copy = room(weights.len() + 1)?;
                copy.extend_from_slice(weights);
                copy.push(0.0);
                Ok(copy)
            })
            .transpose()?;
        let n_cells = n_hashed.div_ceil(CELL);
        let mut cells: Vec<[u32; 3]> = room(n_cells)?;
        let mut rest = features;
        for cell in 0..n_cells {
            let rank = n_columns - rest.len() as u32;
            let mut bits = [0u32; 2];
            while let Some((&feature, others)) = rest.split_first()
                && feature as usize / CELL == cell
            {
                bits[feature as usize % CELL / 32] |= 1 << (feature % 32);
                rest = others;
            }
            cells.push([bits[0], bits[1], rank]);
        }
        Ok(Self {
            n_hashed,
            n_columns,
            cells,
            weights,
        })
    }

    /// Hashed features there are, in use or not.
    #[must_use]
    pub fn n_hashed(&self) -> usize {
        self.n_hashed
    }

    /// Features in use.
    #[must_use]
    pub fn len(&self) -> usize {
        self.n_columns as usize
    }

    /// Whether no feature is in use.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.n_columns == 0
    }

    /// The features in use, ascending.
    #[must_use]
    pub fn features(&self) -> Vec<u32> {
        let mut features = Vec::with_capacity(self.len());
        for (&[low, high, _], start) in self.cells.iter().zip((0u32..).step_by(CELL)) {
            let mut bits = joined(low, high);
            while bits != 0 {
                features.push(start + bits.trailing_zeros());
                bits &= bits - 1;
            }
        }
        features
    }

    /// The weight of each column.
    #[must_use]
    pub fn weights(&self) -> Option<&[f32]> {
        self.weights_and_zero()
            .map(|weights| &weights[..self.len()])
    }

    /// The weight of each column, and a 0 for the column behind the last one.
    pub(super) fn weights_and_zero(&self) -> Option<&[f32]> {
        self.weights.as_deref()
    }

    /// The column of a feature, or the number of columns if it is not in use.
    #[inline(always)]
    pub(super) fn column(&self, feature: u32) -> u32 {
        let [low, high, rank] = self.cells[feature as usize / CELL];
        let (bits, bit) = (joined(low, high), 1u64 << (feature % CELL as u32));
        let column = rank + (bits & (bit - 1)).count_ones();
        // No branch: which features are in use cannot be predicted.
        select_unpredictable(bits & bit == 0, self.n_columns, column)
    }

    /// The cell that [`Self::column`] reads.
    #[inline(always)]
    pub(super) fn cell(feature: u32) -> usize {
        feature as usize / CELL
    }

    /// Bytes of memory in use.
    #[must_use]
    pub fn nbytes(&self) -> usize {
        size_of_val(&self.cells[..]) + self.weights.as_deref().map_or(0, size_of_val)
    }
}

#[inline(always)]
fn joined(low: u32, high: u32) -> u64 {
    u64::from(low) | u64::from(high) << 32
}

fn room<T>(length: usize) -> Result<Vec<T>, FeatureTableError> {
    let mut numbers = Vec::new();
    let bytes = length * size_of::<T>();
    match numbers.try_reserve_exact(length) {
        Ok(()) => Ok(numbers),
        Err(_) => Err(FeatureTableError::Memory { bytes }),
    }
}

fn check(n_hashed: usize, features: &[u32], weights: Option<&[f32]>) -> Result<(), String> {
    if !(1..=MAX_HASHED).contains(&n_hashed) {
        return Err(format!(
            "n_hashed={n_hashed} is invalid: expected 1 to {MAX_HASHED}"
        ));
    }
    if !features.is_sorted_by(|a, b| a < b) {
        return Err("features is invalid: expected strictly ascending numbers".into());
    }
    if let Some(&last) = features.last()
        && last as usize >= n_hashed
    {
        return Err(format!(
            "features is invalid: feature {last} is not below n_hashed={n_hashed}"
        ));
    }
    let Some(weights) = weights else {
        return Ok(());
    };
    if weights.len() != features.len() {
        return Err(format!(
            "weights is invalid: expected {} numbers, got {}",
            features.len(),
            weights.len()
        ));
    }
    match weights.iter().find(|w| !(**w >= 0.0 && w.is_finite())) {
        Some(weight) => Err(format!(
            "weights is invalid: expected finite numbers of 0 or more, got {weight}"
        )),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::{FeatureTable, FeatureTableError};

    #[test]
    fn the_column_of_a_feature_is_its_rank_among_those_in_use() {
        let features = [0, 1, 31, 32, 63, 64, 130, 199];
        let table = FeatureTable::from_parts(200, &features, None).expect("valid");
        for feature in 0..200 {
            let rank = features.iter().position(|&other| other == feature);
            let column = rank.unwrap_or(features.len()) as u32;
            assert_eq!(table.column(feature), column, "feature {feature}");
        }
        assert_eq!(table.features(), features);
    }

    #[test]
    fn a_table_takes_12_bytes_for_64_features_and_4_for_a_weight() {
        let table = FeatureTable::from_parts(1 << 12, &[5, 9], None).expect("valid");
        assert_eq!(table.nbytes(), (1 << 12) / 8 + (1 << 12) / 16);
        let weighted = FeatureTable::from_parts(1 << 12, &[5, 9], Some(&[1.0, 2.0]));
        assert_eq!(weighted.expect("valid").nbytes(), table.nbytes() + 3 * 4);
    }

    #[test]
    fn invalid_parts_are_refused() {
        let refused = |n_hashed, features: &[u32], weights: Option<&[f32]>| {
            matches!(
                FeatureTable::from_parts(n_hashed, features, weights),
                Err(FeatureTableError::Invalid(_))
            )
        };
        assert!(refused(0, &[], None));
        assert!(refused((1 << 30) + 1, &[], None));
        assert!(refused(5, &[1, 1], None));
        assert!(refused(5, &[2, 1], None));
        assert!(refused(5, &[1, 5], None));
        assert!(refused(5, &[1], Some(&[])));
        for weight in [-1.0, f32::NAN, f32::INFINITY] {
            assert!(refused(5, &[1], Some(&[weight])));
        }
    }
}
