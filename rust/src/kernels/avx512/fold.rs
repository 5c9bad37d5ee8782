//! Hashes to the keys of features.
//!
//! ```text
//! magnitude & (n - 1)                        if the number of features n is a power of two
//! magnitude - n * floor(magnitude * (1/n))   else, in double precision; n more where that is one too small
//! ```
//!
//! The quotient is never too great: to the next whole number it lacks at least 1/n, which is more than 2^-33 of it,
//! and two roundings to 53 bits add less.

use super::memory::{LANES, extend, load_first};
use crate::kernels::Fold;
use std::arch::x86_64::*;

/// See [`crate::kernels::Kernels::fold`].
#[target_feature(enable = "avx512vbmi2")]
pub fn fold(hashes: &[u32], fold: Fold, signed: bool, keys: &mut Vec<u32>) {
    match (fold.is_power_of_two(), signed) {
        (false, false) => fold_as::<false, false>(hashes, fold, keys),
        (false, true) => fold_as::<false, true>(hashes, fold, keys),
        (true, false) => fold_as::<true, false>(hashes, fold, keys),
        (true, true) => fold_as::<true, true>(hashes, fold, keys),
    }
}

#[inline]
#[target_feature(enable = "avx512vbmi2")]
fn fold_as<const MASK: bool, const SIGNED: bool>(hashes: &[u32], fold: Fold, keys: &mut Vec<u32>) {
    keys.clear();
    let n_features = _mm512_set1_epi32((fold.n_features as u32).cast_signed());
    let below = _mm512_sub_epi32(n_features, _mm512_set1_epi32(1));
    let inverse = _mm512_set1_pd(1.0 / fold.n_features as f64);
    extend(keys, hashes.len(), |i| {
        let hash = load_first(&hashes[i..], _mm512_setzero_si512());
        let magnitude = _mm512_abs_epi32(hash);
        let feature = if MASK {
            _mm512_and_si512(magnitude, below)
        } else {
            remainder(magnitude, n_features, inverse)
        };
        if SIGNED {
            _mm512_or_si512(
                _mm512_slli_epi32::<1>(feature),
                _mm512_srli_epi32::<31>(hash),
            )
        } else {
            feature
        }
    });
}

const _: () = assert!(LANES == 16);

#[inline]
#[target_feature(enable = "avx512vbmi2")]
fn remainder(magnitude: __m512i, n_features: __m512i, inverse: __m512d) -> __m512i {
    let low = quotient(_mm512_castsi512_si256(magnitude), inverse);
    let high = quotient(_mm512_extracti64x4_epi64::<1>(magnitude), inverse);
    let quotients = _mm512_inserti64x4::<1>(_mm512_castsi256_si512(low), high);
    let rest = _mm512_sub_epi32(magnitude, _mm512_mullo_epi32(quotients, n_features));
    // What is less than n becomes huge when n is taken away.
    _mm512_min_epu32(rest, _mm512_sub_epi32(rest, n_features))
}

#[inline]
#[target_feature(enable = "avx512vbmi2")]
fn quotient(magnitude: __m256i, inverse: __m512d) -> __m256i {
    _mm512_cvttpd_epu32(_mm512_mul_pd(_mm512_cvtepu32_pd(magnitude), inverse))
}
