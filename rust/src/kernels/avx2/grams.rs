//! Words to the hashes of runs of them: murmur3 of eight at once.
//!
//! ```text
//! for each eight runs:
//!     repeat until nothing is left of any:
//!         16 bytes of each, transposed to four vectors of keys
//!         for each vector of keys:
//!             key  ← the bytes that are left of it, else 0, whose mix is 0
//!             hash ← hash ^ mix(key); stepped on where all four bytes are left
//!     finish
//! ```
//!
//! One word in a hundred is longer than 16 bytes, so nearly all eights go round once.

use super::access::{load_16_at, load_opaque, store};
use super::columns::transposed;
use crate::kernels::SLACK;
use std::arch::x86_64::{
    __m256i, _mm256_add_epi32, _mm256_and_si256, _mm256_blendv_ps, _mm256_castps_si256,
    _mm256_castsi128_si256, _mm256_castsi256_ps, _mm256_cmpeq_epi32, _mm256_cmpgt_epi8,
    _mm256_inserti128_si256, _mm256_max_epu32, _mm256_min_epu32, _mm256_movemask_epi8,
    _mm256_mullo_epi32, _mm256_or_si256, _mm256_permute4x64_epi64, _mm256_set1_epi32,
    _mm256_shuffle_ps, _mm256_slli_epi32, _mm256_srli_epi32, _mm256_sub_epi32, _mm256_testc_si256,
    _mm256_testz_si256, _mm256_xor_si256,
};

/// See [`crate::kernels::Kernels::grams`].
#[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
pub fn grams(text: &[u8], edges: &[u32], n: usize, seed: u32, hashes: &mut Vec<u32>) {
    let lasts = edges.get(2 * (n - 1)..).unwrap_or_default();
    let (firsts, first_rest) = edges[..lasts.len()].as_chunks();
    let (lasts, last_rest) = lasts.as_chunks();
    let before = hashes.len();
    let count = 8 * lasts.len() + last_rest.len() / 2;
    hashes.resize(before + count.next_multiple_of(8), 0);
    let outs = hashes[before..].as_chunks_mut().0;
    let (outs, out_rest) = outs.split_at_mut(lasts.len());
    // Fewer than eight runs at the end are made eight by empty ones, whose hashes are cut off again.
    let (first_rest, last_rest) = ([padded(first_rest)], [padded(last_rest)]);
    let parts = [
        (firsts, lasts, outs),
        (&first_rest[..], &last_rest[..], out_rest),
    ];
    for (firsts, lasts, outs) in parts {
        for ((first, last), out) in firsts.iter().zip(lasts).zip(outs) {
            store(out, eight(text, first, last, seed));
        }
    }
    hashes.truncate(before + count);
}

fn padded(rest: &[u32]) -> [u32; 16] {
    let mut padded = [0; 16];
    padded[..rest.len()].copy_from_slice(rest);
    padded
}

/// The hashes of eight runs: from the first edge of each pair in `first` to the second of each in `last`.
#[inline]
#[target_feature(enable = "avx2")]
fn eight(text: &[u8], first: &[u32; 16], last: &[u32; 16], seed: u32) -> __m256i {
    let at = every_second::<0b10_00_10_00>(first);
    let length = _mm256_sub_epi32(every_second::<0b11_01_11_01>(last), at);
    let addresses = [0, 2, 8, 10, 4, 6, 12, 14].map(|i: usize| first[i]);
    let here = _mm256_min_epu32(length, splat(16));
    let mut hash = take_in(splat(seed), gathered(text, at, addresses), here);
    if _mm256_testc_si256(here, length) == 0 {
        hash = go_on(text, at, length, hash);
    }
    _mm256_permute4x64_epi64::<0b11_01_10_00>(finish(_mm256_xor_si256(hash, length)))
}

/// Takes in what is behind the first 16 bytes.
#[cold]
#[inline(never)]
#[target_feature(enable = "avx2")]
fn go_on(text: &[u8], mut at: __m256i, mut rest: __m256i, mut hash: __m256i) -> __m256i {
    let mut here = _mm256_min_epu32(rest, splat(16));
    loop {
        rest = _mm256_sub_epi32(rest, here);
        if _mm256_testz_si256(rest, rest) == 1 {
            return hash;
        }
        at = _mm256_add_epi32(at, here);
        here = _mm256_min_epu32(rest, splat(16));
        let mut addresses = [0; 8];
        store(&mut addresses, at);
        hash = take_in(hash, gathered(text, at, addresses), here);
    }
}

/// Every second number, in the order 0, 1, 4, 5, 2, 3, 6, 7, for which no lane has to cross the middle.
#[inline]
#[target_feature(enable = "avx2")]
fn every_second<const WHICH: i32>(edges: &[u32; 16]) -> __m256i {
    let halves = edges.as_chunks().0;
    let [low, high] = [0, 1].map(|i| _mm256_castsi256_ps(load_opaque(&halves[i])));
    _mm256_castps_si256(_mm256_shuffle_ps::<WHICH>(low, high))
}

/// The 16 bytes at each address as four vectors: number `j` of all eight in vector `j`.
///
/// # Panics
/// If an address is not [`SLACK`] bytes before the end of the text.
#[inline]
#[target_feature(enable = "avx2")]
fn gathered(text: &[u8], at: __m256i, addresses: [u32; 8]) -> [__m256i; 4] {
    let last = text.len().checked_sub(SLACK).expect("slack");
    let most = splat(u32::try_from(last).unwrap_or(u32::MAX));
    let inside = _mm256_cmpeq_epi32(_mm256_max_epu32(at, most), most);
    assert!(_mm256_movemask_epi8(inside) == -1, "slack behind the words");
    // SAFETY: `addresses` are the lanes of `at`, none of which is greater than the text's length less `SLACK`.
    let rows = addresses.map(|address| unsafe { load_16_at(text, address as usize) });
    let row = |i: usize| _mm256_inserti128_si256::<1>(_mm256_castsi128_si256(rows[i]), rows[i + 4]);
    transposed([row(0), row(1), row(2), row(3)])
}

/// Takes in 16 bytes of each, of which the first `here` count.
#[inline]
#[target_feature(enable = "avx2")]
fn take_in(mut hash: __m256i, keys: [__m256i; 4], here: __m256i) -> __m256i {
    let here = multiplied(here, 0x0101_0101); // in every byte
    let mut places = splat(0x0302_0100);
    for key in keys {
        let kept = _mm256_cmpgt_epi8(here, places);
        places = _mm256_add_epi32(places, splat(0x0404_0404));
        let key = multiplied(_mm256_and_si256(key, kept), 0xcc9e_2d51);
        let key = multiplied(rotated::<15, 17>(key), 0x1b87_3593);
        let mixed = _mm256_xor_si256(hash, key);
        let rotated = rotated::<13, 19>(mixed);
        let five_times = _mm256_add_epi32(_mm256_slli_epi32::<2>(rotated), rotated);
        let stepped = _mm256_add_epi32(five_times, splat(0xe654_6b64));
        // The sign of `kept` is that of its last byte: whether the whole key counts.
        let [mixed, stepped, kept] = [mixed, stepped, kept].map(|lanes| _mm256_castsi256_ps(lanes));
        hash = _mm256_castps_si256(_mm256_blendv_ps(mixed, stepped, kept));
    }
    hash
}

#[inline]
#[target_feature(enable = "avx2")]
pub fn finish(hash: __m256i) -> __m256i {
    let hash = _mm256_xor_si256(hash, _mm256_srli_epi32::<16>(hash));
    let hash = multiplied(hash, 0x85eb_ca6b);
    let hash = _mm256_xor_si256(hash, _mm256_srli_epi32::<13>(hash));
    let hash = multiplied(hash, 0xc2b2_ae35);
    _mm256_xor_si256(hash, _mm256_srli_epi32::<16>(hash))
}

#[inline]
#[target_feature(enable = "avx2")]
pub fn multiplied(lanes: __m256i, by: u32) -> __m256i {
    _mm256_mullo_epi32(lanes, splat(by))
}

/// Rotated left by `LEFT`; `RIGHT` is 32 less that.
#[inline]
#[target_feature(enable = "avx2")]
pub fn rotated<const LEFT: i32, const RIGHT: i32>(lanes: __m256i) -> __m256i {
    _mm256_or_si256(
        _mm256_slli_epi32::<LEFT>(lanes),
        _mm256_srli_epi32::<RIGHT>(lanes),
    )
}

#[inline]
#[target_feature(enable = "avx2")]
pub fn splat(number: u32) -> __m256i {
    _mm256_set1_epi32(number.cast_signed())
}

#[cfg(test)]
mod tests {
    use super::super::detected;
    use crate::kernels::SLACK;
    use std::panic::catch_unwind;

    #[test]
    fn an_edge_without_slack_behind_it_is_refused() {
        let refused = |edges: [u32; 2]| {
            let run = |kernels: &crate::kernels::Kernels| {
                (kernels.grams)(&[0; 20 + SLACK], &edges, 1, 0, &mut Vec::new());
            };
            detected().is_none_or(|kernels| catch_unwind(|| run(kernels)).is_err())
        };
        for edges in [[21, 25], [u32::MAX, u32::MAX], [0, 90], [15, 14]] {
            assert!(refused(edges), "{edges:?}");
        }
        assert!(detected().is_none() || !refused([0, 20]));
    }
}
