//! The values of one row for the learner, in registers as wide as there are and in one fixed order of summation.

use super::{Norm, Value};
use crate::kernels::widest::Work;
use std::sync::LazyLock;

/// One row to be valued.
pub(super) struct Values<'a> {
    /// How many tokens are up to the last one of each feature.
    pub(super) ends: &'a [u32],
    /// Where the values go, as many as there are features.
    pub(super) row: &'a mut [f32],
    pub(super) value: Value,
    pub(super) norm: Option<Norm>,
}

impl Work for Values<'_> {
    type Output = ();

    #[inline(always)]
    fn run<const LANES: usize>(self) {
        let Self {
            ends,
            row,
            value,
            norm,
        } = self;
        match value {
            Value::Count => each_count(ends, row, |count| count as f32),
            Value::Log => damped_counts(ends, row),
            Value::Binary => row.fill(1.0),
        }
        match norm {
            None => {}
            // No value is negative.
            Some(Norm::L1) => divide(row, sum(row, f64::from) as f32),
            Some(Norm::L2) => {
                let squares = sum(row, |value| f64::from(value) * f64::from(value));
                divide(row, squares.sqrt() as f32);
            }
        }
    }
}

#[inline(always)]
fn each_count(ends: &[u32], row: &mut [f32], value: impl Fn(u32) -> f32) {
    let Some((first, rest)) = row.split_first_mut() else {
        return;
    };
    *first = value(ends[0]);
    for ((value_of, end), start) in rest.iter_mut().zip(&ends[1..]).zip(ends) {
        *value_of = value(end - start);
    }
}

/// Counts whose damped value is kept: nearly all that occur.
const KEPT: usize = 256;

static DAMPED: LazyLock<[f32; KEPT]> =
    LazyLock::new(|| std::array::from_fn(|count| one_plus_log(count as u32)));

#[inline(always)]
fn damped_counts(ends: &[u32], row: &mut [f32]) {
    let kept: &[f32; KEPT] = &DAMPED;
    each_count(ends, row, |count| kept[count as usize % KEPT]);
    // Asked for all counts at once: a loop that asks each time cannot work side by side.
    let mut greatest = ends.first().copied().unwrap_or(0);
    for (end, start) in ends.iter().skip(1).zip(ends) {
        greatest = greatest.max(end - start);
    }
    if greatest as usize >= KEPT {
        each_count(ends, row, one_plus_log);
    }
}

/// `libm` is compiled into the crate: unlike the system's, its logarithm has the same last bit everywhere.
fn one_plus_log(count: u32) -> f32 {
    (1.0 + libm::log(f64::from(count))) as f32
}

/// Running sums, in this order whatever the registers: one alone would wait for each addition.
const SUMS: usize = 4;

#[inline(always)]
pub(super) fn sum(row: &[f32], term: impl Fn(f32) -> f64) -> f64 {
    let mut sums = [0.0; SUMS];
    let (fours, rest) = row.as_chunks::<SUMS>();
    for four in fours {
        for (sum, &value) in sums.iter_mut().zip(four) {
            *sum += term(value);
        }
    }
    for (sum, &value) in sums.iter_mut().zip(rest) {
        *sum += term(value);
    }
    (sums[0] + sums[1]) + (sums[2] + sums[3])
}

#[inline(always)]
pub(super) fn divide(row: &mut [f32], by: f32) {
    if by != 0.0 {
        row.iter_mut().for_each(|value| *value /= by);
    }
}
