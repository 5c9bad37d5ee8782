//! ASCII text made ready for n-grams of characters, 64 bytes a step.
//!
//! ```text
//! space    9 to 13, 28 to 32
//! a space that is replaced    any (words), one before another (text)
//! a byte that is kept         any but a space behind a space: compressed to the end of what is written
//! ```

use super::memory::{BYTES, load_bytes, load_first_bytes, store_bytes};
use crate::kernels::portable::{grow, is_space};
use crate::kernels::{SLACK, Within};
use std::arch::x86_64::*;

/// See [`crate::kernels::Kernels::squeeze`].
#[target_feature(enable = "avx512vbmi,avx512vbmi2,popcnt")]
pub fn squeeze(text: &[u8], lowercase: bool, within: Within, squeezed: &mut Vec<u8>) -> usize {
    grow(squeezed, text.len() + 2 + BYTES + SLACK);
    let words = within == Within::Words;
    let (mut at, mut after_space) = (0, 0);
    if words {
        squeezed[0] = b' ';
        (at, after_space) = (1, 1);
    }
    let (blocks, rest) = text.as_chunks::<BYTES>();
    for i in 0..text.len().div_ceil(BYTES) {
        let block = match blocks.get(i) {
            Some(block) => load_bytes(block),
            None => load_first_bytes(rest),
        };
        let valid = match blocks.get(i) {
            Some(_) => !0,
            None => (1 << rest.len()) - 1,
        };
        let space = valid & (below(block, 9, 5) | below(block, 0x1c, 5));
        let next = text
            .get((i + 1) * BYTES)
            .is_some_and(|&byte| is_space(byte));
        let followed = space >> 1 | u64::from(next) << 63;
        let replaced = space & if words { !0 } else { followed };
        let kept = valid & !(space & (space << 1 | after_space));
        let upper = if lowercase { below(block, b'A', 26) } else { 0 };
        let lowered = _mm512_mask_add_epi8(block, upper, block, _mm512_set1_epi8(0x20));
        let replaced =
            _mm512_mask_mov_epi8(lowered, replaced, _mm512_set1_epi8(b' '.cast_signed()));
        if let Some(room) = squeezed.get_mut(at..).and_then(<[_]>::first_chunk_mut) {
            store_bytes(room, _mm512_maskz_compress_epi8(kept, replaced));
        }
        at += kept.count_ones() as usize;
        after_space = space >> 63;
    }
    if !words {
        return at;
    }
    if squeezed[at - 1] != b' ' {
        squeezed[at] = b' ';
        at += 1;
    }
    if at == 1 { 0 } else { at }
}

/// One bit for each byte: whether it is one of the `count` from `first` on.
#[inline]
#[target_feature(enable = "avx512vbmi,avx512vbmi2")]
fn below(bytes: __m512i, first: u8, count: u8) -> u64 {
    let from = _mm512_sub_epi8(bytes, _mm512_set1_epi8(first.cast_signed()));
    _mm512_cmplt_epu8_mask(from, _mm512_set1_epi8(count.cast_signed()))
}
