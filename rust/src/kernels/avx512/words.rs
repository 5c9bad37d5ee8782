//! ASCII text to lower case and one bit a byte: word character or not.
//!
//! ```text
//! table[byte]    its lower case, and 128 if it is a letter, a digit or _
//! look-up        64 bytes at once, by their lowest 7 bits
//! bit 7 of the look-up      the mask; a byte whose own bit 7 is set is copied and is no word
//! ```

use super::memory::{BYTES, load_bytes, load_first_bytes, store_bytes};
use crate::kernels::SLACK;
use crate::kernels::portable::grow;
use std::arch::x86_64::*;

/// See [`crate::kernels::Kernels::words`].
#[target_feature(enable = "avx512vbmi2,avx512vbmi")]
pub fn words(text: &[u8], lowercase: bool, lowered: &mut Vec<u8>, mask: &mut Vec<u64>) -> bool {
    grow(lowered, text.len().next_multiple_of(BYTES) + SLACK);
    mask.clear();
    mask.reserve(text.len().div_ceil(BYTES));
    let table = if lowercase { &LOWERED } else { &PLAIN };
    let table = [load_bytes(&table[0]), load_bytes(&table[1])];
    let (blocks, rest) = text.as_chunks::<BYTES>();
    let (outs, _) = lowered.as_chunks_mut::<BYTES>();
    let mut all = _mm512_setzero_si512();
    mask.extend(blocks.iter().zip(&mut *outs).map(|(block, out)| {
        let block = load_bytes(block);
        all = _mm512_or_si512(all, block);
        classify(block, table, out)
    }));
    if !rest.is_empty() {
        let block = load_first_bytes(rest);
        all = _mm512_or_si512(all, block);
        mask.push(classify(block, table, &mut outs[blocks.len()]));
    }
    _mm512_movepi8_mask(all) == 0
}

#[inline]
#[target_feature(enable = "avx512vbmi2,avx512vbmi")]
fn classify(block: __m512i, table: [__m512i; 2], lowered: &mut [u8; BYTES]) -> u64 {
    let found = _mm512_permutex2var_epi8(table[0], block, table[1]);
    let high = _mm512_movepi8_mask(block);
    let lower = _mm512_and_si512(found, _mm512_set1_epi8(0x7f));
    store_bytes(lowered, _mm512_mask_mov_epi8(lower, high, block));
    _mm512_movepi8_mask(found) & !high
}

static LOWERED: [[u8; BYTES]; 2] = [table(0, true), table(64, true)];
static PLAIN: [[u8; BYTES]; 2] = [table(0, false), table(64, false)];

const fn table(first: u8, lowercase: bool) -> [u8; BYTES] {
    let mut table = [0; BYTES];
    let mut i = 0;
    while i < BYTES {
        let byte = first + i as u8;
        let word = byte.is_ascii_alphanumeric() || byte == b'_';
        let lower = if lowercase {
            byte.to_ascii_lowercase()
        } else {
            byte
        };
        table[i] = lower | if word { 0x80 } else { 0 };
        i += 1;
    }
    table
}
