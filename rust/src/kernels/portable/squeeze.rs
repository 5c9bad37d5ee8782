//! ASCII text made ready for n-grams of characters: lower case, runs of whitespace one space.
//!
//! Every byte is written where the last one that is kept ends; one that follows whitespace and is whitespace itself
//! does not move that end, and is written over.

use super::grow;
use crate::kernels::{SLACK, Within};

/// See [`crate::kernels::Kernels::squeeze`].
pub fn squeeze(text: &[u8], lowercase: bool, within: Within, squeezed: &mut Vec<u8>) -> usize {
    grow(squeezed, text.len() + 2 + SLACK);
    match (lowercase, within) {
        (false, Within::Text) => squeeze_as::<false, false>(text, squeezed),
        (false, Within::Words) => squeeze_as::<false, true>(text, squeezed),
        (true, Within::Text) => squeeze_as::<true, false>(text, squeezed),
        (true, Within::Words) => squeeze_as::<true, true>(text, squeezed),
    }
}

/// Whether Python's `\s` matches the ASCII character; its separators of files, groups, records and units count.
#[inline(always)]
pub fn is_space(byte: u8) -> bool {
    (byte.wrapping_sub(b'\t') < 5) | (byte.wrapping_sub(0x1c) < 5)
}

fn squeeze_as<const LOWER: bool, const WORDS: bool>(text: &[u8], squeezed: &mut [u8]) -> usize {
    let mut at = 0;
    if WORDS {
        squeezed[0] = b' ';
        at = 1;
    }
    let mut after_space = WORDS;
    let nexts = text.iter().skip(1).copied().chain([b'.']);
    for (&byte, next) in text.iter().zip(nexts) {
        let space = is_space(byte);
        let upper = LOWER & (byte.wrapping_sub(b'A') < 26);
        let lowered = byte | (u8::from(upper) << 5);
        squeezed[at] = if space & (WORDS | is_space(next)) {
            b' '
        } else {
            lowered
        };
        at += usize::from(!(space & after_space));
        after_space = space;
    }
    if !WORDS {
        return at;
    }
    squeezed[at] = b' ';
    at += usize::from(!after_space);
    if at == 1 { 0 } else { at }
}
