//! All slices of a few lengths to their hashes: murmur3 in 8 lanes, which start at 8 bytes in a row.
//!
//! ```text
//! for each 8 starts:
//!     hash ← the seed
//!     for each four bytes of the slices:                     one shuffle of 16 bytes for all lanes
//!         for n that end among them:
//!             mix in the bytes before n; finish              the n-gram of each lane
//!             keep those that stay within the text, or hold no space but at their ends
//!         hash ← all four mixed in
//! ```

use super::access::{load_bytes, store};
use super::grams::{finish, multiplied, rotated, splat};
use super::places::places;
use crate::kernels::portable::windows_by;
use crate::kernels::{SLACK, Windows};
use std::arch::x86_64::{
    __m256i, _mm256_add_epi32, _mm256_and_si256, _mm256_cmpeq_epi8, _mm256_movemask_epi8,
    _mm256_permutevar8x32_epi32, _mm256_set_epi64x, _mm256_set1_epi8, _mm256_set1_epi32,
    _mm256_setr_epi8, _mm256_setzero_si256, _mm256_shuffle_epi8, _mm256_slli_epi32,
    _mm256_xor_si256,
};

const LANES: usize = 8;
/// The longest n-gram of a word: the spaces in the slices from 8 starts must be in one mask of 32 bytes.
const LONGEST: usize = 32 - LANES;

/// See [`crate::kernels::Kernels::windows`].
#[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
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
#[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
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
    let room = ((greatest + 1).saturating_sub(least) + 1) * LANES;
    let mut count = hashes.len();
    for start in (0..length).step_by(LANES) {
        hashes.resize(count + room, 0);
        let spaces = if WORDS { spaces(text, start) } else { 0 };
        let mut inner = 0;
        let mut hash = splat(seed);
        for from in (0..=greatest.min(length - start)).step_by(4) {
            let key = fours(text, start + from);
            for n in from..from + 4 {
                if WORDS && n > 2 {
                    inner |= spaces >> (n - 2);
                }
                if n < least || n > greatest {
                    continue;
                }
                let gram = gram(hash, key, n - from, n);
                let fits = first_lanes((length + 1).saturating_sub(start + n));
                let chosen = fits & !inner as u8;
                if let Some(room) = hashes[count..].first_chunk_mut() {
                    store(room, _mm256_permutevar8x32_epi32(gram, places(chosen)));
                }
                count += chosen.count_ones() as usize;
            }
            hash = mix_hash(_mm256_xor_si256(hash, mix_key(key)));
        }
    }
    hashes.truncate(count);
}

/// One bit for each of the first lanes.
fn first_lanes(count: usize) -> u8 {
    if count < LANES { (1 << count) - 1 } else { !0 }
}

const _: () = assert!(SLACK >= 32, "a load starts inside of the text");

/// One bit for each of the 32 bytes from `at` on: whether it is a space.
#[inline]
#[target_feature(enable = "avx2")]
fn spaces(text: &[u8], at: usize) -> u32 {
    let bytes = text[at..]
        .first_chunk()
        .map_or_else(|| _mm256_setzero_si256(), |bytes| load_bytes(bytes));
    let space = _mm256_cmpeq_epi8(bytes, _mm256_set1_epi8(b' '.cast_signed()));
    _mm256_movemask_epi8(space).cast_unsigned()
}

/// The four bytes from each of 8 places in a row.
#[inline]
#[target_feature(enable = "avx2")]
fn fours(text: &[u8], at: usize) -> __m256i {
    let bytes = text[at..].first_chunk().copied().unwrap_or([0; 16]);
    let bytes = u128::from_le_bytes(bytes);
    let (low, high) = (bytes as i64, (bytes >> 64) as i64);
    let places = _mm256_setr_epi8(
        0, 1, 2, 3, 1, 2, 3, 4, 2, 3, 4, 5, 3, 4, 5, 6, 4, 5, 6, 7, 5, 6, 7, 8, 6, 7, 8, 9, 7, 8,
        9, 10,
    );
    _mm256_shuffle_epi8(_mm256_set_epi64x(high, low, high, low), places)
}

/// The hash with the lowest `rest` bytes (up to three) of the last key, and of `n` bytes altogether.
#[inline]
#[target_feature(enable = "avx2")]
fn gram(mut hash: __m256i, key: __m256i, rest: usize, n: usize) -> __m256i {
    if rest > 0 {
        let keep = _mm256_set1_epi32((1 << (8 * rest)) - 1);
        hash = _mm256_xor_si256(hash, mix_key(_mm256_and_si256(key, keep)));
    }
    finish(_mm256_xor_si256(hash, splat(n as u32)))
}

#[inline]
#[target_feature(enable = "avx2")]
fn mix_key(key: __m256i) -> __m256i {
    multiplied(rotated::<15, 17>(multiplied(key, 0xcc9e_2d51)), 0x1b87_3593)
}

#[inline]
#[target_feature(enable = "avx2")]
fn mix_hash(hash: __m256i) -> __m256i {
    let hash = rotated::<13, 19>(hash);
    let five = _mm256_add_epi32(hash, _mm256_slli_epi32::<2>(hash));
    _mm256_add_epi32(five, splat(0xe654_6b64))
}
