//! One character of UTF-8 at a time, in a form that also carries lone surrogates.

/// The bytes of the character that starts with `lead`.
#[inline(always)]
pub fn length(lead: u8) -> usize {
    match lead {
        0..0xc0 => 1,
        0xc0..0xe0 => 2,
        0xe0..0xf0 => 3,
        _ => 4,
    }
}

/// The four bytes from `at` on; those behind the end are 0.
#[inline(always)]
pub fn four(text: &[u8], at: usize) -> [u8; 4] {
    let rest = &text[at.min(text.len())..];
    rest.first_chunk().copied().unwrap_or_else(|| {
        let mut padded = [0; 4];
        padded[..rest.len()].copy_from_slice(rest);
        padded
    })
}

/// A character read from four bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decoded {
    /// The code point.
    pub character: u32,
    /// How many bytes it takes.
    pub count: usize,
    /// Whether those are its UTF-8: not cut off, no longer than need be, no surrogate.
    pub valid: bool,
}

/// The first character of four bytes; of broken bytes, something. Without a branch, since the next letter of a
/// text is as likely to take one byte as two.
#[inline(always)]
pub fn decode(bytes: [u8; 4]) -> Decoded {
    let [count, lead, least] = SHAPE[(bytes[0] >> 3) as usize];
    let joined = u32::from_be_bytes(bytes);
    let tails = (joined >> 16 & 0x3f) << 12 | (joined >> 8 & 0x3f) << 6 | joined & 0x3f;
    let character = (lead & u32::from(bytes[0])) << 18 | tails;
    let character = character >> (24 - 6 * count);
    // 10 must stand at the head of the tails that are there, and only of those is asked.
    let heads = (joined ^ 0x0080_8080) & 0x00c0_c0c0 & !(0x00ff_ffff_u32 >> (8 * count - 8));
    let surrogate = character.wrapping_sub(0xd800) < 0x800;
    let valid = (heads == 0) & (character >= least) & (character < 0x11_0000) & !surrogate;
    Decoded {
        character,
        count: count as usize,
        valid,
    }
}

/// By the five highest bits of the first byte: bytes of the character, its bits in the first, the least character
/// that needs so many.
const SHAPE: [[u32; 3]; 32] = {
    let mut shape = [[1, 0x7f, 0]; 32];
    let mut i = 16;
    while i < 32 {
        shape[i] = match i {
            16..24 => [1, 0xff, u32::MAX], // a tail without a head
            24..28 => [2, 0x1f, 0x80],
            28..30 => [3, 0xf, 0x800],
            30 => [4, 7, 0x1_0000],
            _ => [4, 7, u32::MAX],
        };
        i += 1;
    }
    shape
};

/// A character's bytes, and how many they are.
pub fn encode(character: u32) -> ([u8; 4], usize) {
    let tail = |shift: u32| 0x80 | (character >> shift & 0x3f) as u8;
    match character {
        0..0x80 => ([character as u8, 0, 0, 0], 1),
        0x80..0x800 => ([0xc0 | (character >> 6) as u8, tail(0), 0, 0], 2),
        0x800..0x1_0000 => ([0xe0 | (character >> 12) as u8, tail(6), tail(0), 0], 3),
        _ => (
            [0xf0 | (character >> 18) as u8, tail(12), tail(6), tail(0)],
            4,
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::{decode, encode, four, length};
    use proptest::prelude::*;

    #[test]
    fn every_character_and_surrogate_survives() {
        for character in 0..0x11_0000 {
            let (bytes, count) = encode(character);
            let decoded = decode(bytes);
            assert_eq!((decoded.character, decoded.count), (character, count));
            assert_eq!(length(bytes[0]), count);
            assert_eq!(decoded.valid, char::from_u32(character).is_some());
            if let Some(standard) = char::from_u32(character) {
                assert_eq!(&bytes[..count], standard.to_string().as_bytes());
            }
        }
    }

    proptest! {
        #[test]
        fn what_is_valid_is_what_the_standard_library_takes(bytes: [u8; 4]) {
            let decoded = decode(bytes);
            prop_assert_eq!(decoded.valid, str::from_utf8(&bytes[..decoded.count]).is_ok());
        }
    }

    #[test]
    fn behind_the_end_there_are_zeros() {
        assert_eq!(four(b"ab", 1), *b"b\0\0\0");
        assert_eq!(four(b"ab", 7), [0; 4]);
    }
}
