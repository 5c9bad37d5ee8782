//! A mask of word characters to the edges of the words.
//!
//! ```text
//! kept      a bit without neighbours is a word of one byte: dropped unless it is asked for
//! changes   an edge is where a bit differs from the one before
//! places    of the set bits, written without asking how many there are
//! ```

use super::{BLOCK, grow};

/// Positions written per mask word without looking: ordinary text has about 20 edges in 64 bytes.
const UNASKED: usize = 24;

/// See [`crate::kernels::Kernels::edges`].
pub fn edges(mask: &[u64], singles: bool, edges: &mut Vec<u32>) -> usize {
    edges_by(mask, singles, edges, positions)
}

/// The same with any function that writes a base plus the place of each set bit and says how many there are.
#[inline(always)]
pub fn edges_by(
    mask: &[u64],
    singles: bool,
    edges: &mut Vec<u32>,
    positions: impl Fn(u64, u32, &mut [u32; BLOCK]) -> usize,
) -> usize {
    grow(edges, (mask.len() + 1) * BLOCK);
    let all = if singles { u64::MAX } else { 0 };
    let mut count = 0;
    let (mut word_before, mut kept_before) = (0, 0);
    for (i, &word) in mask.iter().enumerate() {
        let next = mask.get(i + 1).map_or(0, |next| next << 63);
        let kept = word & (all | (word << 1 | word_before) | (word >> 1 | next));
        let changes = kept ^ (kept << 1 | kept_before);
        (word_before, kept_before) = (word >> 63, kept >> 63);
        if let Some(room) = edges[count..].first_chunk_mut() {
            count += positions(changes, (i * BLOCK) as u32, room);
        }
    }
    edges[count] = (mask.len() * BLOCK) as u32;
    count + kept_before as usize
}

/// Writes `base` plus the place of each set bit; returns how many there are. What is behind them is rubbish.
#[inline(always)]
fn positions(mut bits: u64, base: u32, out: &mut [u32; BLOCK]) -> usize {
    let count = bits.count_ones() as usize;
    for slot in &mut out[..UNASKED] {
        *slot = base + bits.trailing_zeros();
        bits &= bits.wrapping_sub(1);
    }
    if count > UNASKED {
        for slot in &mut out[UNASKED..count] {
            *slot = base + bits.trailing_zeros();
            bits &= bits.wrapping_sub(1);
        }
    }
    count
}
