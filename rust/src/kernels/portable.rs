//! The tier for any processor: no branch that depends on the text, and no `unsafe`.
//!
//! ```text
//! words   64 bytes at a time: class and lower case by comparing ranges, which compilers vectorise;
//!         the 0/1 bytes become 64 bits by eight multiplications
//! edges   a bit without neighbours is a word of one byte: drop it; an edge is where a bit differs from the one
//!         before; positions of the set bits are written without asking how many there are
//! grams   murmur3 over 16 bytes at once, the unused part masked, each step selected and not jumped over
//! ```

use super::sort::sort;
use super::{Kernels, SLACK};

/// Plain Rust.
pub const PORTABLE: Kernels = Kernels {
    words,
    edges,
    grams,
    sort,
};

/// Bytes of a block, bits of a mask word.
const BLOCK: usize = 64;

fn words(text: &[u8], lowercase: bool, lowered: &mut Vec<u8>, mask: &mut Vec<u64>) {
    grow(lowered, text.len().next_multiple_of(BLOCK) + SLACK);
    mask.clear();
    if lowercase {
        words_as::<true>(text, lowered, mask);
    } else {
        words_as::<false>(text, lowered, mask);
    }
}

/// Makes a buffer long enough; what it holds does not matter, and so it is never cleared.
fn grow<T: Copy + Default>(buffer: &mut Vec<T>, length: usize) {
    if buffer.len() < length {
        buffer.resize(length, T::default());
    }
}

fn words_as<const LOWER: bool>(text: &[u8], lowered: &mut [u8], mask: &mut Vec<u64>) {
    let (blocks, rest) = text.as_chunks::<BLOCK>();
    let (outs, _) = lowered.as_chunks_mut::<BLOCK>();
    mask.extend(
        blocks
            .iter()
            .zip(&mut *outs)
            .map(|(block, out)| classify::<LOWER, BLOCK>(block, out)),
    );
    if !rest.is_empty() {
        let mut block = [0; BLOCK];
        block[..rest.len()].copy_from_slice(rest);
        mask.push(classify::<LOWER, BLOCK>(&block, &mut outs[blocks.len()]));
    }
}

/// The lower case of `N` ASCII bytes (8, 16 … 64), and bit `i` set where byte `i` is a letter, a digit or `_`.
#[inline(always)]
pub fn classify<const LOWER: bool, const N: usize>(block: &[u8; N], lowered: &mut [u8; N]) -> u64 {
    let mut word = [0u8; N];
    for i in 0..N {
        let byte = block[i];
        let upper = byte.wrapping_sub(b'A') < 26;
        let letter = (byte | 0x20).wrapping_sub(b'a') < 26;
        let digit = byte.wrapping_sub(b'0') < 10;
        lowered[i] = if LOWER && upper { byte | 0x20 } else { byte };
        word[i] = u8::from(letter | digit | (byte == b'_'));
    }
    let mut bits = 0;
    for (i, eight) in word.as_chunks::<8>().0.iter().enumerate() {
        // Eight bytes of 0 or 1 to eight bits: the product moves bit 8i to bit 56 + i, and no two terms meet.
        let top = u64::from_le_bytes(*eight).wrapping_mul(0x0102_0408_1020_4080) >> 56;
        bits |= top << (8 * i);
    }
    bits
}

/// Positions written per mask word without looking: ordinary text has about 20 edges in 64 bytes.
const UNASKED: usize = 24;

fn edges(mask: &[u64], edges: &mut Vec<u32>) -> usize {
    grow(edges, (mask.len() + 1) * BLOCK);
    let mut count = 0;
    let (mut word_before, mut kept_before) = (0, 0);
    for (i, &word) in mask.iter().enumerate() {
        let next = mask.get(i + 1).map_or(0, |next| next << 63);
        let kept = word & ((word << 1 | word_before) | (word >> 1 | next));
        let changes = kept ^ (kept << 1 | kept_before);
        (word_before, kept_before) = (word >> 63, kept >> 63);
        if let Some(room) = edges[count..].first_chunk_mut::<BLOCK>() {
            count += positions(changes, (i * BLOCK) as u32, room);
        }
    }
    edges[count] = (mask.len() * BLOCK) as u32;
    count + kept_before as usize
}

/// Writes `base` plus the place of each set bit; returns how many there are. What is behind them is rubbish.
#[inline(always)]
fn positions(mut bits: u64, base: u32, out: &mut [u32; BLOCK]) -> usize {
    let count = bits.count_ones() as usize;
    for slot in &mut out[..UNASKED] {
        *slot = base + bits.trailing_zeros();
        bits &= bits.wrapping_sub(1);
    }
    if count > UNASKED {
        for slot in &mut out[UNASKED..count] {
            *slot = base + bits.trailing_zeros();
            bits &= bits.wrapping_sub(1);
        }
    }
    count
}

fn grams(text: &[u8], edges: &[u32], n: usize, hashes: &mut Vec<u32>) {
    let words = edges.as_chunks::<2>().0;
    let lasts = words.get(n - 1..).unwrap_or_default();
    hashes.extend(
        words
            .iter()
            .zip(lasts)
            .map(|(first, last)| murmur3(text, first[0] as usize, last[1] as usize)),
    );
}

#[inline(always)]
fn mix_key(key: u32) -> u32 {
    key.wrapping_mul(0xcc9e_2d51)
        .rotate_left(15)
        .wrapping_mul(0x1b87_3593)
}

#[inline(always)]
fn mix_hash(hash: u32) -> u32 {
    hash.rotate_left(13)
        .wrapping_mul(5)
        .wrapping_add(0xe654_6b64)
}

#[inline(always)]
fn finish(mut hash: u32) -> u32 {
    hash ^= hash >> 16;
    hash = hash.wrapping_mul(0x85eb_ca6b);
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(0xc2b2_ae35);
    hash ^ (hash >> 16)
}

/// The masks that keep the first `r` of 16 bytes.
const KEEP: [u128; 17] = {
    let mut keep = [u128::MAX; 17];
    let mut r = 0;
    while r < 16 {
        keep[r] = (1 << (8 * r)) - 1;
        r += 1;
    }
    keep
};

/// MurmurHash3 x86 32 bit, seed 0, of `text[start..end]`; there must be [`SLACK`] bytes behind `end`.
#[inline(always)]
pub fn murmur3(text: &[u8], start: usize, end: usize) -> u32 {
    let mut hash = 0;
    let mut at = start;
    while end - at > 16 {
        for key in keys(text, at, u128::MAX) {
            hash = mix_hash(hash ^ mix_key(key));
        }
        at += 16;
    }
    let rest = end - at;
    for (i, key) in keys(text, at, KEEP[rest]).into_iter().enumerate() {
        let mixed = hash ^ mix_key(key); // an absent key is 0, whose mix is 0
        hash = if rest >= 4 * (i + 1) {
            mix_hash(mixed)
        } else {
            mixed
        };
    }
    finish(hash ^ (end - start) as u32)
}

#[inline(always)]
fn keys(text: &[u8], at: usize, keep: u128) -> [u32; 4] {
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&text[at..at + 16]);
    let masked = u128::from_le_bytes(bytes) & keep;
    [
        masked as u32,
        (masked >> 32) as u32,
        (masked >> 64) as u32,
        (masked >> 96) as u32,
    ]
}

#[cfg(test)]
mod tests {
    use super::{PORTABLE, SLACK, murmur3};
    use proptest::prelude::*;

    /// The edges and the lower case, byte after byte.
    fn naive(text: &[u8]) -> Vec<(usize, String)> {
        let word = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
        let (mut found, mut at) = (Vec::new(), 0);
        for run in text.chunk_by(|a, b| word(a) == word(b)) {
            if run.len() > 1 && word(&run[0]) {
                found.push((at, String::from_utf8_lossy(run).to_lowercase()));
            }
            at += run.len();
        }
        found
    }

    fn here(text: &[u8], lowered: &mut Vec<u8>, edges: &mut Vec<u32>) -> Vec<(usize, String)> {
        let mut mask = vec![u64::MAX; 2];
        (PORTABLE.words)(text, true, lowered, &mut mask);
        let count = (PORTABLE.edges)(&mask, edges);
        let spans = edges[..count]
            .as_chunks::<2>()
            .0
            .iter()
            .map(|&[start, end]| start as usize..end as usize);
        spans
            .map(|span| {
                (
                    span.start,
                    String::from_utf8_lossy(&lowered[span]).into_owned(),
                )
            })
            .collect()
    }

    proptest! {
        #[test]
        fn words_are_those_of_the_naive_twin(text in "[ a-cA-C_9.\\n]{0,300}") {
            let (mut lowered, mut edges) = (vec![b'x'; 5], vec![9; 2]);
            prop_assert_eq!(here(text.as_bytes(), &mut lowered, &mut edges), naive(text.as_bytes()));
        }

        #[test]
        fn bytes_around_a_hash_do_not_matter(key in prop::collection::vec(any::<u8>(), 0..50), noise: u8) {
            let mut alone = key.clone();
            alone.resize(key.len() + SLACK, 0);
            let mut framed = vec![noise; 3];
            framed.extend(&key);
            framed.resize(framed.len() + SLACK, noise);
            prop_assert_eq!(murmur3(&alone, 0, key.len()), murmur3(&framed, 3, 3 + key.len()));
        }
    }

    #[test]
    fn words_that_end_with_a_block_are_whole() {
        for length in [1, 2, 3, 62, 63, 64, 65, 127, 128, 129, 1000] {
            for before in [0, 1, 61, 62, 63, 64] {
                let text = [" ".repeat(before), "W".repeat(length)].concat();
                let found = here(text.as_bytes(), &mut Vec::new(), &mut Vec::new());
                assert_eq!(found, naive(text.as_bytes()), "{before} {length}");
            }
        }
    }

    #[test]
    fn hashes_are_the_published_ones() {
        let vectors: [(&[u8], u32); 4] = [
            (b"", 0),
            (b"cat", 1_751_422_759),
            (b"sat", 703_717_300),
            (b"Hello, world!", 0xc036_3e43),
        ];
        for (key, hash) in vectors {
            assert_eq!(murmur3(&[key, &[1; SLACK]].concat(), 0, key.len()), hash);
        }
    }
}
