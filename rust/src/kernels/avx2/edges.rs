//! A mask of word characters to the edges of the words: eight places at once from a table.

use super::access::store_at;
use super::places::places;
use crate::kernels::portable::{BLOCK, edges_by};
use std::arch::x86_64::{_mm256_add_epi32, _mm256_set1_epi32};

/// See [`crate::kernels::Kernels::edges`].
#[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
pub fn edges(mask: &[u64], edges: &mut Vec<u32>) -> usize {
    edges_by(mask, edges, |bits, base, out| positions(bits, base, out))
}

/// Writes `base` plus the place of each set bit; returns how many there are. What is behind them is rubbish.
#[inline]
#[target_feature(enable = "avx2,popcnt")]
fn positions(bits: u64, base: u32, out: &mut [u32; BLOCK]) -> usize {
    let mut count = 0;
    for (i, byte) in bits.to_le_bytes().into_iter().enumerate() {
        let first = base + 8 * i as u32;
        let found = _mm256_add_epi32(places(byte), _mm256_set1_epi32(first.cast_signed()));
        // SAFETY: `i` bytes before have at most `8 * i` set bits, so that this ends at `8 * i + 8`, 64 at most.
        unsafe { store_at(out, count, found) };
        count += byte.count_ones() as usize;
    }
    count
}
