//! The characters that are not ASCII: their word bits, and their lower case over them.
//!
//! ```text
//! for each block that is not ASCII alone:
//!     for each start of a longer character:
//!         code point of two or three bytes → class
//!         becomes another one              written over it
//!         odd, or four bytes               the caller is asked
//!     starts of word characters → word bits of their bytes                     (Joiner)
//! ```
//!
//! What is broken needs no test of its own: two bytes that say ASCII and surrogates are odd, three bytes that would
//! fit in two are made so, and all others do not fit together.

use crate::kernels::leads::{BLOCK, Joiner, Leads, beyond_ascii, places};
use crate::kernels::{Odd, Plane, SLACK};

/// What was found in a block.
#[derive(Debug, Clone, Copy, Default)]
pub struct Found {
    /// Bytes that are not ASCII.
    pub others: u64,
    /// Where they start characters.
    pub leads: Leads,
    /// Starts of word characters.
    pub words: u64,
    /// Starts of characters that have to be asked about.
    pub odd: u64,
}

/// A block of lower case and what its last character may reach into.
pub type Room = [u8; BLOCK + SLACK];

/// See [`crate::kernels::Kernels::unicode`].
pub fn unicode(
    text: &[u8],
    plane: &Plane,
    lowercase: bool,
    lowered: &mut [u8],
    mask: &mut [u64],
    odd: &mut Odd<'_>,
) -> bool {
    let classes = plane.classes(lowercase);
    unicode_by(text, plane, lowered, mask, odd, |rest, here| {
        look(rest, here, classes, plane, beyond_ascii)
    })
}

/// The same with any function that looks at the block in front of the rest of the text and writes lower case.
#[inline(always)]
pub fn unicode_by(
    text: &[u8],
    plane: &Plane,
    lowered: &mut [u8],
    mask: &mut [u64],
    odd: &mut Odd<'_>,
    mut look: impl FnMut(&[u8], &mut Room) -> Found,
) -> bool {
    let mut joiner = Joiner::new(plane.singles());
    for start in (0..text.len()).step_by(BLOCK) {
        let Some(here) = lowered[start..].first_chunk_mut() else {
            return false;
        };
        let mut found = look(&text[start..], here);
        for place in places(found.odd) {
            let asked = here[place..].first_chunk_mut();
            let Some(is_word) = asked.and_then(|asked| odd(start + place, asked)) else {
                return false;
            };
            found.words |= u64::from(is_word) << place;
        }
        joiner.push(found.others, found.leads, found.words, mask, start / BLOCK);
    }
    joiner.end(mask)
}

/// Looks at a block; `beyond_ascii` says which of its bytes are not ASCII, and which start a character of two bytes
/// and more.
#[inline(always)]
pub fn look(
    rest: &[u8],
    here: &mut Room,
    classes: &[u32],
    plane: &Plane,
    beyond_ascii: impl Fn(&[u8; BLOCK]) -> (u64, u64),
) -> Found {
    let (others, two) = match rest.first_chunk() {
        Some(block) => beyond_ascii(block),
        None => beyond_ascii(&padded(rest)),
    };
    let (mut words, mut odd, mut three, mut four) = (0, 0, 0, 0);
    for place in places(two) {
        let Some(bytes) = here[place..].first_chunk_mut() else {
            break;
        };
        three |= u64::from(bytes[0] >= 0xe0) << place;
        if bytes[0] >= 0xf0 {
            four |= 1 << place;
            continue;
        }
        let character = character(*bytes);
        let (at, shift) = Plane::place(character);
        let class = classes[at] >> shift;
        words |= u64::from(class & 1) << place;
        if class & 2 != 0 {
            if class & 1 != 0 {
                write(bytes, plane.lower()[usize::from(character)]);
            } else {
                odd |= 1 << place;
            }
        }
    }
    Found {
        others,
        leads: Leads { two, three, four },
        words,
        odd: odd | four,
    }
}

fn padded(rest: &[u8]) -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    block[..rest.len()].copy_from_slice(rest);
    block
}

/// The character of two or three bytes at the front; 0 if it is in three bytes and has no need of them.
#[inline(always)]
fn character(bytes: [u8; 4]) -> u16 {
    let [first, second, third, _] = bytes.map(u16::from);
    let two = (first & 0x1f) << 6 | second & 0x3f;
    let three = first << 12 | (second & 0x3f) << 6 | third & 0x3f;
    if first < 0xe0 {
        two
    } else if three < 0x800 {
        0
    } else {
        three
    }
}

/// Writes a character over one of two or three bytes, and as long.
#[inline(always)]
fn write(bytes: &mut [u8; 4], character: u16) {
    let tail = |shift: u32| 0x80 | (character >> shift & 0x3f) as u8;
    if bytes[0] < 0xe0 {
        bytes[..2].copy_from_slice(&[0xc0 | (character >> 6) as u8, tail(0)]);
    } else {
        bytes[..3].copy_from_slice(&[0xe0 | (character >> 12) as u8, tail(6), tail(0)]);
    }
}
