//! What the kernels know of the characters of two and three bytes: two bits each, and the lower case of those that
//! have another one.
//!
//! ```text
//! class    0 no word character · 1 word character · 3 becomes another one, a word character of as many bytes
//!          2 odd: anything else, to be looked at alone
//! classes  16 characters in 32 bits, 16 KB: a text of one alphabet stays in a few cache lines
//! ```

/// Characters of the basic multilingual plane, those of up to three bytes.
const CHARACTERS: usize = 1 << 16;
/// Classes in 32 bits.
const PACKED: usize = 16;

/// What a character is to the kernels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Not a word character; stays as it is.
    Other,
    /// A word character; stays as it is.
    Word,
    /// Becomes this one, which is a word character and takes as many bytes.
    Becomes(u16),
    /// Has to be looked at alone.
    Odd,
}

/// The classes of all characters of two and three bytes, as they stand and in lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plane {
    plain: Box<[u32; CHARACTERS / PACKED]>,
    lowered: Box<[u32; CHARACTERS / PACKED]>,
    /// One more, so that 32 bits can be read at any.
    lower: Box<[u16; CHARACTERS + 1]>,
    singles: bool,
}

impl Plane {
    /// The plane in which `class(character, lowercase)` says what a character is; [`Class::Becomes`] only in lower
    /// case. Surrogates and what is ASCII (two bytes that say so are broken) are odd without being asked for.
    /// `singles`: whether a word character by itself is a word.
    #[must_use]
    pub fn new(singles: bool, class: impl Fn(u16, bool) -> Class) -> Self {
        let mut plane = Self {
            plain: Box::new([0; _]),
            lowered: Box::new([0; _]),
            lower: Box::new([0; _]),
            singles,
        };
        for character in 0..=u16::MAX {
            for lowercase in [false, true] {
                let bits = match character {
                    0..0x80 | 0xd800..0xe000 => 2,
                    _ => match class(character, lowercase) {
                        Class::Other => 0,
                        Class::Word => 1,
                        Class::Odd => 2,
                        Class::Becomes(lower) => {
                            plane.lower[usize::from(character)] = lower;
                            3
                        }
                    },
                };
                let classes = if lowercase {
                    &mut plane.lowered
                } else {
                    &mut plane.plain
                };
                let (place, shift) = Self::place(character);
                classes[place] |= bits << shift;
            }
        }
        plane
    }

    /// Whether a word character by itself is a word.
    #[inline(always)]
    pub(super) fn singles(&self) -> bool {
        self.singles
    }

    /// The classes of all characters, packed.
    #[inline(always)]
    pub(super) fn classes(&self, lowercase: bool) -> &[u32; CHARACTERS / PACKED] {
        if lowercase {
            &self.lowered
        } else {
            &self.plain
        }
    }

    /// The lower case of those that become another one.
    #[inline(always)]
    pub(super) fn lower(&self) -> &[u16; CHARACTERS + 1] {
        &self.lower
    }

    /// Where the two bits of a character are: in which 32, and how far to shift them.
    #[inline(always)]
    pub(super) fn place(character: u16) -> (usize, u32) {
        let character = usize::from(character);
        (character / PACKED, 2 * (character % PACKED) as u32)
    }
}
