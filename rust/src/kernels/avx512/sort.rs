//! Sorting the keys of one document.
//!
//! ```text
//! up to 256 keys     a network
//! up to 32,768       part: a few ranges of equal width, each key compressed to the end of its own;
//!                    then each range, which hashes fill alike; a range with too many is parted again
//! more               scatter into buckets by the highest bits; a network for as many whole buckets as it takes
//! ```
//!
//! Where parting does not help, because keys are equal on purpose, the standard library sorts.

use super::memory::{LANES, first_16, load_first, store_at};
use super::network;
use crate::kernels::portable::{grow, scatter};
use std::arch::x86_64::*;

/// See [`crate::kernels::Kernels::sort`].
#[target_feature(enable = "avx512vbmi2,popcnt")]
pub fn sort(keys: &mut [u32], spare: &mut Vec<u32>) {
    if keys.len() <= network::MOST {
        network::sort(None, keys);
    } else if keys.len() <= MOST_PARTED {
        grow(spare, LEVELS * MOST_WAYS * stride(keys.len()));
        let range = range(keys);
        let parted = part(keys, range, spare);
        sort_parts(&parted, keys, spare);
    } else {
        sort_scattered(keys, spare);
    }
}

/// More keys than this would need too much memory to be parted in.
const MOST_PARTED: usize = 1 << 15;
/// The most parts made at once, and how many times over there is room for them.
const MOST_WAYS: usize = 8;
const LEVELS: usize = 2;
/// Keys that a part should have, most of what a network of 8 or of 16 rows takes, and the nanoseconds of that; a
/// part costs a sixteenth of one for every key.
const SMALL_PART: (usize, usize) = (105, 111);
const LARGE_PART: (usize, usize) = (215, 264);

/// What parting has made: where the parts lie, how long they are.
struct Parted {
    ways: usize,
    stride: usize,
    lengths: [usize; MOST_WAYS],
}

/// The room of a part: all keys may fall into it, and 16 are written at a time.
fn stride(length: usize) -> usize {
    length + LANES
}

/// The least and the greatest of some keys.
#[inline]
#[target_feature(enable = "avx512vbmi2")]
fn range(keys: &[u32]) -> (u32, u32) {
    let (mut low, mut high) = (_mm512_set1_epi32(-1), _mm512_setzero_si512());
    for at in (0..keys.len()).step_by(LANES) {
        low = _mm512_min_epu32(low, load_first(&keys[at..], low));
        high = _mm512_max_epu32(high, load_first(&keys[at..], high));
    }
    (_mm512_reduce_min_epu32(low), _mm512_reduce_max_epu32(high))
}

/// Parts for networks of 8 or of 16 rows, whichever takes less time.
#[inline]
#[target_feature(enable = "avx512vbmi2,popcnt")]
fn part(keys: &[u32], range: (u32, u32), spare: &mut [u32]) -> Parted {
    let cost = |(length, network): (usize, usize)| {
        let ways = keys.len().div_ceil(length).min(MOST_WAYS);
        (ways * (keys.len() / 16 + network), ways)
    };
    match cost(SMALL_PART).min(cost(LARGE_PART)).1 {
        0..=2 => part_in::<2>(keys, range, spare),
        3 => part_in::<3>(keys, range, spare),
        4 => part_in::<4>(keys, range, spare),
        5 => part_in::<5>(keys, range, spare),
        6 => part_in::<6>(keys, range, spare),
        7 => part_in::<7>(keys, range, spare),
        _ => part_in::<MOST_WAYS>(keys, range, spare),
    }
}

#[target_feature(enable = "avx512vbmi2,popcnt")]
fn part_in<const WAYS: usize>(keys: &[u32], (low, high): (u32, u32), spare: &mut [u32]) -> Parted {
    let width = u64::from(high - low) + 1;
    let starts: [__m512i; WAYS] = std::array::from_fn(|i| {
        let start = u64::from(low) + width * i as u64 / WAYS as u64;
        _mm512_set1_epi32((start as u32).cast_signed())
    });
    let stride = stride(keys.len());
    let mut places: [usize; WAYS] = std::array::from_fn(|i| i * stride);
    for at in (0..keys.len()).step_by(LANES) {
        let here = &keys[at..];
        let valid = first_16(here.len());
        let here = load_first(here, _mm512_set1_epi32(-1));
        for (i, place) in places.iter_mut().enumerate() {
            // Each asks for itself: masks that wait for each other would take longer than a comparison more.
            let reached = if i + 1 < WAYS {
                _mm512_cmplt_epu32_mask(here, starts[i + 1])
            } else {
                valid
            };
            let inside = _mm512_mask_cmpge_epu32_mask(reached, here, starts[i]);
            store_at(spare, *place, _mm512_maskz_compress_epi32(inside, here));
            *place += inside.count_ones() as usize;
        }
    }
    let mut lengths = [0; MOST_WAYS];
    for (i, (length, place)) in lengths.iter_mut().zip(places).enumerate() {
        *length = place - i * stride;
    }
    Parted {
        ways: WAYS,
        stride,
        lengths,
    }
}

/// Sorts the parts that lie at the beginning of `spare` into `keys`.
#[target_feature(enable = "avx512vbmi2,popcnt")]
fn sort_parts(parted: &Parted, keys: &mut [u32], spare: &mut [u32]) {
    let (parts, spare) = spare.split_at_mut(parted.ways * parted.stride);
    let mut rest = keys;
    for (part, length) in parts.chunks(parted.stride).zip(parted.lengths) {
        let (to, behind) = rest.split_at_mut(length);
        sort_part(&part[..length], to, spare);
        rest = behind;
    }
}

#[inline]
#[target_feature(enable = "avx512vbmi2,popcnt")]
fn sort_part(part: &[u32], to: &mut [u32], spare: &mut [u32]) {
    if part.len() <= network::MOST {
        return network::sort(Some(part), to);
    }
    let range = range(part);
    if range.0 < range.1 && spare.len() >= MOST_WAYS * stride(part.len()) {
        let parted = self::part(part, range, spare);
        sort_parts(&parted, to, spare);
    } else {
        to.copy_from_slice(part);
        to.sort_unstable();
    }
}

/// Keys a bucket, at most how many buckets, and how many keys neighbouring buckets are sorted together up to.
const BUCKET: usize = 16;
const MOST_BUCKET_BITS: u32 = 12;
const GROUP: usize = 128;

#[target_feature(enable = "avx512vbmi2")]
fn sort_scattered(keys: &mut [u32], spare: &mut Vec<u32>) {
    let used = u32::BITS - range(keys).1.leading_zeros();
    let bits = (keys.len() / BUCKET)
        .ilog2()
        .min(MOST_BUCKET_BITS)
        .min(used);
    scatter(keys, spare, used - bits, 1 << bits);
    let (mut start, mut end) = (0, 0);
    for &next in &spare[keys.len()..] {
        let next = next as usize;
        if next - start > GROUP {
            sort_group(&mut keys[start..end]);
            start = end;
        }
        end = next;
    }
    sort_group(&mut keys[start..]);
}

#[inline]
#[target_feature(enable = "avx512vbmi2")]
fn sort_group(keys: &mut [u32]) {
    if keys.len() <= network::MOST {
        network::sort(None, keys);
    } else {
        keys.sort_unstable();
    }
}
