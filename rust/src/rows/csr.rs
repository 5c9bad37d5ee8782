//! The matrix that scikit-learn's `HashingVectorizer` gives, bit for bit.
//!
//! Features whose tokens cancel stay as explicit zeros. Sums are of integers and therefore exact; a row is
//! divided, not multiplied by an inverse; squares of `f32` values are rounded to `f32` before they are summed.

use super::Norm;
use crate::kernels::{self, Fold, Kernels};

/// What the user of the vectorizer chooses.
#[derive(Debug, Clone, Copy)]
pub struct CsrOptions {
    /// Columns of the matrix, 1 to 2^31.
    pub n_features: u32,
    /// Whether a negative hash counts -1.
    pub alternate_sign: bool,
    /// Whether every stored value becomes 1.
    pub binary: bool,
    /// What a row is divided by.
    pub norm: Option<Norm>,
}

/// The two types of values.
pub trait Float: Copy + Default {
    /// Sums of squares up to this are exact however they are added up, because no square is rounded.
    const EXACT: u64;
    /// The square of a count as it is rounded in this type.
    fn square(count: i32) -> f64;
    /// Counts divided by a number, rounded once.
    fn divide(kernels: &Kernels, counts: &[i32], by: f64, data: &mut [Self]);
}

impl Float for f64 {
    const EXACT: u64 = 1 << 53;
    fn square(count: i32) -> f64 {
        f64::from(count) * f64::from(count)
    }
    fn divide(kernels: &Kernels, counts: &[i32], by: f64, data: &mut [Self]) {
        (kernels.quotients)(counts, by, data);
    }
}

impl Float for f32 {
    const EXACT: u64 = 1 << 24;
    fn square(count: i32) -> f64 {
        f64::from(count as f32 * count as f32)
    }
    fn divide(kernels: &Kernels, counts: &[i32], by: f64, data: &mut [Self]) {
        (kernels.quotients_f32)(counts, by, data);
    }
}

/// Makes one document's hashes after the other's a row of the matrix, in memory that stays in the processor's cache.
#[derive(Debug)]
pub(super) struct RowWriter {
    kernels: &'static Kernels,
    options: CsrOptions,
    fold: Fold,
    keys: Vec<u32>,
    spare: Vec<u32>,
    distinct: Vec<u32>,
    ends: Vec<u32>,
    counts: Vec<i32>,
}

impl RowWriter {
    pub(super) fn new(options: CsrOptions) -> Self {
        Self {
            kernels: kernels::best(),
            options,
            fold: Fold::new(options.n_features),
            keys: Vec::new(),
            spare: Vec::new(),
            distinct: Vec::new(),
            ends: Vec::new(),
            counts: Vec::new(),
        }
    }

    /// Appends the row to both arrays.
    pub(super) fn write<T: Float>(
        &mut self,
        hashes: &[u32],
        data: &mut Vec<T>,
        indices: &mut Vec<i32>,
    ) {
        let Self {
            kernels, options, ..
        } = *self;
        (kernels.fold)(hashes, self.fold, true, &mut self.keys);
        (kernels.sort)(&mut self.keys, &mut self.spare);
        let mut length = (kernels.runs)(&self.keys, &mut self.distinct, &mut self.ends);
        let (distinct, ends) = (&self.distinct[..length], &self.ends[..length]);
        let signed = options.alternate_sign;
        let start = indices.len();
        indices.resize(start + length, 0);
        let here = &mut indices[start..];
        let counted = (kernels.counts)(distinct, ends, signed, here, &mut self.counts);
        let (mut counts, mut squares) = (&mut self.counts[..length], Some(counted.squares));
        if counted.both_signs {
            length = merge(counts, here);
            indices.truncate(start + length);
            (counts, squares) = (&mut counts[..length], None);
        }
        if options.binary {
            counts.fill(1);
            squares = Some(length as u64);
        }
        let by = match options.norm {
            None => 1.0,
            Some(Norm::L1) => counts.iter().map(|&count| f64::from(count).abs()).sum(),
            Some(Norm::L2) => match squares.filter(|&squares| squares <= T::EXACT) {
                Some(squares) => squares as f64,
                None => counts.iter().map(|&count| T::square(count)).sum(),
            }
            .sqrt(),
        };
        // A row whose norm is 0 is left as it is.
        let by = if by == 0.0 { 1.0 } else { by };
        data.resize(start + length, T::default());
        T::divide(kernels, counts, by, &mut data[start..]);
    }
}

/// Adds up neighbours of the same feature; returns how many are left.
fn merge(counts: &mut [i32], indices: &mut [i32]) -> usize {
    let mut last = 0;
    for i in 1..counts.len() {
        if indices[i] == indices[last] {
            counts[last] += counts[i];
        } else {
            last += 1;
            (counts[last], indices[last]) = (counts[i], indices[i]);
        }
    }
    last + 1
}
