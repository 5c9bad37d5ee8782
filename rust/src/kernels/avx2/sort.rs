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
use super::columns::{MOST, columns};
use super::places::places;
use crate::kernels::portable::grow;
use std::arch::x86_64::{
    __m256i, _mm256_castsi256_ps, _mm256_cmpeq_epi32, _mm256_max_epu32, _mm256_movemask_ps,
    _mm256_permutevar8x32_epi32, _mm256_set1_epi32,
};
use std::ops::Range;

/// Keys that a network should get: how many it does get scatters around that.
const MEANT: usize = 48;
/// Room between the two sides of a split, for what is written too much.
const GAP: usize = 8;
/// Room behind a split: a network loads as many keys as it could have.
const BEHIND: usize = MOST;

/// See [`crate::kernels::Kernels::sort`].
#[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
pub fn sort(keys: &mut [u32], spare: &mut Vec<u32>) {
    if keys.len() <= MOST {
        let mut copy = [0; MOST];
        copy[..keys.len()].copy_from_slice(keys);
        return columns(&copy, keys.len(), keys);
    }
    let greatest = keys.iter().fold(0, |greatest, &key| key.max(greatest));
    grow(spare, 3 * keys.len() + 4 * (GAP + BEHIND));
    let (split, room) = spare.split_at_mut(keys.len() + GAP + BEHIND);
    let values = 0..u64::from(greatest) + 1;
    let middle = middle(&values, keys.len());
    let left = part(keys, middle as u32, split);
    sort_sides(split, left, keys.len(), middle, values, room, keys);
}

/// Sorts both sides of a split of `count` keys into `sorted`, which may be longer: what is behind is used up.
#[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
fn sort_sides(
    split: &[u32],
    left: usize,
    count: usize,
    middle: u64,
    values: Range<u64>,
    room: &mut [u32],
    sorted: &mut [u32],
) {
    descend(split, left, values.start..middle, room, sorted);
    descend(
        &split[left + GAP..],
        count - left,
        middle..values.end,
        room,
        &mut sorted[left..],
    );
}

/// Sorts the first `count` keys, all of them in the range of `values`, into `sorted`.
#[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
fn descend(keys: &[u32], count: usize, values: Range<u64>, room: &mut [u32], sorted: &mut [u32]) {
    if count <= MOST {
        if let Some(padded) = keys.first_chunk() {
            columns(padded, count, sorted);
        }
        return;
    }
    let keys = &keys[..count];
    if room.len() < count + GAP + BEHIND || values.end - values.start < 2 {
        sorted[..count].copy_from_slice(keys);
        return sorted[..count].sort_unstable();
    }
    let (split, room) = room.split_at_mut(count + GAP + BEHIND);
    let middle = middle(&values, count);
    let left = part(keys, middle as u32, split);
    sort_sides(split, left, count, middle, values, room, sorted);
}

/// The value that leaves half of the networks for `count` keys on either side.
fn middle(values: &Range<u64>, count: usize) -> u64 {
    let networks = count.div_ceil(MEANT) as u64;
    let span = values.end - values.start;
    values.start + (span * (networks / 2) / networks).max(1)
}

/// Writes keys less than `middle` to the start of `split`, and the others [`GAP`] behind them; returns how many are
/// less. There must be eight keys.
#[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
fn part(keys: &[u32], middle: u32, split: &mut [u32]) -> usize {
    assert!(split.len() >= keys.len() + GAP + BEHIND);
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
        // SAFETY: `right` is at most `keys.len() + GAP`, and `BEHIND` more are there.
        unsafe {
            store_at(split, 0, _mm256_permutevar8x32_epi32(eight, places(less)));
            store_at(
                split,
                right,
                _mm256_permutevar8x32_epi32(eight, places(others)),
            );
        }
    }
    for eight in eights.as_chunks().0 {
        let eight = load(eight);
        let less = less(eight, middle);
        let parted = _mm256_permutevar8x32_epi32(eight, places(less));
        // SAFETY: between `left` and `right` there is room for the keys that are left, eight at least, and the gap.
        unsafe {
            store_at(split, left, parted);
            store_at(split, right - 8, parted);
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
