//! Sorting the keys of one document: split until few are left, and these by a network.
//!
//! ```text
//! at most 64 keys     the network of `columns`
//! more                split at a value that leaves full networks on either side if keys are spread evenly, as
//!                     hashes are; eight at a time are permuted and written whole to both ends of the free memory:
//!
//!     left ──► <<<≥≥≥≥≥              <<<≥≥≥≥≥ ◄── right       what is too much is overwritten by the next eight
//! ```
//!
//! Each split goes to the memory behind that of the split before. Keys that split badly (a text made for that, or
//! one with a word that is a great part of it) use that up and are left to the standard library.

use super::access::{load, store_at};
use super::columns::{MOST, columns, columns_in_place};
use super::places::places;
use crate::kernels::portable::grow;
use std::arch::x86_64::{
    __m256i, _mm256_castsi256_ps, _mm256_cmpeq_epi32, _mm256_max_epu32, _mm256_movemask_ps,
    _mm256_permutevar8x32_epi32, _mm256_set1_epi32,
};
use std::ops::Range;

/// Keys that a network should get: how many it does get scatters around that.
const MEANT: usize = 52;
/// Room between the two sides of a split, and as much behind it, for what is written too much.
const GAP: usize = 8;
/// Memory for splits, in multiples of the keys: even ones, each half of the one before, need two of them.
const SPLITS: usize = 3;
/// And for the gaps of as many splits as hashes ever need.
const GAPS: usize = 64 * GAP;

/// See [`crate::kernels::Kernels::sort`].
#[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
pub fn sort(keys: &mut [u32], spare: &mut Vec<u32>) {
    if keys.len() <= MOST {
        return columns_in_place(keys);
    }
    grow(spare, SPLITS * keys.len() + GAPS);
    let greatest = keys.iter().fold(0, |greatest, &key| key.max(greatest));
    match split(keys, 0..u64::from(greatest) + 1, spare) {
        Some(split) => sort_sides(split, keys),
        None => keys.sort_unstable(),
    }
}

/// Keys parted at a value, and the memory behind them.
struct Split<'a> {
    less: &'a [u32],
    others: &'a [u32],
    values_less: Range<u64>,
    values_others: Range<u64>,
    room: &'a mut [u32],
}

/// Sorts both sides into memory that may be longer: what is behind is used up.
#[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
fn sort_sides(split: Split, sorted: &mut [u32]) {
    let Split {
        less,
        others,
        values_less,
        values_others,
        room,
    } = split;
    sort_side(less, values_less, room, sorted);
    sort_side(others, values_others, room, &mut sorted[less.len()..]);
}

#[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
fn sort_side(keys: &[u32], values: Range<u64>, room: &mut [u32], sorted: &mut [u32]) {
    if keys.len() <= MOST {
        return columns(keys, sorted);
    }
    match split(keys, values, room) {
        Some(split) => sort_sides(split, sorted),
        None => {
            let sorted = &mut sorted[..keys.len()];
            sorted.copy_from_slice(keys);
            sorted.sort_unstable();
        }
    }
}

/// Splits keys that lie in the range of `values`, so that half of the networks they need are on either side; `None`
/// if there is no room for that or only one value.
#[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
fn split<'a>(keys: &[u32], values: Range<u64>, room: &'a mut [u32]) -> Option<Split<'a>> {
    let (sides, room) = room.split_at_mut_checked(keys.len() + 2 * GAP)?;
    let networks = keys.len().div_ceil(MEANT) as u64;
    let span = values.end - values.start;
    let middle = values.start + span * (networks / 2) / networks;
    if middle == values.start {
        return None;
    }
    let count = part(keys, middle as u32, sides);
    let (less, others) = sides.split_at(count);
    Some(Split {
        less,
        others: &others[GAP..][..keys.len() - count],
        values_less: values.start..middle,
        values_others: middle..values.end,
        room,
    })
}

/// Writes the keys less than `middle` to the start of `sides`, and the others [`GAP`] behind them; returns how many
/// are less.
#[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
fn part(keys: &[u32], middle: u32, sides: &mut [u32]) -> usize {
    assert!(sides.len() == keys.len() + 2 * GAP);
    let middle = _mm256_set1_epi32(middle.cast_signed());
    let (mut left, mut right) = (0, keys.len() + GAP);
    // The first keys, fewer than eight, so that the others are whole eights.
    let (first, eights) = keys.split_at(keys.len() % 8);
    if let Some(eight) = keys.first_chunk() {
        let eight = load(eight);
        let these = (1 << first.len()) - 1;
        let less = less(eight, middle) & these;
        let others = !less & these;
        left = less.count_ones() as usize;
        right -= others.count_ones() as usize;
        // SAFETY: `right` is at most `keys.len() + GAP`, and by the assertion above there are eight more behind that.
        unsafe {
            store_at(sides, 0, _mm256_permutevar8x32_epi32(eight, places(less)));
            store_at(
                sides,
                right,
                _mm256_permutevar8x32_epi32(eight, places(others)),
            );
        }
    }
    // Before each eight `right - left` is the number of keys to come plus `GAP`: it begins so, since `less` and `others`
    // above have a bit for each of the first keys between them, and falls by eight, since `count` is of a byte's bits,
    // at most eight, and both places move towards each other by `count` and `8 - count`. Nothing of that depends on
    // what is compared.
    for eight in eights.as_chunks().0 {
        let eight = load(eight);
        let less = less(eight, middle);
        let parted = _mm256_permutevar8x32_epi32(eight, places(less));
        // SAFETY: this eight is to come, so `left + 8 <= right - GAP`: both stores are between `left` and `right`, which
        // never grows beyond `keys.len() + GAP`, less than `sides.len()`.
        unsafe {
            store_at(sides, left, parted);
            store_at(sides, right - 8, parted);
        }
        let count = less.count_ones() as usize;
        left += count;
        right -= 8 - count;
    }
    left
}

/// One bit a key: whether it is less than `middle`.
#[inline]
#[target_feature(enable = "avx2")]
fn less(keys: __m256i, middle: __m256i) -> u8 {
    let not_less = _mm256_cmpeq_epi32(_mm256_max_epu32(keys, middle), keys);
    !_mm256_movemask_ps(_mm256_castsi256_ps(not_less)) as u8
}
