//! Loads and stores. Each takes a slice or an array and stays inside of it, so that callers need no `unsafe`.
//!
//! ```text
//! load, store             whole registers, from and to arrays as large
//! load_first …            the first items of a slice that may be shorter; the rest is 0, and not read
//! compress_into           the chosen items, side by side, with 16 places to write to
//! extend                  16 items a step at the end of a vector
//! load_quarters           16 times 16 bytes from places that are checked together
//! ```

use std::arch::x86_64::*;

/// Items of 32 bits in a register.
pub const LANES: usize = 16;
/// Bytes in a register.
pub const BYTES: usize = 64;

/// The lowest `count` bits of 16.
#[inline(always)]
pub fn first_16(count: usize) -> u16 {
    if count < LANES { (1 << count) - 1 } else { !0 }
}

/// 64 bytes.
#[inline]
#[target_feature(enable = "avx512vbmi2")]
pub fn load_bytes(bytes: &[u8; BYTES]) -> __m512i {
    // SAFETY: an array of 64 bytes is read; no alignment is asked for.
    unsafe { _mm512_loadu_si512(bytes.as_ptr().cast()) }
}

/// The bytes of a slice shorter than 64, then zeros.
#[inline]
#[target_feature(enable = "avx512vbmi2")]
pub fn load_first_bytes(bytes: &[u8]) -> __m512i {
    let mask = if bytes.len() < BYTES {
        (1 << bytes.len()) - 1
    } else {
        !0
    };
    // SAFETY: the mask chooses bytes of the slice; the others are neither read nor can they fault.
    unsafe { _mm512_maskz_loadu_epi8(mask, bytes.as_ptr().cast()) }
}

/// Writes 64 bytes.
#[inline]
#[target_feature(enable = "avx512vbmi2")]
pub fn store_bytes(bytes: &mut [u8; BYTES], value: __m512i) {
    // SAFETY: an array of 64 bytes is written; no alignment is asked for.
    unsafe { _mm512_storeu_si512(bytes.as_mut_ptr().cast(), value) };
}

/// A number type of 32 bits.
pub trait Word: Copy {}
impl Word for u32 {}
impl Word for i32 {}
impl Word for f32 {}

/// 16 numbers.
#[inline]
#[target_feature(enable = "avx512vbmi2")]
pub fn load<T: Word>(words: &[T; LANES]) -> __m512i {
    // SAFETY: an array of 64 bytes is read; no alignment is asked for.
    unsafe { _mm512_loadu_si512(words.as_ptr().cast()) }
}

/// The first 16 numbers of a slice; `rest` where it has fewer.
#[inline]
#[target_feature(enable = "avx512vbmi2")]
pub fn load_first<T: Word>(words: &[T], rest: __m512i) -> __m512i {
    // SAFETY: the mask chooses numbers of the slice; the others are neither read nor can they fault.
    unsafe { _mm512_mask_loadu_epi32(rest, first_16(words.len()), words.as_ptr().cast()) }
}

/// Writes 16 numbers.
#[inline]
#[target_feature(enable = "avx512vbmi2")]
pub fn store<T: Word>(words: &mut [T; LANES], value: __m512i) {
    // SAFETY: an array of 64 bytes is written; no alignment is asked for.
    unsafe { _mm512_storeu_si512(words.as_mut_ptr().cast(), value) };
}

/// Writes as many of 16 numbers as the slice has room for.
#[inline]
#[target_feature(enable = "avx512vbmi2")]
pub fn store_first<T: Word>(words: &mut [T], value: __m512i) {
    // SAFETY: the mask chooses numbers of the slice; the others are not written.
    unsafe { _mm512_mask_storeu_epi32(words.as_mut_ptr().cast(), first_16(words.len()), value) };
}

/// Writes as many of 8 numbers as the slice has room for.
#[inline]
#[target_feature(enable = "avx512vbmi2")]
pub fn store_first_f64(numbers: &mut [f64], value: __m512d) {
    let mask = if numbers.len() < 8 {
        (1 << numbers.len()) - 1
    } else {
        !0
    };
    // SAFETY: the mask chooses numbers of the slice; the others are not written.
    unsafe { _mm512_mask_storeu_pd(numbers.as_mut_ptr(), mask, value) };
}

/// Appends `count` numbers, 16 a step: `next(i)` are the numbers from `i` on. The last step begins 16 before the end
/// and so repeats some; only if there are fewer than 16 in all are the ones behind not kept.
#[inline]
#[target_feature(enable = "avx512vbmi2")]
pub fn extend(vector: &mut Vec<u32>, count: usize, mut next: impl FnMut(usize) -> __m512i) {
    vector.reserve(count.max(LANES));
    let room = &mut vector.spare_capacity_mut()[..count.max(LANES)];
    for i in (0..count).step_by(LANES) {
        let i = i.min(count.saturating_sub(LANES));
        let room = &mut room[i..i + LANES];
        // SAFETY: a slice of 16 numbers is written; no alignment is asked for.
        unsafe { _mm512_storeu_si512(room.as_mut_ptr().cast(), next(i)) };
    }
    // SAFETY: there is room for `count` more, and the loop has written all of them.
    unsafe { vector.set_len(vector.len() + count) };
}

/// 16 bytes at each of 16 places that are the first of two numbers, or `OFFSET` behind it: quarter `q` of row `r` is
/// that of place `4 * q + r`.
///
/// # Panics
/// If the text ends before.
#[inline]
#[target_feature(enable = "avx512vbmi2")]
pub fn load_quarters<const OFFSET: usize>(text: &[u8], places: &[[u32; 2]; LANES]) -> [__m512i; 4] {
    let last = text
        .len()
        .checked_sub(OFFSET + 16)
        .expect("slack behind the text");
    let last = _mm512_set1_epi32(u32::try_from(last).unwrap_or(u32::MAX).cast_signed());
    let outside = _mm512_cmpgt_epu32_mask(load_seconds::<0>(places), last);
    assert!(outside == 0, "a place outside of the text");
    let quarter = |i: usize| {
        // SAFETY: the number is borrowed. Volatile, because the compiler would else take all of them out of the
        // register above, which costs three times as much.
        let place = unsafe { (&raw const places[i][0]).read_volatile() };
        // SAFETY: 16 bytes of the text begin `OFFSET` behind every place, as just checked; no alignment is asked for.
        unsafe { _mm_loadu_si128(text.as_ptr().add(place as usize + OFFSET).cast()) }
    };
    std::array::from_fn(|r| {
        let row = _mm512_castsi128_si512(quarter(r));
        let row = _mm512_mask_broadcast_i32x4(row, 0x00f0, quarter(4 + r));
        let row = _mm512_mask_broadcast_i32x4(row, 0x0f00, quarter(8 + r));
        _mm512_mask_broadcast_i32x4(row, 0xf000, quarter(12 + r))
    })
}

/// The first or the second of each two numbers.
#[inline]
#[target_feature(enable = "avx512vbmi2")]
pub fn load_seconds<const SECOND: i32>(pairs: &[[u32; 2]; LANES]) -> __m512i {
    let evens = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
    let places = _mm512_add_epi32(evens, _mm512_set1_epi32(SECOND));
    let halves = pairs.as_flattened().as_chunks::<LANES>().0;
    _mm512_permutex2var_epi32(load(&halves[0]), places, load(&halves[1]))
}
