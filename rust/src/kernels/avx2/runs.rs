//! Sorted keys to the distinct ones: eight keys are compared with those behind them, and those that differ are packed.

use super::access::{load, store_at};
use super::places::places;
use crate::kernels::portable::grow;
use std::arch::x86_64::{
    __m256i, _mm256_add_epi32, _mm256_castsi256_ps, _mm256_cmpeq_epi32, _mm256_movemask_ps,
    _mm256_permutevar8x32_epi32, _mm256_set1_epi32, _mm256_setr_epi32,
};

/// See [`crate::kernels::Kernels::runs`].
#[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
pub fn runs(keys: &[u32], distinct: &mut Vec<u32>, ends: &mut Vec<u32>) -> usize {
    grow(distinct, keys.len() + 8);
    grow(ends, keys.len() + 8);
    let Some(&last) = keys.last() else {
        return 0;
    };
    let nexts = &keys[1..];
    let (distinct, ends) = (&mut distinct[..keys.len() + 8], &mut ends[..keys.len() + 8]);
    let mut count = 0;
    let mut end = _mm256_setr_epi32(1, 2, 3, 4, 5, 6, 7, 8);
    let mut put = |eight: __m256i, end: __m256i, differs: u8| {
        let places = places(differs);
        // SAFETY: no more keys were counted than there are before these, so that the eight lanes end inside the
        // eight that the buffers have more than keys.
        unsafe {
            store_at(distinct, count, _mm256_permutevar8x32_epi32(eight, places));
            store_at(ends, count, _mm256_permutevar8x32_epi32(end, places));
        }
        count += differs.count_ones() as usize;
    };
    let blocks = keys.as_chunks().0.iter().zip(nexts.as_chunks().0);
    for (eight, next) in blocks {
        let eight = load(eight);
        put(eight, end, !equal(eight, load(next)));
        end = _mm256_add_epi32(end, _mm256_set1_epi32(8));
    }
    // One to eight keys are left; the last of all differs from what is put behind it.
    let rest = &keys[nexts.len() / 8 * 8..];
    let mut padded = [!last; 9];
    padded[..rest.len()].copy_from_slice(rest);
    let [eight, next] = [0, 1].map(|from| {
        padded[from..]
            .first_chunk()
            .map_or(end, |chunk| load(chunk))
    });
    put(eight, end, !equal(eight, next) & (0xff >> (8 - rest.len())));
    count
}

/// One bit a lane: whether the two are equal.
#[inline]
#[target_feature(enable = "avx2")]
fn equal(a: __m256i, b: __m256i) -> u8 {
    _mm256_movemask_ps(_mm256_castsi256_ps(_mm256_cmpeq_epi32(a, b))) as u8
}
