//! All slices of a few lengths to their hashes, one after the other.

use super::murmur3;
use crate::kernels::{Windows, Within};

/// See [`crate::kernels::Kernels::windows`].
pub fn windows(text: &[u8], length: usize, windows: Windows, hashes: &mut Vec<u32>) {
    match windows.within {
        Within::Text => slices(text, 0, length, windows, hashes),
        Within::Words => {
            let mut start = 0;
            for end in (1..length).filter(|&at| text[at] == b' ') {
                slices(text, start, end + 1, windows, hashes);
                if end + 1 - start < windows.least {
                    hashes.push(murmur3(text, start, end + 1, windows.seed));
                }
                start = end;
            }
        }
    }
}

/// The hashes of all slices of `text[start..end]`.
#[inline(always)]
fn slices(text: &[u8], start: usize, end: usize, windows: Windows, hashes: &mut Vec<u32>) {
    for n in windows.least..=windows.greatest.min(end - start) {
        hashes.extend((start..=end - n).map(|at| murmur3(text, at, at + n, windows.seed)));
    }
}

/// [`windows`] of a wider tier, whose loop over `slices` gets whether they must hold no space but at their ends, and
/// how long the longest are: of words, up to `LONGEST` bytes; longer ones are rare, and go one by one.
pub fn windows_by<const LONGEST: usize>(
    text: &[u8],
    length: usize,
    windows: Windows,
    hashes: &mut Vec<u32>,
    slices: impl FnOnce(bool, usize, &mut Vec<u32>),
) {
    let greatest = windows.greatest.min(length);
    match windows.within {
        Within::Text => slices(false, greatest, hashes),
        Within::Words if greatest > LONGEST => {
            self::windows(
                text,
                length,
                Windows {
                    greatest,
                    ..windows
                },
                hashes,
            );
        }
        Within::Words => {
            slices(true, greatest, hashes);
            beside(text, length, windows, hashes);
        }
    }
}

/// What n-grams of words are beside the slices that hold no space but at their ends: the space between two words,
/// which belongs to both, a second time; and words of fewer bytes than `least`.
fn beside(text: &[u8], length: usize, windows: Windows, hashes: &mut Vec<u32>) {
    const SHORTEST: usize = 3; // one character and two spaces
    let Windows { least, seed, .. } = windows;
    if least > 1 && least <= SHORTEST {
        return;
    }
    let mut start = 0;
    for end in (1..length).filter(|&at| text[at] == b' ') {
        if end + 1 - start < least {
            hashes.push(murmur3(text, start, end + 1, seed));
        } else if least == 1 && end + 1 < length {
            hashes.push(murmur3(text, end, end + 1, seed));
        }
        start = end;
    }
}
