//! Distinct keys and the ends of their runs to features and signed counts, and counts to values.
//!
//! ```text
//! counts      end - end before; negated where the key is odd; squares summed in 32 bits while that suffices
//! quotients   the quotients of 0 to 15 are a table in registers; the sign is put back
//!             16 counts of which one is larger: divided
//! ```

use super::memory::{LANES, Word, load, load_first, store_first, store_first_f64};
use crate::kernels::Counted;
use crate::kernels::portable::grow;
use std::arch::x86_64::*;

/// So many tokens have counts whose squares sum to less than 2^32.
const NARROW: u32 = 1 << 16;

/// See [`crate::kernels::Kernels::counts`].
#[target_feature(enable = "avx512vbmi2")]
pub fn counts(
    distinct: &[u32],
    ends: &[u32],
    signed: bool,
    indices: &mut [i32],
    counts: &mut Vec<i32>,
) -> Counted {
    grow(counts, distinct.len());
    if ends.last().is_none_or(|&end| end < NARROW) {
        counts_as::<false>(distinct, ends, signed, indices, counts)
    } else {
        counts_as::<true>(distinct, ends, signed, indices, counts)
    }
}

#[inline]
#[target_feature(enable = "avx512vbmi2")]
fn counts_as<const WIDE: bool>(
    distinct: &[u32],
    ends: &[u32],
    signed: bool,
    indices: &mut [i32],
    counts: &mut [i32],
) -> Counted {
    let zero = _mm512_setzero_si512();
    let odd = _mm512_set1_epi32(i32::from(signed));
    let ends = &ends[..distinct.len()];
    let (indices, counts) = (
        &mut indices[..distinct.len()],
        &mut counts[..distinct.len()],
    );
    let (mut squares, mut both_signs) = (zero, 0);
    let mut keys_before =
        _mm512_set1_epi32(distinct.first().map_or(0, |first| !first).cast_signed());
    let mut ends_before = zero;
    for at in (0..distinct.len()).step_by(LANES) {
        // Behind the last key stands its complement, and an end that makes the count 0.
        let keys = some(&distinct[at..], _mm512_set1_epi32(-1));
        let here = some(
            &ends[at..],
            _mm512_set1_epi32(ends[ends.len() - 1].cast_signed()),
        );
        let lengths = _mm512_sub_epi32(here, _mm512_alignr_epi32::<15>(here, ends_before));
        let before = _mm512_alignr_epi32::<15>(keys, keys_before);
        let valid = super::memory::first_16(distinct.len() - at);
        both_signs |= _mm512_mask_cmpeq_epu32_mask(
            valid,
            _mm512_xor_si512(keys, before),
            _mm512_set1_epi32(1),
        );
        squares = _mm512_add_epi64(squares, squared::<WIDE>(lengths));
        let negative = _mm512_test_epi32_mask(keys, odd);
        let signed_lengths = _mm512_mask_sub_epi32(lengths, negative, zero, lengths);
        store_first(&mut indices[at..], _mm512_srli_epi32::<1>(keys));
        store_first(&mut counts[at..], signed_lengths);
        (keys_before, ends_before) = (keys, here);
    }
    Counted {
        squares: total::<WIDE>(squares),
        both_signs: both_signs != 0,
    }
}

/// Squares in 64 bits, those of two neighbours added up; or in 32 bits, one for each.
#[inline]
#[target_feature(enable = "avx512vbmi2")]
fn squared<const WIDE: bool>(lengths: __m512i) -> __m512i {
    if WIDE {
        let odds = _mm512_srli_epi64::<32>(lengths);
        _mm512_add_epi64(
            _mm512_mul_epu32(lengths, lengths),
            _mm512_mul_epu32(odds, odds),
        )
    } else {
        _mm512_mullo_epi32(lengths, lengths)
    }
}

#[inline]
#[target_feature(enable = "avx512vbmi2")]
fn total<const WIDE: bool>(squares: __m512i) -> u64 {
    if WIDE {
        return _mm512_reduce_add_epi64(squares).cast_unsigned();
    }
    let low = _mm512_and_si512(squares, _mm512_set1_epi64(0xffff_ffff));
    _mm512_reduce_add_epi64(_mm512_add_epi64(low, _mm512_srli_epi64::<32>(squares))).cast_unsigned()
}

/// 16 numbers, or as many as there are and `rest` for the others.
#[inline]
#[target_feature(enable = "avx512vbmi2")]
fn some<T: Word>(numbers: &[T], rest: __m512i) -> __m512i {
    match numbers.first_chunk() {
        Some(numbers) => load(numbers),
        None => load_first(numbers, rest),
    }
}

/// See [`crate::kernels::Kernels::quotients`].
#[target_feature(enable = "avx512vbmi2")]
pub fn quotients(counts: &[i32], by: f64, data: &mut [f64]) {
    let data = &mut data[..counts.len()];
    let by = _mm512_set1_pd(by);
    let low = _mm512_div_pd(_mm512_setr_pd(0., 1., 2., 3., 4., 5., 6., 7.), by);
    let high = _mm512_div_pd(_mm512_setr_pd(8., 9., 10., 11., 12., 13., 14., 15.), by);
    for at in (0..counts.len()).step_by(LANES) {
        let counts = some(&counts[at..], _mm512_setzero_si512());
        let (first, second) = (
            _mm512_castsi512_si256(counts),
            _mm512_extracti64x4_epi64::<1>(counts),
        );
        let halves = if small(counts) {
            [looked_up(first, low, high), looked_up(second, low, high)]
        } else {
            [first, second].map(|half| _mm512_div_pd(_mm512_cvtepi32_pd(half), by))
        };
        let data = &mut data[at..];
        let (first, second) = data.split_at_mut(data.len().min(LANES / 2));
        store_first_f64(first, halves[0]);
        store_first_f64(second, halves[1]);
    }
}

/// Whether all counts are in the table.
#[inline]
#[target_feature(enable = "avx512vbmi2")]
fn small(counts: __m512i) -> bool {
    _mm512_cmpgt_epu32_mask(_mm512_abs_epi32(counts), _mm512_set1_epi32(15)) == 0
}

#[inline]
#[target_feature(enable = "avx512vbmi2")]
fn looked_up(counts: __m256i, low: __m512d, high: __m512d) -> __m512d {
    let counts = _mm512_cvtepi32_epi64(counts);
    let found = _mm512_permutex2var_pd(low, _mm512_abs_epi64(counts), high);
    let signs = _mm512_and_si512(counts, _mm512_set1_epi64(i64::MIN));
    _mm512_castsi512_pd(_mm512_xor_si512(_mm512_castpd_si512(found), signs))
}

/// See [`crate::kernels::Kernels::quotients_f32`].
#[target_feature(enable = "avx512vbmi2")]
pub fn quotients_f32(counts: &[i32], by: f64, data: &mut [f32]) {
    let data = &mut data[..counts.len()];
    let by = _mm512_set1_pd(by);
    let table = divided(
        _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15),
        by,
    );
    for at in (0..counts.len()).step_by(LANES) {
        let counts = some(&counts[at..], _mm512_setzero_si512());
        let values = if small(counts) {
            let found = _mm512_permutexvar_epi32(_mm512_abs_epi32(counts), table);
            _mm512_xor_si512(found, _mm512_and_si512(counts, _mm512_set1_epi32(i32::MIN)))
        } else {
            divided(counts, by)
        };
        store_first(&mut data[at..], values);
    }
}

/// The counts rounded, divided in double precision, rounded again.
#[inline]
#[target_feature(enable = "avx512vbmi2")]
fn divided(counts: __m512i, by: __m512d) -> __m512i {
    let counts = _mm512_castps_si512(_mm512_cvtepi32_ps(counts));
    let half = |counts: __m256i| {
        let quotients = _mm512_div_pd(_mm512_cvtps_pd(_mm256_castsi256_ps(counts)), by);
        _mm256_castps_si256(_mm512_cvtpd_ps(quotients))
    };
    let low = half(_mm512_castsi512_si256(counts));
    let high = half(_mm512_extracti64x4_epi64::<1>(counts));
    _mm512_inserti64x4::<1>(_mm512_castsi256_si512(low), high)
}
