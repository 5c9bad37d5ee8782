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
pub trait Float: Copy {
    /// The value nearest to a count.
    fn from_count(count: i64) -> Self;
    /// The sum; exact, since counts are.
    fn plus(self, other: Self) -> Self;
    /// The absolute value.
    fn magnitude(self) -> f64;
    /// The square, rounded to this type.
    fn square(self) -> f64;
    /// The quotient, rounded once.
    fn divided_by(self, norm: f64) -> Self;
}

impl Float for f64 {
    fn from_count(count: i64) -> Self {
        count as f64
    }
    fn plus(self, other: Self) -> Self {
        self + other
    }
    fn magnitude(self) -> f64 {
        self.abs()
    }
    fn square(self) -> f64 {
        self * self
    }
    fn divided_by(self, norm: f64) -> Self {
        self / norm
    }
}

impl Float for f32 {
    fn from_count(count: i64) -> Self {
        count as f32
    }
    fn plus(self, other: Self) -> Self {
        self + other
    }
    fn magnitude(self) -> f64 {
        f64::from(self.abs())
    }
    fn square(self) -> f64 {
        f64::from(self * self)
    }
    fn divided_by(self, norm: f64) -> Self {
        (f64::from(self) / norm) as f32
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
        }
    }

    /// Writes the row into arrays that are at least as long as there are hashes; returns how long the row is.
    pub(super) fn write<T: Float>(
        &mut self,
        hashes: &[u32],
        data: &mut [T],
        indices: &mut [i32],
    ) -> usize {
        let Self {
            kernels, options, ..
        } = *self;
        (kernels.fold)(hashes, self.fold, true, &mut self.keys);
        (kernels.sort)(&mut self.keys, &mut self.spare);
        let runs = (kernels.runs)(&self.keys, &mut self.distinct, &mut self.ends);
        let (keys, ends) = (&self.distinct[..runs], &self.ends[..runs]);
        let length = counts(keys, ends, options.alternate_sign, data, indices);
        let row = &mut data[..length];
        if options.binary {
            row.fill(T::from_count(1));
        }
        if let Some(norm) = options.norm {
            divide(row, norm);
        }
        length
    }
}

/// Writes the features of distinct keys and the sum of the signs of each; returns how many features there are.
fn counts<T: Float>(
    keys: &[u32],
    ends: &[u32],
    signed: bool,
    data: &mut [T],
    indices: &mut [i32],
) -> usize {
    let (mut start, mut both_signs) = (0, false);
    let mut before = !keys.first().copied().unwrap_or(0);
    for (((&key, &end), value), index) in keys.iter().zip(ends).zip(&mut *data).zip(&mut *indices) {
        let count = i64::from(end - start);
        *value = T::from_count(if signed && key & 1 == 1 {
            -count
        } else {
            count
        });
        *index = (key >> 1) as i32;
        both_signs |= key ^ before == 1;
        (start, before) = (end, key);
    }
    if both_signs {
        merge(&mut data[..keys.len()], &mut indices[..keys.len()])
    } else {
        keys.len()
    }
}

/// Adds up neighbours of the same feature; returns how many are left.
fn merge<T: Float>(data: &mut [T], indices: &mut [i32]) -> usize {
    let mut last = 0;
    for i in 1..indices.len() {
        if indices[i] == indices[last] {
            data[last] = data[last].plus(data[i]);
        } else {
            last += 1;
            (data[last], indices[last]) = (data[i], indices[i]);
        }
    }
    last + 1
}

fn divide<T: Float>(row: &mut [T], norm: Norm) {
    let by = match norm {
        Norm::L1 => row.iter().map(|value| value.magnitude()).sum(),
        Norm::L2 => row.iter().map(|value| value.square()).sum::<f64>().sqrt(),
    };
    if by != 0.0 {
        row.iter_mut()
            .for_each(|value| *value = value.divided_by(by));
    }
}
