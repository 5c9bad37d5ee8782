//! A mask of word characters to the edges of the words: eight places at once from a table.

use super::access::store_at;
use super::places::places;
use crate::kernels::portable::{BLOCK, edges_by};
use std::arch::x86_64::{_mm256_add_epi32, _mm256_set1_epi32};

/// See [`crate::kernels::Kernels::edges`].
#[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
pub fn edges(mask: &[u64], singles: bool, edges: &mut Vec<u32>) -> usize {
    edges_by(mask, singles, edges, |bits, base, out| {
        positions(bits, base, out)
    })
}

/// Writes `base` plus the place of each set bit; returns how many there are. What is behind them is rubbish.
#[inline]
#[target_feature(enable = "avx2,popcnt")]
fn positions(bits: u64, base: u32, out: &mut [u32; BLOCK]) -> usize {
    let (mut count, mut base) = (0, _mm256_set1_epi32(base.cast_signed()));
    for byte in bits.to_le_bytes() {
        // SAFETY: the bytes before this one, `i` of them, have at most `8 * i` set bits, so that this ends at
        // `8 * i + 8`, which is 64 at most.
        unsafe { store_at(out, count, _mm256_add_epi32(places(byte), base)) };
        count += byte.count_ones() as usize;
        base = _mm256_add_epi32(base, _mm256_set1_epi32(8));
    }
    count
}
