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

/// The first character of four bytes, and how many are its own.
#[inline(always)]
pub fn decode([a, b, c, d]: [u8; 4]) -> (u32, usize) {
    let tail = |byte: u8| u32::from(byte & 0x3f);
    match length(a) {
        1 => (u32::from(a), 1),
        2 => (u32::from(a & 0x1f) << 6 | tail(b), 2),
        3 => (u32::from(a & 0xf) << 12 | tail(b) << 6 | tail(c), 3),
        _ => (
            u32::from(a & 7) << 18 | tail(b) << 12 | tail(c) << 6 | tail(d),
            4,
        ),
    }
}

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

    #[test]
    fn every_character_and_surrogate_survives() {
        for character in 0..0x11_0000 {
            let (bytes, count) = encode(character);
            assert_eq!(decode(bytes), (character, count));
            assert_eq!(length(bytes[0]), count);
            if let Some(standard) = char::from_u32(character) {
                assert_eq!(&bytes[..count], standard.to_string().as_bytes());
            }
        }
    }

    #[test]
    fn behind_the_end_there_are_zeros() {
        assert_eq!(four(b"ab", 1), *b"b\0\0\0");
        assert_eq!(four(b"ab", 7), [0; 4]);
    }
}
