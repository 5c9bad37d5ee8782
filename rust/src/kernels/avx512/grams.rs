//! Words to the hashes of runs of them: murmur3 in 16 lanes, 16 bytes of each at a time.
//!
//! ```text
//! for each 16 runs:
//!     for their first 16 bytes, and if one has more for the next 16:
//!         load them, transpose them to four registers of one key a run
//!         for each of the four: clear what is behind the end; mix it in; mix the hash where the key was whole
//!     xor the lengths in, finish
//!     a run of more than 32 bytes: the scalar twin
//! ```

use super::memory::{LANES, extend, load_quarters, load_seconds};
use crate::kernels::portable;
use std::arch::x86_64::*;

/// Bytes of each run that are mixed in at a time, and in all.
const PIECE: i32 = 16;
const MOST: i32 = 2 * PIECE;

/// A start and an end.
type Edges = [u32; 2];

/// See [`crate::kernels::Kernels::grams`].
#[target_feature(enable = "avx512vbmi2")]
pub fn grams(text: &[u8], edges: &[u32], n: usize, seed: u32, hashes: &mut Vec<u32>) {
    let words = edges.as_chunks().0;
    let lasts = words.get(n - 1..).unwrap_or_default();
    let firsts = &words[..lasts.len()];
    extend(hashes, lasts.len(), |i| {
        let (firsts, lasts) = (&firsts[i..], &lasts[i..]);
        match (firsts.first_chunk(), lasts.first_chunk()) {
            (Some(firsts), Some(lasts)) => murmur3(text, firsts, lasts, seed),
            _ => murmur3(text, &padded(firsts), &padded(lasts), seed),
        }
    });
}

fn padded(edges: &[Edges]) -> [Edges; LANES] {
    let mut padded = [[0; 2]; LANES];
    padded
        .iter_mut()
        .zip(edges)
        .for_each(|(padded, edges)| *padded = *edges);
    padded
}

/// The hashes of the bytes from the starts of `firsts` to the ends of `lasts`.
#[inline]
#[target_feature(enable = "avx512vbmi2")]
fn murmur3(text: &[u8], firsts: &[Edges; LANES], lasts: &[Edges; LANES], seed: u32) -> __m512i {
    let lengths = _mm512_sub_epi32(load_seconds::<1>(lasts), load_seconds::<0>(firsts));
    let pieces = transposed(load_quarters::<0>(text, firsts));
    let mut hash = mix::<0>(pieces, lengths, _mm512_set1_epi32(seed.cast_signed()));
    if longer(lengths, PIECE) != 0 {
        let pieces = transposed(load_quarters::<{ PIECE as usize }>(text, firsts));
        hash = mix::<PIECE>(pieces, lengths, hash);
    }
    hash = finish(_mm512_xor_si512(hash, lengths));
    let mut long = longer(lengths, MOST);
    while long != 0 {
        let i = long.trailing_zeros() as usize;
        long &= long - 1;
        let scalar = portable::murmur3(text, firsts[i][0] as usize, lasts[i][1] as usize, seed);
        hash = _mm512_mask_set1_epi32(hash, 1 << i, scalar.cast_signed());
    }
    hash
}

#[inline]
#[target_feature(enable = "avx512vbmi2")]
fn longer(lengths: __m512i, than: i32) -> u16 {
    _mm512_cmpgt_epu32_mask(lengths, _mm512_set1_epi32(than))
}

/// Mixes the bytes from `DONE` on, up to 16, into the hashes.
#[inline]
#[target_feature(enable = "avx512vbmi2")]
fn mix<const DONE: i32>(keys: [__m512i; 4], lengths: __m512i, mut hash: __m512i) -> __m512i {
    let last_bytes = _mm512_and_si512(lengths, _mm512_set1_epi32(3));
    let tails = _mm512_setr_epi32(
        0, 0xff, 0xffff, 0xff_ffff, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    );
    let tail = _mm512_permutexvar_epi32(last_bytes, tails);
    let mut reached = if DONE == 0 { !0 } else { longer(lengths, DONE) };
    for (key, end) in keys.into_iter().zip((DONE..).step_by(4)) {
        let whole = longer(lengths, end + 3);
        let keep = _mm512_mask_mov_epi32(tail, whole, _mm512_set1_epi32(-1));
        let mixed = _mm512_xor_si512(hash, mix_key(_mm512_maskz_and_epi32(reached, key, keep)));
        hash = mix_hash(mixed, whole);
        reached = whole;
    }
    hash
}

/// Number `j` of each quarter of the rows to register `j`.
#[inline]
#[target_feature(enable = "avx512vbmi2")]
fn transposed([a, b, c, d]: [__m512i; 4]) -> [__m512i; 4] {
    let (low_ab, high_ab) = (_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
    let (low_cd, high_cd) = (_mm512_unpacklo_epi32(c, d), _mm512_unpackhi_epi32(c, d));
    [
        _mm512_unpacklo_epi64(low_ab, low_cd),
        _mm512_unpackhi_epi64(low_ab, low_cd),
        _mm512_unpacklo_epi64(high_ab, high_cd),
        _mm512_unpackhi_epi64(high_ab, high_cd),
    ]
}

#[inline]
#[target_feature(enable = "avx512vbmi2")]
pub fn mix_key(key: __m512i) -> __m512i {
    let key = _mm512_mullo_epi32(key, _mm512_set1_epi32(0xcc9e_2d51_u32.cast_signed()));
    _mm512_mullo_epi32(_mm512_rol_epi32::<15>(key), _mm512_set1_epi32(0x1b87_3593))
}

/// Mixed where the key was whole.
#[inline]
#[target_feature(enable = "avx512vbmi2")]
pub fn mix_hash(hash: __m512i, whole: u16) -> __m512i {
    let turned = _mm512_rol_epi32::<13>(hash);
    let five = _mm512_add_epi32(_mm512_slli_epi32::<2>(turned), turned);
    _mm512_mask_add_epi32(
        hash,
        whole,
        five,
        _mm512_set1_epi32(0xe654_6b64_u32.cast_signed()),
    )
}

#[inline]
#[target_feature(enable = "avx512vbmi2")]
pub fn finish(mut hash: __m512i) -> __m512i {
    hash = _mm512_xor_si512(hash, _mm512_srli_epi32::<16>(hash));
    hash = _mm512_mullo_epi32(hash, _mm512_set1_epi32(0x85eb_ca6b_u32.cast_signed()));
    hash = _mm512_xor_si512(hash, _mm512_srli_epi32::<13>(hash));
    hash = _mm512_mullo_epi32(hash, _mm512_set1_epi32(0xc2b2_ae35_u32.cast_signed()));
    _mm512_xor_si512(hash, _mm512_srli_epi32::<16>(hash))
}
