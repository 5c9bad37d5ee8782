//! Distinct keys and the ends of their runs to features and signed counts, and what the norm of those is.

use super::grow;
use crate::kernels::Counted;

/// See [`crate::kernels::Kernels::counts`].
pub fn counts(
    distinct: &[u32],
    ends: &[u32],
    signed: bool,
    indices: &mut [i32],
    counts: &mut Vec<i32>,
) -> Counted {
    grow(counts, distinct.len());
    let negative = u32::from(signed);
    let (mut start, mut squares, mut both_signs) = (0, 0, false);
    let mut before = !distinct.first().copied().unwrap_or(0);
    let outs = indices.iter_mut().zip(&mut *counts);
    for ((&key, &end), (index, count)) in distinct.iter().zip(ends).zip(outs) {
        let length = end - start;
        let sign = (key & negative).wrapping_neg(); // all bits, or none
        *index = (key >> 1) as i32;
        *count = ((length ^ sign).wrapping_sub(sign)) as i32;
        squares += u64::from(length) * u64::from(length);
        both_signs |= key ^ before == 1;
        (start, before) = (end, key);
    }
    Counted {
        squares,
        both_signs,
    }
}
