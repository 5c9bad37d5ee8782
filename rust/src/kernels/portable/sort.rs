//! Sorting the keys of one document: 32 bits, spread evenly because they are hashes, many of them equal.
//!
//! ```text
//! few keys      the standard library's sort
//! else          count by the highest bits, about one key a bucket; scatter; insert what is out of place
//!               more than a few moves a key (a text made for that): the standard library's sort after all
//! ```
//!
//! One pass over buckets and one insertion take about half the time of a comparison sort at 100 to 1,000 keys; a
//! full radix sort spends more on its counters than it saves.

/// Fewer keys than this are sorted by comparison.
const FEW: usize = 24;
/// At most this many buckets, of the highest bits.
const MOST_BUCKET_BITS: u32 = 12;
/// Moves a key that insertion may take before it gives up.
const PATIENCE: usize = 8;

/// Sorts ascending; `spare` is memory to work in.
pub fn sort(keys: &mut [u32], spare: &mut Vec<u32>) {
    if keys.len() < FEW {
        return keys.sort_unstable();
    }
    let used = u32::BITS - keys.iter().fold(0, |all, &key| all | key).leading_zeros();
    let bits = (keys.len().ilog2() + 1).min(MOST_BUCKET_BITS).min(used);
    scatter(keys, spare, used - bits, 1 << bits);
    if !insert(keys) {
        keys.sort_unstable();
    }
}

/// Orders the keys by `key >> shift`, which must be less than `buckets`; leaves the end of each bucket in `spare`,
/// behind as many numbers as there are keys.
fn scatter(keys: &mut [u32], spare: &mut Vec<u32>, shift: u32, buckets: usize) {
    spare.clear();
    spare.extend_from_slice(keys);
    spare.resize(keys.len() + buckets, 0);
    let (spare, ends) = spare.split_at_mut(keys.len());
    for &key in &*spare {
        ends[(key >> shift) as usize] += 1;
    }
    let mut before = 0;
    for end in &mut *ends {
        before += std::mem::replace(end, before);
    }
    for &key in &*spare {
        let next = &mut ends[(key >> shift) as usize];
        keys[*next as usize] = key;
        *next += 1;
    }
}

/// Insertion sort; false if it gave up.
fn insert(keys: &mut [u32]) -> bool {
    let mut moves = PATIENCE * keys.len();
    for i in 1..keys.len() {
        let key = keys[i];
        let mut at = i;
        while at > 0 && keys[at - 1] > key {
            keys[at] = keys[at - 1];
            at -= 1;
        }
        keys[at] = key;
        match moves.checked_sub(i - at) {
            Some(left) => moves = left,
            None => return false,
        }
    }
    true
}
