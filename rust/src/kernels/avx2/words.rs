//! ASCII text to lower case and one bit a byte: word character or not.
//!
//! ```text
//! in 'A'..='Z'    byte - 'A' - 128 < 26 - 128, signed: one addition and one comparison a range
//! lowered         byte | 0x20 where that holds
//! word            the same of byte | 0x20 and of the digits, or '_'
//! ```

use super::access::{load_bytes, store_bytes};
use crate::kernels::portable::words_by;
use std::arch::x86_64::{
    __m256i, _mm256_add_epi8, _mm256_and_si256, _mm256_cmpeq_epi8, _mm256_cmpgt_epi8,
    _mm256_movemask_epi8, _mm256_or_si256, _mm256_set1_epi8, _mm256_setzero_si256,
};

/// See [`crate::kernels::Kernels::words`].
#[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
pub fn words(text: &[u8], lowercase: bool, lowered: &mut Vec<u8>, mask: &mut Vec<u64>) -> bool {
    let mut all = _mm256_setzero_si256();
    if lowercase {
        words_by(text, lowered, mask, |block, out| {
            classify::<true>(block, out, &mut all)
        });
    } else {
        words_by(text, lowered, mask, |block, out| {
            classify::<false>(block, out, &mut all)
        });
    }
    _mm256_movemask_epi8(all) == 0
}

/// See [`crate::kernels::portable::classify`]; whatever bit a byte has is set in `all`.
#[inline]
#[target_feature(enable = "avx2")]
fn classify<const LOWER: bool>(block: &[u8; 64], lowered: &mut [u8; 64], all: &mut __m256i) -> u64 {
    let outs = lowered.as_chunks_mut().0;
    let mut halves = block.as_chunks().0.iter().zip(outs).map(|(half, out)| {
        let bytes = load_bytes(half);
        let space = _mm256_set1_epi8(0x20);
        let upper = in_range::<b'A', 26>(bytes);
        let lower = _mm256_or_si256(bytes, _mm256_and_si256(upper, space));
        store_bytes(out, if LOWER { lower } else { bytes });
        let letter = in_range::<b'a', 26>(_mm256_or_si256(bytes, space));
        let digit = in_range::<b'0', 10>(bytes);
        let low_line = _mm256_cmpeq_epi8(bytes, _mm256_set1_epi8(b'_'.cast_signed()));
        let word = _mm256_or_si256(_mm256_or_si256(letter, digit), low_line);
        *all = _mm256_or_si256(*all, bytes);
        u64::from(_mm256_movemask_epi8(word).cast_unsigned())
    });
    let [low, high] = [(); 2].map(|()| halves.next().unwrap_or(0));
    low | high << 32
}

/// All ones where a byte is one of the `COUNT` from `FIRST`.
#[inline]
#[target_feature(enable = "avx2")]
fn in_range<const FIRST: u8, const COUNT: i8>(bytes: __m256i) -> __m256i {
    let first = const { i8::MIN.wrapping_sub(FIRST.cast_signed()) };
    let shifted = _mm256_add_epi8(bytes, _mm256_set1_epi8(first));
    _mm256_cmpgt_epi8(_mm256_set1_epi8(i8::MIN + COUNT), shifted)
}
