//! The loads and stores of this tier: of whole arrays, or at a place that the caller has checked.

use std::arch::x86_64::{
    __m128i, __m256i, _mm_loadu_si128, _mm256_andnot_si256, _mm256_cmpgt_epi32, _mm256_lddqu_si256,
    _mm256_loadu_si256, _mm256_maskload_epi32, _mm256_maskstore_epi32, _mm256_or_si256,
    _mm256_set1_epi32, _mm256_setr_epi32, _mm256_storeu_si256,
};

/// Eight numbers.
#[inline]
#[target_feature(enable = "avx2")]
pub fn load(numbers: &[u32; 8]) -> __m256i {
    // SAFETY: the reference covers the 32 bytes; the load needs no alignment.
    unsafe { _mm256_loadu_si256(numbers.as_ptr().cast()) }
}

/// Eight numbers, by an instruction that hides from the compiler what is loaded: where lanes are also needed as
/// numbers, it would take them out of the vector, which costs more than loading them again.
#[inline]
#[target_feature(enable = "avx2")]
pub fn load_opaque(numbers: &[u32; 8]) -> __m256i {
    // SAFETY: as in `load`.
    unsafe { _mm256_lddqu_si256(numbers.as_ptr().cast()) }
}

/// Writes eight numbers.
#[inline]
#[target_feature(enable = "avx2")]
pub fn store(numbers: &mut [u32; 8], lanes: __m256i) {
    // SAFETY: the reference covers the 32 bytes, exclusively; the store needs no alignment.
    unsafe { _mm256_storeu_si256(numbers.as_mut_ptr().cast(), lanes) }
}

/// 32 bytes.
#[inline]
#[target_feature(enable = "avx2")]
pub fn load_bytes(bytes: &[u8; 32]) -> __m256i {
    // SAFETY: as in `load`.
    unsafe { _mm256_loadu_si256(bytes.as_ptr().cast()) }
}

/// Writes 32 bytes.
#[inline]
#[target_feature(enable = "avx2")]
pub fn store_bytes(bytes: &mut [u8; 32], lanes: __m256i) {
    // SAFETY: as in `store`.
    unsafe { _mm256_storeu_si256(bytes.as_mut_ptr().cast(), lanes) }
}

/// The 16 bytes of `text` from `at`.
///
/// # Safety
/// `at + 16 <= text.len()`.
#[inline]
#[target_feature(enable = "avx2")]
pub unsafe fn load_16_at(text: &[u8], at: usize) -> __m128i {
    debug_assert!(at + 16 <= text.len());
    // SAFETY: the caller promises that the 16 bytes are inside the slice; the load needs no alignment.
    unsafe { _mm_loadu_si128(text.as_ptr().add(at).cast()) }
}

/// Writes eight numbers from `at`.
///
/// # Safety
/// `at + 8 <= numbers.len()`.
#[inline]
#[target_feature(enable = "avx2")]
pub unsafe fn store_at(numbers: &mut [u32], at: usize, lanes: __m256i) {
    debug_assert!(at + 8 <= numbers.len());
    // SAFETY: the caller promises that the 32 bytes are inside the slice; the store needs no alignment.
    unsafe { _mm256_storeu_si256(numbers.as_mut_ptr().add(at).cast(), lanes) }
}

/// Writes eight signed numbers.
#[inline]
#[target_feature(enable = "avx2")]
pub fn store_signed(numbers: &mut [i32; 8], lanes: __m256i) {
    // SAFETY: as in `store`.
    unsafe { _mm256_storeu_si256(numbers.as_mut_ptr().cast(), lanes) }
}

/// Of the eight numbers from `at` those that there are, and `absent` for the others.
#[inline]
#[target_feature(enable = "avx2")]
pub fn load_first(numbers: &[u32], at: usize, absent: u32) -> __m256i {
    let present = present(numbers.len(), at);
    let start = numbers.as_ptr().wrapping_add(at).cast();
    // SAFETY: lanes that are not present are not loaded; the others are inside the slice.
    let lanes = unsafe { _mm256_maskload_epi32(start, present) };
    let absent = _mm256_set1_epi32(absent.cast_signed());
    _mm256_or_si256(lanes, _mm256_andnot_si256(present, absent))
}

/// Writes eight numbers from `at`, but none behind the end.
#[inline]
#[target_feature(enable = "avx2")]
pub fn store_first(numbers: &mut [u32], at: usize, lanes: __m256i) {
    let present = present(numbers.len(), at);
    let start = numbers.as_mut_ptr().wrapping_add(at).cast();
    // SAFETY: lanes that are not present are not stored; the others are inside the slice.
    unsafe { _mm256_maskstore_epi32(start, present, lanes) }
}

/// All bits of a lane where a slice of `length` numbers has one, from `at`.
#[inline]
#[target_feature(enable = "avx2")]
fn present(length: usize, at: usize) -> __m256i {
    let left = _mm256_set1_epi32(length.saturating_sub(at).min(8) as i32);
    _mm256_cmpgt_epi32(left, _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7))
}
