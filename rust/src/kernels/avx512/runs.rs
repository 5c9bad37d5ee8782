//! Sorted keys to the distinct ones: where a key differs from the next one, its run ends.

use super::memory::{LANES, first_16, load, load_first, store};
use crate::kernels::portable::grow;
use std::arch::x86_64::*;

/// See [`crate::kernels::Kernels::runs`].
#[target_feature(enable = "avx512vbmi2,popcnt")]
pub fn runs(keys: &[u32], distinct: &mut Vec<u32>, ends: &mut Vec<u32>) -> usize {
    grow(distinct, keys.len() + LANES);
    grow(ends, keys.len() + LANES);
    let Some(&last) = keys.last() else { return 0 };
    let numbers = _mm512_setr_epi32(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16);
    let other = _mm512_set1_epi32((!last).cast_signed());
    let mut count = 0;
    for at in (0..keys.len()).step_by(LANES) {
        let (here, next) = (&keys[at..], &keys[at + 1..]);
        let (here, next, valid) = match (here.first_chunk(), next.first_chunk()) {
            (Some(here), Some(next)) => (load(here), load(next), !0),
            _ => (
                load_first(here, other),
                load_first(next, other),
                first_16(here.len()),
            ),
        };
        let end = _mm512_mask_cmpneq_epu32_mask(valid, here, next);
        let rooms = (
            distinct[count..].first_chunk_mut(),
            ends[count..].first_chunk_mut(),
        );
        if let (Some(distinct), Some(ends)) = rooms {
            store(distinct, _mm512_maskz_compress_epi32(end, here));
            let places = _mm512_add_epi32(numbers, _mm512_set1_epi32((at as u32).cast_signed()));
            store(ends, _mm512_maskz_compress_epi32(end, places));
        }
        count += end.count_ones() as usize;
    }
    count
}
