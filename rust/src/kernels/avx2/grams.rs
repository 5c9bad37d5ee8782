//! Words to the hashes of runs of them: murmur3 of eight at once.
//!
//! ```text
//! for each eight runs:
//!     repeat until nothing is left of any:
//!         16 bytes of each, transposed to four vectors of keys
//!         for key j of 4:
//!             key  ← the bytes that are left of it, else 0, whose mix is 0
//!             hash ← hash ^ mix(key); stepped on where all four bytes are left
//!     finish
//! ```
//!
//! One word in a hundred is longer than 16 bytes, so nearly all eights go round once.

use super::access::{load, load_16_at, store};
use crate::kernels::SLACK;
use std::arch::x86_64::{
    __m256i, _mm256_add_epi32, _mm256_and_si256, _mm256_andnot_si256, _mm256_blendv_epi8,
    _mm256_castps_si256, _mm256_castsi128_si256, _mm256_castsi256_ps, _mm256_cmpeq_epi32,
    _mm256_cmpgt_epi32, _mm256_inserti128_si256, _mm256_max_epu32, _mm256_min_epu32,
    _mm256_movemask_epi8, _mm256_mullo_epi32, _mm256_or_si256, _mm256_permute4x64_epi64,
    _mm256_set1_epi32, _mm256_setzero_si256, _mm256_shuffle_ps, _mm256_slli_epi32,
    _mm256_sllv_epi32, _mm256_srli_epi32, _mm256_sub_epi32, _mm256_subs_epu16, _mm256_testz_si256,
    _mm256_unpackhi_epi32, _mm256_unpackhi_epi64, _mm256_unpacklo_epi32, _mm256_unpacklo_epi64,
    _mm256_xor_si256,
};

/// See [`crate::kernels::Kernels::grams`].
#[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
pub fn grams(text: &[u8], edges: &[u32], n: usize, hashes: &mut Vec<u32>) {
    let Some(lasts) = edges.get(2 * (n - 1)..) else {
        return;
    };
    let firsts = &edges[..lasts.len()];
    let start = hashes.len();
    hashes.resize(start + lasts.len() / 2, 0);
    let (eights, rest) = hashes[start..].as_chunks_mut::<8>();
    let (firsts, first_rest) = firsts.as_chunks::<16>();
    let (lasts, last_rest) = lasts.as_chunks::<16>();
    for ((out, first), last) in eights.iter_mut().zip(firsts).zip(lasts) {
        store(out, eight(text, first, last));
    }
    if !rest.is_empty() {
        let (mut first, mut last, mut out) = ([0; 16], [0; 16], [0; 8]);
        first[..first_rest.len()].copy_from_slice(first_rest);
        last[..last_rest.len()].copy_from_slice(last_rest);
        store(&mut out, eight(text, &first, &last));
        rest.copy_from_slice(&out[..rest.len()]);
    }
}

/// The hashes of eight runs: from the first edge of each pair in `first` to the second of each in `last`.
#[inline]
#[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
fn eight(text: &[u8], first: &[u32; 16], last: &[u32; 16]) -> __m256i {
    let starts = every_second::<0b10_00_10_00>(first);
    let ends = every_second::<0b11_01_11_01>(last);
    let length = _mm256_sub_epi32(ends, starts);
    let (mut at, mut rest) = (starts, length);
    let mut hash = _mm256_setzero_si256();
    let addresses = [
        first[0], first[2], first[8], first[10], first[4], first[6], first[12], first[14],
    ];
    let mut blocks = transposed(text, at, addresses);
    loop {
        let here = _mm256_min_epu32(rest, splat(16));
        for (j, key) in blocks.into_iter().enumerate() {
            hash = step(hash, key, here, j as u32);
        }
        rest = _mm256_sub_epi32(rest, here);
        if _mm256_testz_si256(rest, rest) == 1 {
            break;
        }
        at = _mm256_add_epi32(at, here);
        let mut addresses = [0; 8];
        store(&mut addresses, at);
        blocks = transposed(text, at, addresses);
    }
    _mm256_permute4x64_epi64::<0b11_01_10_00>(finish(_mm256_xor_si256(hash, length)))
}

/// Every second number, in the order 0, 1, 4, 5, 2, 3, 6, 7, for which no lane has to cross the middle.
#[inline]
#[target_feature(enable = "avx2")]
fn every_second<const WHICH: i32>(edges: &[u32; 16]) -> __m256i {
    let [low, high] = [0, 1].map(|i| _mm256_castsi256_ps(load(&edges.as_chunks().0[i])));
    _mm256_castps_si256(_mm256_shuffle_ps::<WHICH>(low, high))
}

/// The 16 bytes at each address as four vectors: number `j` of all eight in vector `j`.
///
/// # Panics
/// If an address is not [`SLACK`] bytes before the end of the text.
#[inline]
#[target_feature(enable = "avx2")]
fn transposed(text: &[u8], at: __m256i, addresses: [u32; 8]) -> [__m256i; 4] {
    let most = splat(text.len().saturating_sub(SLACK).min(u32::MAX as usize) as u32);
    let inside = _mm256_cmpeq_epi32(_mm256_max_epu32(at, most), most);
    assert!(
        _mm256_movemask_epi8(inside) == -1 && text.len() >= SLACK,
        "an edge behind the text"
    );
    // SAFETY: `addresses` are the lanes of `at`, none of which is greater than the text's length less `SLACK`.
    let sixteen = addresses.map(|address| unsafe { load_16_at(text, address as usize) });
    let row =
        |i: usize| _mm256_inserti128_si256::<1>(_mm256_castsi128_si256(sixteen[i]), sixteen[i + 4]);
    let low = _mm256_unpacklo_epi32(row(0), row(1));
    let high = _mm256_unpackhi_epi32(row(0), row(1));
    let low_2 = _mm256_unpacklo_epi32(row(2), row(3));
    let high_2 = _mm256_unpackhi_epi32(row(2), row(3));
    [
        _mm256_unpacklo_epi64(low, low_2),
        _mm256_unpackhi_epi64(low, low_2),
        _mm256_unpacklo_epi64(high, high_2),
        _mm256_unpackhi_epi64(high, high_2),
    ]
}

/// Takes in key `j` of the 16 bytes of which `here` are left.
#[inline]
#[target_feature(enable = "avx2")]
fn step(hash: __m256i, key: __m256i, here: __m256i, j: u32) -> __m256i {
    // Bits that are left from this key on; 32 and more shift the mask of what is not left away.
    let bits = _mm256_subs_epu16(_mm256_slli_epi32::<3>(here), splat(32 * j));
    let key = _mm256_andnot_si256(_mm256_sllv_epi32(splat(u32::MAX), bits), key);
    let mixed = _mm256_xor_si256(
        hash,
        multiplied(rotated::<15, 17>(multiplied(key, 0xcc9e_2d51)), 0x1b87_3593),
    );
    let rotated = rotated::<13, 19>(mixed);
    let five_times = _mm256_add_epi32(_mm256_slli_epi32::<2>(rotated), rotated);
    let stepped = _mm256_add_epi32(five_times, splat(0xe654_6b64));
    let whole = _mm256_cmpgt_epi32(here, splat(4 * j + 3));
    _mm256_blendv_epi8(mixed, stepped, whole)
}

#[inline]
#[target_feature(enable = "avx2")]
fn finish(hash: __m256i) -> __m256i {
    let hash = _mm256_xor_si256(hash, _mm256_srli_epi32::<16>(hash));
    let hash = multiplied(hash, 0x85eb_ca6b);
    let hash = _mm256_xor_si256(hash, _mm256_srli_epi32::<13>(hash));
    let hash = multiplied(hash, 0xc2b2_ae35);
    _mm256_xor_si256(hash, _mm256_srli_epi32::<16>(hash))
}

#[inline]
#[target_feature(enable = "avx2")]
fn multiplied(lanes: __m256i, by: u32) -> __m256i {
    _mm256_mullo_epi32(lanes, splat(by))
}

/// Rotated left by `LEFT`; `RIGHT` is 32 less that.
#[inline]
#[target_feature(enable = "avx2")]
fn rotated<const LEFT: i32, const RIGHT: i32>(lanes: __m256i) -> __m256i {
    _mm256_or_si256(
        _mm256_slli_epi32::<LEFT>(lanes),
        _mm256_srli_epi32::<RIGHT>(lanes),
    )
}

#[inline]
#[target_feature(enable = "avx2")]
fn splat(number: u32) -> __m256i {
    _mm256_set1_epi32(number.cast_signed())
}
