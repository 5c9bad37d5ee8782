//! Networks that sort up to 32 or 64 keys: four or eight rows of eight lanes.
//!
//! ```text
//! sort each column                            whole rows are compared
//! for pairs of columns, of pairs, of fours:   merge two sorted sequences, each a number of columns
//!     compare each row of a lane with the row as far from the end of the lane mirrored in the other sequence
//!     compare lanes at half the distance, at half of that, …
//!     compare rows at half the distance, at half of that, …
//! transpose                                   to one column after the other
//! ```
//!
//! A comparison of lanes keeps the lesser in the lane whose number lacks a bit, the greater in the one that has it.

use super::access::{load_first, store, store_first};
use std::arch::x86_64::{
    __m256i, _mm256_blend_epi32, _mm256_max_epu32, _mm256_min_epu32, _mm256_permute2x128_si256,
    _mm256_permutevar8x32_epi32, _mm256_setr_epi32, _mm256_shuffle_epi32, _mm256_unpackhi_epi32,
    _mm256_unpackhi_epi64, _mm256_unpacklo_epi32, _mm256_unpacklo_epi64,
};

/// Keys that the greater network sorts at most.
pub const MOST: usize = 64;

/// Sorts at most [`MOST`] keys into `sorted`, which may be longer: what is behind is overwritten.
#[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
pub fn columns(keys: &[u32], sorted: &mut [u32]) {
    if keys.len() <= MOST / 2 {
        put(four_rows(loaded(keys)), keys.len(), sorted);
    } else {
        put(eight_rows(loaded(keys)), keys.len(), sorted);
    }
}

/// Sorts at most [`MOST`] keys.
#[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
pub fn columns_in_place(keys: &mut [u32]) {
    if keys.len() <= MOST / 2 {
        put(four_rows(loaded(keys)), keys.len(), keys);
    } else {
        put(eight_rows(loaded(keys)), keys.len(), keys);
    }
}

#[inline]
#[target_feature(enable = "avx2")]
fn four_rows(mut rows: [__m256i; 4]) -> [__m256i; 4] {
    compare(&mut rows, [(0, 2), (1, 3)]);
    compare(&mut rows, [(0, 1), (2, 3)]);
    compare(&mut rows, [(1, 2)]);
    merge_columns(&mut rows);
    let [a, b, c, d] = transposed(rows);
    [
        together::<0x20>(a, b),
        together::<0x20>(c, d),
        together::<0x31>(a, b),
        together::<0x31>(c, d),
    ]
}

#[inline]
#[target_feature(enable = "avx2")]
fn eight_rows(mut rows: [__m256i; 8]) -> [__m256i; 8] {
    compare(&mut rows, [(0, 2), (1, 3), (4, 6), (5, 7)]);
    compare(&mut rows, [(0, 4), (1, 5), (2, 6), (3, 7)]);
    compare(&mut rows, [(0, 1), (2, 3), (4, 5), (6, 7)]);
    compare(&mut rows, [(2, 4), (3, 5)]);
    compare(&mut rows, [(1, 4), (3, 6)]);
    compare(&mut rows, [(1, 2), (3, 4), (5, 6)]);
    merge_columns(&mut rows);
    let [a, b, c, d, e, f, g, h] = rows;
    let [a, b, c, d] = transposed([a, b, c, d]);
    let [e, f, g, h] = transposed([e, f, g, h]);
    [
        together::<0x20>(a, e),
        together::<0x20>(b, f),
        together::<0x20>(c, g),
        together::<0x20>(d, h),
        together::<0x31>(a, e),
        together::<0x31>(b, f),
        together::<0x31>(c, g),
        together::<0x31>(d, h),
    ]
}

/// The keys in rows, and behind them the greatest there can be.
#[inline]
#[target_feature(enable = "avx2")]
fn loaded<const ROWS: usize>(keys: &[u32]) -> [__m256i; ROWS] {
    let mut rows = [_mm256_setr_epi32(0, 0, 0, 0, 0, 0, 0, 0); ROWS];
    for (i, row) in rows.iter_mut().enumerate() {
        *row = load_first(keys, 8 * i, u32::MAX);
    }
    rows
}

/// Puts the lesser of each lane into the first row of a pair, the greater into the second.
#[inline]
#[target_feature(enable = "avx2")]
fn compare<const ROWS: usize, const N: usize>(
    rows: &mut [__m256i; ROWS],
    pairs: [(usize, usize); N],
) {
    for (i, j) in pairs {
        let (a, b) = (rows[i], rows[j]);
        (rows[i], rows[j]) = (_mm256_min_epu32(a, b), _mm256_max_epu32(a, b));
    }
}

/// Merges sorted columns to one sequence that runs down one after the other.
#[inline]
#[target_feature(enable = "avx2")]
fn merge_columns<const ROWS: usize>(rows: &mut [__m256i; ROWS]) {
    compare_mirrored::<ROWS, 1, 0b1010_1010>(rows);
    compare_rows(rows);
    compare_mirrored::<ROWS, 3, 0b1100_1100>(rows);
    compare_lanes::<ROWS, 1, 0b1010_1010>(rows);
    compare_rows(rows);
    compare_mirrored::<ROWS, 7, 0b1111_0000>(rows);
    compare_lanes::<ROWS, 2, 0b1100_1100>(rows);
    compare_lanes::<ROWS, 1, 0b1010_1010>(rows);
    compare_rows(rows);
}

/// Compares row `i` of each lane with the row as far from the end, of the lane whose number differs in the bits of
/// `ACROSS`; the lanes in `GREATER` keep the greater.
#[inline]
#[target_feature(enable = "avx2")]
fn compare_mirrored<const ROWS: usize, const ACROSS: u32, const GREATER: i32>(
    rows: &mut [__m256i; ROWS],
) {
    for i in 0..ROWS / 2 {
        let mirrored = across::<ACROSS>(rows[ROWS - 1 - i]);
        let lesser = _mm256_min_epu32(rows[i], mirrored);
        let greater = _mm256_max_epu32(rows[i], mirrored);
        rows[i] = _mm256_blend_epi32::<GREATER>(lesser, greater);
        rows[ROWS - 1 - i] = across::<ACROSS>(_mm256_blend_epi32::<GREATER>(greater, lesser));
    }
}

/// Compares each lane with the one whose number differs in the bits of `ACROSS`.
#[inline]
#[target_feature(enable = "avx2")]
fn compare_lanes<const ROWS: usize, const ACROSS: u32, const GREATER: i32>(
    rows: &mut [__m256i; ROWS],
) {
    for row in rows {
        let other = across::<ACROSS>(*row);
        let (lesser, greater) = (_mm256_min_epu32(*row, other), _mm256_max_epu32(*row, other));
        *row = _mm256_blend_epi32::<GREATER>(lesser, greater);
    }
}

/// Compares rows at half of all rows' distance, at half of that, and so on.
#[inline]
#[target_feature(enable = "avx2")]
fn compare_rows<const ROWS: usize>(rows: &mut [__m256i; ROWS]) {
    let mut distance = ROWS / 2;
    while distance > 0 {
        for i in 0..ROWS {
            if i & distance == 0 {
                compare(rows, [(i, i + distance)]);
            }
        }
        distance /= 2;
    }
}

/// Each lane moved to where the bits of `BITS` in its number are flipped.
#[inline]
#[target_feature(enable = "avx2")]
fn across<const BITS: u32>(row: __m256i) -> __m256i {
    match BITS {
        1 => _mm256_shuffle_epi32::<0b10_11_00_01>(row),
        2 => _mm256_shuffle_epi32::<0b01_00_11_10>(row),
        3 => _mm256_shuffle_epi32::<0b00_01_10_11>(row),
        _ => _mm256_permutevar8x32_epi32(row, _mm256_setr_epi32(7, 6, 5, 4, 3, 2, 1, 0)),
    }
}

/// Four rows of four lanes transposed, and the other four lanes likewise.
#[inline]
#[target_feature(enable = "avx2")]
pub fn transposed([a, b, c, d]: [__m256i; 4]) -> [__m256i; 4] {
    let (low, low_2) = (_mm256_unpacklo_epi32(a, b), _mm256_unpacklo_epi32(c, d));
    let (high, high_2) = (_mm256_unpackhi_epi32(a, b), _mm256_unpackhi_epi32(c, d));
    [
        _mm256_unpacklo_epi64(low, low_2),
        _mm256_unpackhi_epi64(low, low_2),
        _mm256_unpacklo_epi64(high, high_2),
        _mm256_unpackhi_epi64(high, high_2),
    ]
}

/// The lower halves of both, or the upper halves.
#[inline]
#[target_feature(enable = "avx2")]
fn together<const HALVES: i32>(a: __m256i, b: __m256i) -> __m256i {
    _mm256_permute2x128_si256::<HALVES>(a, b)
}

/// Writes all columns if there is room for them, else the first `count` keys.
#[inline]
#[target_feature(enable = "avx2")]
fn put<const ROWS: usize>(columns: [__m256i; ROWS], count: usize, sorted: &mut [u32]) {
    if sorted.len() >= 8 * ROWS {
        for (eight, column) in sorted.as_chunks_mut().0.iter_mut().zip(columns) {
            store(eight, column);
        }
    } else {
        for (i, column) in columns.into_iter().enumerate() {
            store_first(&mut sorted[..count], 8 * i, column);
        }
    }
}
