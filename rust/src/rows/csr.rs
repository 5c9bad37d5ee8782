//! The matrix that scikit-learn's `HashingVectorizer` gives, bit for bit.
//!
//! Features whose tokens cancel stay as explicit zeros. Sums are of integers and therefore exact; a row is
//! divided, not multiplied by an inverse; squares of `f32` values are rounded to `f32` before they are summed.

use super::Norm;
use super::fold::Fold;
use crate::kernels;
use crate::text::HashedBatch;

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

/// Writes the matrix into arrays as long as the batch has hashes; returns the row pointers, whose last says how
/// much of them is used.
///
/// # Panics
/// If the arrays are shorter than that.
pub fn write_csr<T: Float>(
    batch: &HashedBatch,
    options: &CsrOptions,
    data: &mut [T],
    indices: &mut [i32],
) -> Vec<i64> {
    let kernels = kernels::best();
    let fold = Fold::new(options.n_features);
    let (mut keys, mut spare, mut sums) = (Vec::new(), Vec::new(), Vec::new());
    let mut indptr = Vec::with_capacity(batch.len() + 1);
    indptr.push(0);
    let mut written = 0;
    for hashes in batch.documents() {
        fold.signed_features(hashes, &mut keys);
        (kernels.sort)(&mut keys, &mut spare);
        let indices = &mut indices[written..written + keys.len()];
        let distinct = if options.alternate_sign {
            runs::<true>(&keys, indices, &mut sums)
        } else {
            runs::<false>(&keys, indices, &mut sums)
        };
        let row = &mut data[written..written + distinct];
        let mut before = 0;
        for (value, &sum) in row.iter_mut().zip(&sums) {
            *value = T::from_count(if options.binary { 1 } else { sum - before });
            before = sum;
        }
        if let Some(norm) = options.norm {
            divide(row, norm);
        }
        written += distinct;
        indptr.push(written as i64);
    }
    indptr
}

/// Writes the distinct features and the running sum of the signs at the end of each; returns how many there are.
fn runs<const SIGNED: bool>(keys: &[u32], indices: &mut [i32], sums: &mut Vec<i64>) -> usize {
    if sums.len() < keys.len() {
        sums.resize(keys.len(), 0);
    }
    let Some((&last, _)) = keys.split_last() else {
        return 0;
    };
    let (indices, sums) = (&mut indices[..keys.len()], &mut sums[..keys.len()]);
    let nexts = keys[1..].iter().copied().chain([!last]);
    let (mut distinct, mut sum) = (0, 0);
    for (&key, next) in keys.iter().zip(nexts) {
        sum += if SIGNED {
            1 - 2 * i64::from(key & 1)
        } else {
            1
        };
        indices[distinct] = (key >> 1) as i32;
        sums[distinct] = sum;
        distinct += usize::from(key >> 1 != next >> 1);
    }
    distinct
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
