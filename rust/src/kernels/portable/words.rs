//! ASCII text to lower case and one bit a byte: word character or not.

use super::{BLOCK, SLACK, grow};

/// See [`crate::kernels::Kernels::words`].
pub fn words(text: &[u8], lowercase: bool, lowered: &mut Vec<u8>, mask: &mut Vec<u64>) -> bool {
    if lowercase {
        words_by(text, lowered, mask, classify::<true, BLOCK>);
    } else {
        words_by(text, lowered, mask, classify::<false, BLOCK>);
    }
    text.is_ascii()
}

/// The same with any function for a block.
#[inline(always)]
pub fn words_by(
    text: &[u8],
    lowered: &mut Vec<u8>,
    mask: &mut Vec<u64>,
    mut classify: impl FnMut(&[u8; BLOCK], &mut [u8; BLOCK]) -> u64,
) {
    grow(lowered, text.len().next_multiple_of(BLOCK) + SLACK);
    mask.clear();
    mask.resize(text.len().div_ceil(BLOCK), 0);
    let (blocks, rest) = text.as_chunks();
    let mut outs = mask.iter_mut().zip(lowered.as_chunks_mut().0);
    for (block, (word, out)) in blocks.iter().zip(&mut outs) {
        *word = classify(block, out);
    }
    if let Some((word, out)) = outs.next() {
        let mut block = [0; BLOCK];
        block[..rest.len()].copy_from_slice(rest);
        *word = classify(&block, out);
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
