//! All slices of a few lengths to their hashes, one after the other.

use super::murmur3;
use crate::kernels::Within;

/// See [`crate::kernels::Kernels::windows`].
pub fn windows(
    text: &[u8],
    length: usize,
    least: usize,
    greatest: usize,
    within: Within,
    hashes: &mut Vec<u32>,
) {
    match within {
        Within::Text => slices(text, 0, length, least, greatest, hashes),
        Within::Words => {
            let mut start = 0;
            for end in (1..length).filter(|&at| text[at] == b' ') {
                slices(text, start, end + 1, least, greatest, hashes);
                if end + 1 - start < least {
                    hashes.push(murmur3(text, start, end + 1));
                }
                start = end;
            }
        }
    }
}

/// The hashes of all slices of `text[start..end]`.
#[inline(always)]
fn slices(
    text: &[u8],
    start: usize,
    end: usize,
    least: usize,
    greatest: usize,
    hashes: &mut Vec<u32>,
) {
    for n in least..=greatest.min(end - start) {
        hashes.extend((start..=end - n).map(|at| murmur3(text, at, at + n)));
    }
}

/// [`windows`] of a wider tier, whose loop over `slices` gets whether they must hold no space but at their ends, and
/// how long the longest are: of words, up to `LONGEST` bytes; longer ones are rare, and go one by one.
pub fn windows_by<const LONGEST: usize>(
    text: &[u8],
    length: usize,
    least: usize,
    greatest: usize,
    within: Within,
    hashes: &mut Vec<u32>,
    slices: impl FnOnce(bool, usize, &mut Vec<u32>),
) {
    let greatest = greatest.min(length);
    match within {
        Within::Text => slices(false, greatest, hashes),
        Within::Words if greatest > LONGEST => {
            windows(text, length, least, greatest, within, hashes);
        }
        Within::Words => {
            slices(true, greatest, hashes);
            beside(text, length, least, hashes);
        }
    }
}

/// What n-grams of words are beside the slices that hold no space but at their ends: the space between two words,
/// which belongs to both, a second time; and words of fewer bytes than `least`.
fn beside(text: &[u8], length: usize, least: usize, hashes: &mut Vec<u32>) {
    const SHORTEST: usize = 3; // one character and two spaces
    if least > 1 && least <= SHORTEST {
        return;
    }
    let mut start = 0;
    for end in (1..length).filter(|&at| text[at] == b' ') {
        if end + 1 - start < least {
            hashes.push(murmur3(text, start, end + 1));
        } else if least == 1 && end + 1 < length {
            hashes.push(murmur3(text, end, end + 1));
        }
        start = end;
    }
}
