//! All slices of a few lengths to their hashes: murmur3 in 16 lanes, which start at 16 bytes in a row.
//!
//! ```text
//! for each 16 starts:
//!     hash ← the seed
//!     for each four bytes of the slices:                     one permutation of 64 bytes for all lanes
//!         for n that end among them:
//!             mix in the bytes before n; finish              the n-gram of each lane
//!             keep those that stay within the text, or hold no space but at their ends
//!         hash ← all four mixed in
//! ```
//!
//! The lengths share what they have in common: the hash of four bytes is the beginning of those of four to seven.

use super::append::Appended;
use super::grams::{finish, mix_hash, mix_key};
use super::memory::{BYTES, LANES, first_16, load_bytes, load_first_bytes};
use crate::kernels::Windows;
use crate::kernels::portable::windows_by;
use std::arch::x86_64::*;

/// The longest n-gram of a word: the spaces in the slices from 16 starts must be in one mask.
const LONGEST: usize = BYTES - LANES;

/// See [`crate::kernels::Kernels::windows`].
#[target_feature(enable = "avx512vbmi,avx512vbmi2,popcnt")]
pub fn windows(text: &[u8], length: usize, windows: Windows, hashes: &mut Vec<u32>) {
    windows_by::<LONGEST>(text, length, windows, hashes, |words, greatest, hashes| {
        let windows = Windows {
            greatest,
            ..windows
        };
        if words {
            slices::<true>(text, length, windows, hashes);
        } else {
            slices::<false>(text, length, windows, hashes);
        }
    });
}

#[inline]
#[target_feature(enable = "avx512vbmi,avx512vbmi2,popcnt")]
fn slices<const WORDS: bool>(
    text: &[u8],
    length: usize,
    Windows {
        least,
        greatest,
        seed,
        ..
    }: Windows,
    hashes: &mut Vec<u32>,
) {
    let sizes = (greatest + 1).saturating_sub(least);
    for start in (0..length).step_by(LANES) {
        let mut appended = Appended::new(hashes, sizes * LANES);
        let spaces = if WORDS { spaces(text, start) } else { 0 };
        let mut inner = 0;
        let mut hash = _mm512_set1_epi32(seed.cast_signed());
        for from in (0..=greatest.min(length - start)).step_by(4) {
            let key = fours(text, start + from);
            for n in from..from + 4 {
                if WORDS && n > 2 {
                    inner |= spaces >> (n - 2);
                }
                if n < least || n > greatest {
                    continue;
                }
                let fits = first_16((length + 1).saturating_sub(start + n));
                let gram = gram(hash, key, n - from, n);
                appended.push(fits & !inner as u16, gram);
            }
            hash = mix_hash(_mm512_xor_si512(hash, mix_key(key)), !0);
        }
        appended.finish();
    }
}

/// One bit for each of the 64 bytes from `at` on, up to the end of the text: whether it is a space.
#[inline]
#[target_feature(enable = "avx512vbmi,avx512vbmi2")]
fn spaces(text: &[u8], at: usize) -> u64 {
    _mm512_cmpeq_epi8_mask(bytes_at(text, at), _mm512_set1_epi8(b' '.cast_signed()))
}

#[inline]
#[target_feature(enable = "avx512vbmi,avx512vbmi2")]
fn bytes_at(text: &[u8], at: usize) -> __m512i {
    let rest = text.get(at..).unwrap_or_default();
    match rest.first_chunk() {
        Some(bytes) => load_bytes(bytes),
        None => load_first_bytes(rest),
    }
}

/// The four bytes from each of 16 places in a row.
#[inline]
#[target_feature(enable = "avx512vbmi,avx512vbmi2")]
fn fours(text: &[u8], at: usize) -> __m512i {
    _mm512_permutexvar_epi8(load_bytes(&FOURS), bytes_at(text, at))
}

static FOURS: [u8; BYTES] = {
    let mut fours = [0; BYTES];
    let mut i = 0;
    while i < BYTES {
        fours[i] = (i / 4 + i % 4) as u8;
        i += 1;
    }
    fours
};

/// The hash with the lowest `rest` bytes (up to three) of the last key, and of `n` bytes altogether.
#[inline]
#[target_feature(enable = "avx512vbmi,avx512vbmi2")]
fn gram(mut hash: __m512i, key: __m512i, rest: usize, n: usize) -> __m512i {
    if rest > 0 {
        let keep = _mm512_set1_epi32((1 << (8 * rest)) - 1);
        hash = _mm512_xor_si512(hash, mix_key(_mm512_and_si512(key, keep)));
    }
    finish(_mm512_xor_si512(
        hash,
        _mm512_set1_epi32((n as u32).cast_signed()),
    ))
}
