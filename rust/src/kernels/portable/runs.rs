//! Sorted keys to the distinct ones: written at every key, advanced where the next one differs.

use super::grow;

/// See [`crate::kernels::Kernels::runs`].
pub fn runs(keys: &[u32], distinct: &mut Vec<u32>, ends: &mut Vec<u32>) -> usize {
    grow(distinct, keys.len());
    grow(ends, keys.len());
    let Some((&last, _)) = keys.split_last() else {
        return 0;
    };
    let (distinct, ends) = (&mut distinct[..keys.len()], &mut ends[..keys.len()]);
    let nexts = keys[1..].iter().copied().chain([!last]);
    let mut count = 0;
    for ((&key, next), end) in keys.iter().zip(nexts).zip(1..) {
        distinct[count] = key;
        ends[count] = end;
        count += usize::from(key != next);
    }
    count
}
