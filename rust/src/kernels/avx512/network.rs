//! Up to 256 keys sorted without a branch: `N` registers of 16 lanes are `N` rows of 16 columns.
//!
//! ```text
//! sort every column, by a network of comparisons between rows         (all columns at once)
//! for width in 1, 2, 4, 8:                                             merge pairs of `width` columns
//!     each column with its mirror image among 2 * width, last row with first: the least go to the left half
//!     halve the distance, and again: now the least of every pair of columns go left
//!     inside each column: a merge of rows
//! turn columns into rows
//! ```
//!
//! Column `c` is lane `4 * (c % 4) + c / 4`: then most mirrors are single shuffles, and turning needs no others.
//! The greater of two is not asked for but computed, as `a ^ b ^ least`: that runs where the minimum cannot, and the
//! two together take half the time.

use super::memory::{LANES, load_first, store_first};
use std::arch::x86_64::*;

#[inline]
#[target_feature(enable = "avx512vbmi2")]
fn sort_in<const N: usize>(keys: &mut [u32]) {
    let greatest = _mm512_set1_epi32(-1);
    let mut rows = [greatest; N];
    for (i, row) in rows.iter_mut().enumerate() {
        *row = load_first(&keys[(LANES * i).min(keys.len())..], greatest);
    }
    match N {
        4 => compare(&mut rows, &FOUR),
        8 => compare(&mut rows, &EIGHT),
        16 => compare(&mut rows, &SIXTEEN),
        _ => compare(&mut rows, &TWO[..N / 2]),
    }
    mirror::<N, 1, 1>(&mut rows);
    merge_rows(&mut rows);
    mirror::<N, 3, 2>(&mut rows);
    exchange::<N, 1>(&mut rows);
    merge_rows(&mut rows);
    mirror::<N, 7, 4>(&mut rows);
    exchange::<N, 2>(&mut rows);
    exchange::<N, 1>(&mut rows);
    merge_rows(&mut rows);
    mirror::<N, 15, 8>(&mut rows);
    exchange::<N, 4>(&mut rows);
    exchange::<N, 2>(&mut rows);
    exchange::<N, 1>(&mut rows);
    merge_rows(&mut rows);
    for (i, row) in turned(rows).into_iter().enumerate() {
        let start = (LANES * i).min(keys.len());
        store_first(&mut keys[start..], row);
    }
}

/// The most keys that [`sort`] takes.
pub const MOST: usize = 16 * LANES;

/// Sorts at most [`MOST`] keys ascending.
#[target_feature(enable = "avx512vbmi2")]
pub fn sort(keys: &mut [u32]) {
    match keys.len() {
        0..=16 => sort_in::<1>(keys),
        17..=32 => sort_in::<2>(keys),
        33..=64 => sort_in::<4>(keys),
        65..=128 => sort_in::<8>(keys),
        _ => sort_in::<16>(keys),
    }
}

/// The optimal networks of 2, 4, 8 and 16 (Green).
const TWO: [(usize, usize); 1] = [(0, 1)];
#[rustfmt::skip]
const FOUR: [(usize, usize); 5] = [(0, 2), (1, 3), (0, 1), (2, 3), (1, 2)];
#[rustfmt::skip]
const EIGHT: [(usize, usize); 19] = [
    (0, 2), (1, 3), (4, 6), (5, 7), (0, 4), (1, 5), (2, 6), (3, 7), (0, 1), (2, 3), (4, 5), (6, 7),
    (2, 4), (3, 5), (1, 4), (3, 6), (1, 2), (3, 4), (5, 6),
];
#[rustfmt::skip]
const SIXTEEN: [(usize, usize); 60] = [
    (0, 13), (1, 12), (2, 15), (3, 14), (4, 8), (5, 6), (7, 11), (9, 10),
    (0, 5), (1, 7), (2, 9), (3, 4), (6, 13), (8, 14), (10, 15), (11, 12),
    (0, 1), (2, 3), (4, 5), (6, 8), (7, 9), (10, 11), (12, 13), (14, 15),
    (0, 2), (1, 3), (4, 10), (5, 11), (6, 7), (8, 9), (12, 14), (13, 15),
    (1, 2), (3, 12), (4, 6), (5, 7), (8, 10), (9, 11), (13, 14),
    (1, 4), (2, 6), (5, 8), (7, 10), (9, 13), (11, 14), (2, 4), (3, 6), (9, 12), (11, 13),
    (3, 5), (6, 8), (7, 9), (10, 12), (3, 4), (5, 6), (7, 8), (9, 10), (11, 12), (6, 7), (8, 9),
];

/// `a ^ b ^ c`.
const XOR: i32 = 0x96;

#[inline]
#[target_feature(enable = "avx512vbmi2")]
fn compare<const N: usize>(rows: &mut [__m512i; N], pairs: &[(usize, usize)]) {
    for &(i, j) in pairs {
        let (a, b) = (rows[i], rows[j]);
        rows[i] = _mm512_min_epu32(a, b);
        rows[j] = _mm512_ternarylogic_epi32::<XOR>(rows[i], a, b);
    }
}

/// The lesser, and in the columns with bit `BIT` the greater.
#[inline]
#[target_feature(enable = "avx512vbmi2")]
fn choose<const BIT: usize>(a: __m512i, b: __m512i) -> __m512i {
    let least = _mm512_min_epu32(a, b);
    _mm512_mask_ternarylogic_epi32::<XOR>(least, const { lanes_of(BIT) }, a, b)
}

/// Each row with its mirror image, in columns whose numbers differ by `X`.
#[inline]
#[target_feature(enable = "avx512vbmi2")]
fn mirror<const N: usize, const X: usize, const BIT: usize>(rows: &mut [__m512i; N]) {
    for i in 0..N.div_ceil(2) {
        let (a, b) = (rows[i], rows[N - 1 - i]);
        rows[i] = choose::<BIT>(a, across::<X>(b));
        rows[N - 1 - i] = choose::<BIT>(b, across::<X>(a));
    }
}

/// Each row with itself, in columns whose numbers differ by `X`.
#[inline]
#[target_feature(enable = "avx512vbmi2")]
fn exchange<const N: usize, const X: usize>(rows: &mut [__m512i; N]) {
    for row in rows {
        *row = choose::<X>(*row, across::<X>(*row));
    }
}

/// Columns that rise and then fall, or fall and then rise, become sorted.
#[inline]
#[target_feature(enable = "avx512vbmi2")]
fn merge_rows<const N: usize>(rows: &mut [__m512i; N]) {
    let mut distance = N / 2;
    while distance >= 1 {
        for i in 0..N {
            if i & distance == 0 {
                compare(rows, &[(i, i + distance)]);
            }
        }
        distance /= 2;
    }
}

/// The column of a lane, and the lane of a column: the map is its own inverse.
const fn column(lane: usize) -> usize {
    4 * (lane % 4) + lane / 4
}

/// The lanes of the columns with this bit in their number.
const fn lanes_of(bit: usize) -> u16 {
    let (mut lanes, mut lane) = (0, 0);
    while lane < LANES {
        if column(lane) & bit != 0 {
            lanes |= 1 << lane;
        }
        lane += 1;
    }
    lanes
}

/// Gives each column the value of the column whose number differs by `X`.
#[inline]
#[target_feature(enable = "avx512vbmi2")]
fn across<const X: usize>(row: __m512i) -> __m512i {
    match X {
        1 => _mm512_shuffle_i32x4::<0b10_11_00_01>(row, row),
        2 => _mm512_shuffle_i32x4::<0b01_00_11_10>(row, row),
        3 => _mm512_shuffle_i32x4::<0b00_01_10_11>(row, row),
        4 => _mm512_shuffle_epi32::<0b10_11_00_01>(row),
        8 => _mm512_shuffle_epi32::<0b01_00_11_10>(row),
        _ => {
            let from = const {
                let (mut from, mut lane) = ([0; LANES], 0);
                while lane < LANES {
                    from[lane] = column(column(lane) ^ X) as u32;
                    lane += 1;
                }
                from
            };
            _mm512_permutexvar_epi32(super::memory::load(&from), row)
        }
    }
}

/// Register `r` of the result holds columns `16 / N * r` and the next ones, each from its first row to its last.
#[inline]
#[target_feature(enable = "avx512vbmi2")]
fn turned<const N: usize>(rows: [__m512i; N]) -> [__m512i; N] {
    let mut out = rows;
    if N < 4 {
        // One row: its columns in order. Two: the columns of both, in turn.
        let places = |first: usize| -> [u32; LANES] {
            std::array::from_fn(|i| (column((first + i) / N) + LANES * ((first + i) % N)) as u32)
        };
        for (r, out) in out.iter_mut().enumerate() {
            let places = super::memory::load(&places(LANES * r));
            *out = _mm512_permutex2var_epi32(rows[0], places, rows[N - 1]);
        }
        return out;
    }
    // Quarter q of fours[k][j] has column 4j + q, rows 4k to 4k + 3.
    let mut fours = [[rows[0]; 4]; 4];
    for (four, rows) in fours.iter_mut().zip(rows.as_chunks::<4>().0) {
        let [a, b, c, d] = *rows;
        let (low_ab, high_ab) = (_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
        let (low_cd, high_cd) = (_mm512_unpacklo_epi32(c, d), _mm512_unpackhi_epi32(c, d));
        *four = [
            _mm512_unpacklo_epi64(low_ab, low_cd),
            _mm512_unpackhi_epi64(low_ab, low_cd),
            _mm512_unpacklo_epi64(high_ab, high_cd),
            _mm512_unpackhi_epi64(high_ab, high_cd),
        ];
    }
    for j in 0..4 {
        let [a, b, c, d] = std::array::from_fn(|k| fours[k][j]);
        match N {
            4 => out[j] = a,
            8 => {
                let low = _mm512_setr_epi64(0, 1, 8, 9, 2, 3, 10, 11);
                let high = _mm512_setr_epi64(4, 5, 12, 13, 6, 7, 14, 15);
                out[2 * j] = _mm512_permutex2var_epi64(a, low, b);
                out[2 * j + 1] = _mm512_permutex2var_epi64(a, high, b);
            }
            _ => {
                let (low_ab, high_ab) = (halves::<0x44>(a, b), halves::<0xee>(a, b));
                let (low_cd, high_cd) = (halves::<0x44>(c, d), halves::<0xee>(c, d));
                out[4 * j] = halves::<0x88>(low_ab, low_cd);
                out[4 * j + 1] = halves::<0xdd>(low_ab, low_cd);
                out[4 * j + 2] = halves::<0x88>(high_ab, high_cd);
                out[4 * j + 3] = halves::<0xdd>(high_ab, high_cd);
            }
        }
    }
    out
}

#[inline]
#[target_feature(enable = "avx512vbmi2")]
fn halves<const QUARTERS: i32>(a: __m512i, b: __m512i) -> __m512i {
    _mm512_shuffle_i32x4::<QUARTERS>(a, b)
}
