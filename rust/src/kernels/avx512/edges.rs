//! A mask of word characters to the edges of the words.
//!
//! ```text
//! kept      a bit without neighbours is a word of one byte: dropped unless it is asked for
//! changes   an edge is where a bit differs from the one before
//! places    the numbers 0 to 63, compressed by the changes and widened to 32 bits
//! ```

use super::memory::{BYTES, LANES, load_bytes, store};
use crate::kernels::portable::grow;
use std::arch::x86_64::*;

/// Edges written per mask word without looking: ordinary text has about 20 in 64 bytes.
const UNASKED: usize = 2 * LANES;

/// See [`crate::kernels::Kernels::edges`].
#[target_feature(enable = "avx512vbmi2,popcnt")]
pub fn edges(mask: &[u64], singles: bool, edges: &mut Vec<u32>) -> usize {
    grow(edges, (mask.len() + 1) * BYTES);
    let mut base = _mm512_setzero_si512();
    let (mut count, mut last) = (0, 0);
    for (kept, changes) in changes(mask, singles) {
        count += write(changes, base, &mut edges[count..]);
        base = _mm512_add_epi32(base, _mm512_set1_epi32(BYTES as i32));
        last = kept >> 63;
    }
    edges[count] = (mask.len() * BYTES) as u32;
    count + last as usize
}

/// The bytes of words (of those of one byte only if `singles`), and where a byte differs from the one before in that,
/// 64 after 64.
#[inline(always)]
pub fn changes(mask: &[u64], singles: bool) -> impl Iterator<Item = (u64, u64)> {
    let all = if singles { u64::MAX } else { 0 };
    let (mut word_before, mut kept_before) = (0, 0);
    mask.iter().enumerate().map(move |(i, &word)| {
        let next = mask.get(i + 1).map_or(0, |next| next << 63);
        let kept = word & (all | (word << 1 | word_before) | (word >> 1 | next));
        let changes = kept ^ (kept << 1 | kept_before);
        (word_before, kept_before) = (word >> 63, kept >> 63);
        (kept, changes)
    })
}

/// Writes the place of each set bit, plus `base`, if there is room for 64; returns how many there are.
#[inline]
#[target_feature(enable = "avx512vbmi2,popcnt")]
pub fn write(bits: u64, base: __m512i, edges: &mut [u32]) -> usize {
    let places = _mm512_maskz_compress_epi8(bits, load_bytes(&NUMBERS));
    let here = bits.count_ones() as usize;
    if let Some(room) = edges.first_chunk_mut::<BYTES>() {
        let (room, _) = room.as_chunks_mut::<LANES>();
        store(&mut room[0], wide::<0>(places, base));
        store(&mut room[1], wide::<1>(places, base));
        if here > UNASKED {
            store(&mut room[2], wide::<2>(places, base));
            store(&mut room[3], wide::<3>(places, base));
        }
    }
    here
}

/// The bytes of a quarter, each as 32 bits, plus `base`.
#[inline]
#[target_feature(enable = "avx512vbmi2")]
fn wide<const QUARTER: i32>(bytes: __m512i, base: __m512i) -> __m512i {
    _mm512_add_epi32(
        _mm512_cvtepu8_epi32(_mm512_extracti32x4_epi32::<QUARTER>(bytes)),
        base,
    )
}

static NUMBERS: [u8; BYTES] = {
    let mut numbers = [0; BYTES];
    let mut i = 0;
    while i < BYTES {
        numbers[i] = i as u8;
        i += 1;
    }
    numbers
};
