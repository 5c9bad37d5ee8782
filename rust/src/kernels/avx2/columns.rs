//! A network that sorts up to 64 keys: eight rows of eight lanes.
//!
//! ```text
//! sort each column                            19 comparators of whole rows
//! for pairs of columns, of pairs, of fours:   merge two sorted sequences, each a number of columns
//!     compare row i of a lane with row 7 - i of the lane mirrored in the other sequence
//!     compare lanes at half the distance, at half of that, …
//!     compare rows at distance 4, 2, 1
//! transpose                                   a column is then a vector
//! ```
//!
//! A comparison of lanes keeps the lesser in the lane whose number lacks a bit, the greater in the one that has it.

use super::access::{load, store};
use std::arch::x86_64::{
    __m256i, _mm256_blend_epi32, _mm256_cmpgt_epi32, _mm256_max_epu32, _mm256_min_epu32,
    _mm256_or_si256, _mm256_permute2x128_si256, _mm256_permutevar8x32_epi32, _mm256_set1_epi32,
    _mm256_setr_epi32, _mm256_shuffle_epi32, _mm256_sub_epi32, _mm256_unpackhi_epi32,
    _mm256_unpackhi_epi64, _mm256_unpacklo_epi32, _mm256_unpacklo_epi64,
};

/// Keys that the network sorts at most.
pub const MOST: usize = 8 * ROWS;

const ROWS: usize = 8;
type Rows = [__m256i; ROWS];

/// Sorts the first `count` keys into `sorted`, which may be longer: what is behind is overwritten.
#[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
pub fn columns(keys: &[u32; MOST], count: usize, sorted: &mut [u32]) {
    let mut rows = padded(keys, count);
    sort_columns(&mut rows);
    merge_rows_mirrored::<1, 0b1010_1010>(&mut rows);
    compare_rows(&mut rows);
    merge_rows_mirrored::<3, 0b1100_1100>(&mut rows);
    compare_lanes::<1, 0b1010_1010>(&mut rows);
    compare_rows(&mut rows);
    merge_rows_mirrored::<7, 0b1111_0000>(&mut rows);
    compare_lanes::<2, 0b1100_1100>(&mut rows);
    compare_lanes::<1, 0b1010_1010>(&mut rows);
    compare_rows(&mut rows);
    let columns = transposed(rows);
    match sorted.first_chunk_mut::<MOST>() {
        Some(sorted) => put(columns, sorted),
        None => {
            let mut whole = [0; MOST];
            put(columns, &mut whole);
            sorted[..count].copy_from_slice(&whole[..count]);
        }
    }
}

/// The keys, and behind the first `count` of them the greatest there can be.
#[inline]
#[target_feature(enable = "avx2")]
fn padded(keys: &[u32; MOST], count: usize) -> Rows {
    let mut left = _mm256_set1_epi32(count as i32 - 1);
    let lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    let mut rows = [left; ROWS];
    for (row, eight) in rows.iter_mut().zip(keys.as_chunks().0) {
        *row = _mm256_or_si256(load(eight), _mm256_cmpgt_epi32(lanes, left));
        left = _mm256_sub_epi32(left, _mm256_set1_epi32(8));
    }
    rows
}

/// Sorts each column, with the fewest comparators there can be.
#[inline]
#[target_feature(enable = "avx2")]
fn sort_columns(rows: &mut Rows) {
    compare(rows, [(0, 2), (1, 3), (4, 6), (5, 7)]);
    compare(rows, [(0, 4), (1, 5), (2, 6), (3, 7)]);
    compare(rows, [(0, 1), (2, 3), (4, 5), (6, 7)]);
    compare(rows, [(2, 4), (3, 5)]);
    compare(rows, [(1, 4), (3, 6)]);
    compare(rows, [(1, 2), (3, 4), (5, 6)]);
}

/// Compares the rows at distance 4, 2 and 1.
#[inline]
#[target_feature(enable = "avx2")]
fn compare_rows(rows: &mut Rows) {
    compare(rows, [(0, 4), (1, 5), (2, 6), (3, 7)]);
    compare(rows, [(0, 2), (1, 3), (4, 6), (5, 7)]);
    compare(rows, [(0, 1), (2, 3), (4, 5), (6, 7)]);
}

/// Puts the lesser of each lane into the first row of a pair, the greater into the second.
#[inline]
#[target_feature(enable = "avx2")]
fn compare<const N: usize>(rows: &mut Rows, pairs: [(usize, usize); N]) {
    for (i, j) in pairs {
        let (a, b) = (rows[i], rows[j]);
        (rows[i], rows[j]) = (_mm256_min_epu32(a, b), _mm256_max_epu32(a, b));
    }
}

/// Compares row `i` of each lane with row `7 - i` of the lane whose number differs in the bits of `ACROSS`; the
/// lanes in `GREATER` keep the greater.
#[inline]
#[target_feature(enable = "avx2")]
fn merge_rows_mirrored<const ACROSS: u32, const GREATER: i32>(rows: &mut Rows) {
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
fn compare_lanes<const ACROSS: u32, const GREATER: i32>(rows: &mut Rows) {
    for row in rows {
        let other = across::<ACROSS>(*row);
        *row = _mm256_blend_epi32::<GREATER>(
            _mm256_min_epu32(*row, other),
            _mm256_max_epu32(*row, other),
        );
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

#[inline]
#[target_feature(enable = "avx2")]
fn transposed(rows: Rows) -> Rows {
    let [a, b] = [0, 4].map(|i| {
        let low = [0, 2].map(|j| _mm256_unpacklo_epi32(rows[i + j], rows[i + j + 1]));
        let high = [0, 2].map(|j| _mm256_unpackhi_epi32(rows[i + j], rows[i + j + 1]));
        [
            _mm256_unpacklo_epi64(low[0], low[1]),
            _mm256_unpackhi_epi64(low[0], low[1]),
            _mm256_unpacklo_epi64(high[0], high[1]),
            _mm256_unpackhi_epi64(high[0], high[1]),
        ]
    });
    let low = [0, 1, 2, 3].map(|i| _mm256_permute2x128_si256::<0x20>(a[i], b[i]));
    let high = [0, 1, 2, 3].map(|i| _mm256_permute2x128_si256::<0x31>(a[i], b[i]));
    [
        low[0], low[1], low[2], low[3], high[0], high[1], high[2], high[3],
    ]
}

#[inline]
#[target_feature(enable = "avx2")]
fn put(columns: Rows, sorted: &mut [u32; MOST]) {
    for (eight, column) in sorted.as_chunks_mut().0.iter_mut().zip(columns) {
        store(eight, column);
    }
}
