//! Words to the hashes of runs of them: murmur3 over 16 bytes at once, the unused part masked, each step selected
//! and not jumped over.

/// See [`crate::kernels::Kernels::grams`].
pub fn grams(text: &[u8], edges: &[u32], n: usize, seed: u32, hashes: &mut Vec<u32>) {
    let words = edges.as_chunks::<2>().0;
    let lasts = words.get(n - 1..).unwrap_or_default();
    hashes.extend(
        words
            .iter()
            .zip(lasts)
            .map(|(first, last)| murmur3(text, first[0] as usize, last[1] as usize, seed)),
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

/// MurmurHash3 x86 32 bit, with this seed, of `text[start..end]`; there must be [`SLACK`] bytes behind `end`.
#[inline(always)]
pub fn murmur3(text: &[u8], start: usize, end: usize, seed: u32) -> u32 {
    let mut hash = seed;
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
    use super::murmur3;
    use crate::kernels::SLACK;

    #[test]
    fn hashes_are_the_published_ones() {
        let vectors: [(&[u8], u32, u32); 6] = [
            (b"", 0, 0),
            (b"", 1, 0x514e_28b7),
            (b"cat", 0, 1_751_422_759),
            (b"sat", 0, 703_717_300),
            (b"Hello, world!", 0, 0xc036_3e43),
            (b"Hello, world!", 0x9747_b28c, 0x2488_4cba),
        ];
        for (key, seed, hash) in vectors {
            let text = [key, &[1; SLACK]].concat();
            assert_eq!(murmur3(&text, 0, key.len(), seed), hash);
        }
    }
}
