//! Words with one space between them.
//!
//! ```text
//! join    the portable loop: words that are left out follow no pattern that a vector could use
//! pack    64 bytes a step: a space where a word ends; the words and those spaces, compressed
//!         the edges, moved to where their bytes went: bits of one mask taken out of another
//! ```

use super::edges::{changes, write};
use super::memory::{BYTES, load_bytes, load_first_bytes, store_bytes};
use crate::kernels::SLACK;
use crate::kernels::portable::{self, grow};
use std::arch::x86_64::*;

/// See [`crate::kernels::Kernels::join`].
#[target_feature(enable = "avx512vbmi2")]
pub fn join(text: &[u8], edges: &mut [u32], joined: &mut Vec<u8>) {
    portable::join(text, edges, joined);
}

/// See [`crate::kernels::Kernels::pack`].
#[target_feature(enable = "avx512vbmi2,bmi2,popcnt")]
pub fn pack(
    text: &[u8],
    mask: &[u64],
    singles: bool,
    packed: &mut Vec<u8>,
    edges: &mut Vec<u32>,
) -> usize {
    // A space may follow the last byte.
    grow(packed, (mask.len() + 1) * BYTES + SLACK);
    grow(edges, (mask.len() + 1) * BYTES);
    let (blocks, rest) = text.as_chunks();
    let space = _mm512_set1_epi8(b' '.cast_signed());
    let (mut to, mut count, mut last) = (0, 0, 0);
    for (i, (kept, changes)) in changes(mask, singles).enumerate() {
        let block = match blocks.get(i) {
            Some(block) => load_bytes(block),
            None => load_first_bytes(rest),
        };
        let ends = changes & !kept;
        let taken = kept | ends;
        let spaced = _mm512_mask_mov_epi8(block, ends, space);
        if let Some(room) = packed[to..].first_chunk_mut() {
            store_bytes(room, _mm512_maskz_compress_epi8(taken, spaced));
        }
        let base = _mm512_set1_epi32((to as u32).cast_signed());
        count += write(_pext_u64(changes, taken), base, &mut edges[count..]);
        to += taken.count_ones() as usize;
        last = kept >> 63;
    }
    packed[to] = b' ';
    edges[count] = to as u32;
    count + last as usize
}
