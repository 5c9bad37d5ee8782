//! Distinct keys and the ends of their runs to features and signed counts: eight at a time, beside the eight that
//! are one place before.

use super::access::{load, store_signed};
use crate::kernels::Counted;
use crate::kernels::portable::grow;
use std::arch::x86_64::{
    __m256i, _mm256_add_epi64, _mm256_and_si256, _mm256_cmpeq_epi32, _mm256_extract_epi64,
    _mm256_mul_epu32, _mm256_or_si256, _mm256_set1_epi32, _mm256_setzero_si256, _mm256_srli_epi32,
    _mm256_srli_epi64, _mm256_sub_epi32, _mm256_testz_si256, _mm256_xor_si256,
};

/// See [`crate::kernels::Kernels::counts`].
#[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
pub fn counts(
    distinct: &[u32],
    ends: &[u32],
    signed: bool,
    indices: &mut [i32],
    counts: &mut Vec<i32>,
) -> Counted {
    grow(counts, distinct.len());
    let mut row = Row {
        sign: _mm256_set1_epi32(i32::from(signed)),
        squares: _mm256_setzero_si256(),
        both_signs: _mm256_setzero_si256(),
    };
    let Some(&key) = distinct.first() else {
        return row.counted();
    };
    // One to eight come first, in copies, for nothing is before the first key; the others are whole eights.
    let first = (distinct.len() - 1) % 8 + 1;
    let (mut keys, mut until) = ([distinct[first - 1]; 9], [ends[first - 1]; 9]);
    (keys[0], until[0]) = (!key, 0);
    keys[1..=first].copy_from_slice(&distinct[..first]);
    until[1..=first].copy_from_slice(&ends[..first]);
    let (mut index, mut count) = ([0; 8], [0; 8]);
    row.eights(&keys, &until, &mut index, &mut count);
    indices[..first].copy_from_slice(&index[..first]);
    counts[..first].copy_from_slice(&count[..first]);
    let (keys, until) = (&distinct[first - 1..], &ends[first - 1..distinct.len()]);
    row.eights(keys, until, &mut indices[first..], &mut counts[first..]);
    row.counted()
}

/// What is summed up while a row is written.
struct Row {
    /// The bit of a key that says it is negative, if any does.
    sign: __m256i,
    squares: __m256i,
    both_signs: __m256i,
}

impl Row {
    /// Writes eight after eight; of keys and ends, the first is only what is before.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn eights(&mut self, keys: &[u32], ends: &[u32], indices: &mut [i32], counts: &mut [i32]) {
        let keys = eights(&keys[1..]).zip(eights(keys));
        let ends = eights(&ends[1..]).zip(eights(ends));
        let indices = indices.as_chunks_mut().0.iter_mut();
        let outs = indices.zip(counts.as_chunks_mut().0);
        for (((keys, before), (end, start)), (index, count)) in keys.zip(ends).zip(outs) {
            let keys = load(keys);
            let length = _mm256_sub_epi32(load(end), load(start));
            let negative = _mm256_and_si256(keys, self.sign);
            let negative = _mm256_sub_epi32(_mm256_setzero_si256(), negative); // all bits, or none
            let negated = _mm256_sub_epi32(_mm256_xor_si256(length, negative), negative);
            store_signed(index, _mm256_srli_epi32::<1>(keys));
            store_signed(count, negated);
            let differ = _mm256_xor_si256(keys, load(before));
            let both = _mm256_cmpeq_epi32(differ, _mm256_set1_epi32(1));
            self.both_signs = _mm256_or_si256(self.both_signs, both);
            // Only the lower half of each 64 bits is multiplied.
            for lengths in [length, _mm256_srli_epi64::<32>(length)] {
                let squares = _mm256_mul_epu32(lengths, lengths);
                self.squares = _mm256_add_epi64(self.squares, squares);
            }
        }
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn counted(&self) -> Counted {
        let squares = [
            _mm256_extract_epi64::<0>(self.squares),
            _mm256_extract_epi64::<1>(self.squares),
            _mm256_extract_epi64::<2>(self.squares),
            _mm256_extract_epi64::<3>(self.squares),
        ];
        Counted {
            squares: squares.iter().sum::<i64>().cast_unsigned(),
            both_signs: _mm256_testz_si256(self.both_signs, self.both_signs) == 0,
        }
    }
}

fn eights(numbers: &[u32]) -> impl Iterator<Item = &[u32; 8]> {
    numbers.as_chunks().0.iter()
}
