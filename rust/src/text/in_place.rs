//! Text of any alphabet to lower case where no character changes its length, which is nearly every text.
//!
//! ```text
//! all bytes as if they were ASCII      a kernel; other bytes are copied and are no word
//! for each 64 bytes:
//!     for each byte that starts a longer character:
//!         its entry in the table       word: as many bits as it has bytes
//!         not its own lower case       written over it
//! ```
//!
//! Every character stays where it is: the loop visits only those that are not ASCII, and nothing has to be moved.
//! The slow twin is [`super::lower::lower`], which handles what this gives up on.

use super::Table;
use super::lower::{CAPITAL_SIGMA, lower_of_sigma};
use super::utf8::{decode, encode};

const BLOCK: usize = 64;

/// Lower-cases a text in buffers that hold what [`crate::kernels::Kernels::words`] made of it; false if a character
/// is broken or changes its length: what is in the buffers is of no use then.
pub fn lower_in_place(
    text: &[u8],
    lowercase: bool,
    table: &Table,
    lowered: &mut [u8],
    mask: &mut [u64],
) -> bool {
    // What stands behind the text must not complete a character that is cut off.
    lowered[text.len()..text.len() + 4].fill(0);
    if lowercase {
        characters::<true>(text, table, lowered, mask)
    } else {
        characters::<false>(text, table, lowered, mask)
    }
}

fn characters<const LOWER: bool>(
    text: &[u8],
    table: &Table,
    lowered: &mut [u8],
    mask: &mut [u64],
) -> bool {
    let (mut valid, mut missing, mut carry) = (true, 0usize, 0);
    for (i, word) in mask.iter_mut().enumerate() {
        let (others, mut leads) = match text[i * BLOCK..].first_chunk() {
            Some(block) => beyond_ascii(block),
            None => beyond_ascii(&padded(&text[i * BLOCK..])),
        };
        missing += others.count_ones() as usize;
        *word |= carry;
        carry = 0;
        while leads != 0 {
            let place = leads.trailing_zeros();
            leads &= leads - 1;
            let at = i * BLOCK + place as usize;
            let Some(here) = lowered.get_mut(at..).and_then(<[u8]>::first_chunk_mut) else {
                return false;
            };
            let found = decode(*here);
            let entry = table.entry(found.character);
            valid &= found.valid;
            missing = missing.wrapping_sub(found.count);
            if LOWER && !entry.is_lower() {
                let (encoded, count) = encode(if found.character == CAPITAL_SIGMA {
                    lower_of_sigma(text, at, table)
                } else {
                    entry.lower(found.character)
                });
                if entry.expands() || count != found.count {
                    return false;
                }
                here[..count].copy_from_slice(&encoded[..count]);
            }
            let is_word = if LOWER {
                entry.lower_is_word()
            } else {
                entry.is_word()
            };
            let bits = (u128::from(is_word) * ((1 << found.count) - 1)) << place;
            *word |= bits as u64;
            carry |= (bits >> 64) as u64;
        }
    }
    // Each byte beyond ASCII belongs to a character if there are as many as those have.
    valid && missing == 0
}

fn padded(rest: &[u8]) -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    block[..rest.len()].copy_from_slice(rest);
    block
}

/// One bit for each byte that is not ASCII, and one for each that starts a character of several bytes.
#[inline(always)]
fn beyond_ascii(block: &[u8; BLOCK]) -> (u64, u64) {
    const HIGH: u64 = 0x8080_8080_8080_8080;
    // Eight bytes of 0 or 128 to eight bits, as in the kernels.
    let gathered = |high: u64| (high >> 7).wrapping_mul(0x0102_0408_1020_4080) >> 56;
    let (mut others, mut leads) = (0, 0);
    for (i, eight) in block.as_chunks::<8>().0.iter().enumerate() {
        let eight = u64::from_le_bytes(*eight);
        others |= gathered(eight & HIGH) << (8 * i);
        leads |= gathered(eight & (eight << 1) & HIGH) << (8 * i);
    }
    (others, leads)
}

#[cfg(test)]
mod tests {
    use super::super::lower::lower;
    use super::{Table, lower_in_place};
    use crate::kernels;
    use proptest::prelude::*;
    use std::sync::LazyLock;

    static TABLE: LazyLock<Table> = LazyLock::new(|| {
        Table::file("14.0.0")
            .map(Table::decode)
            .expect("a file")
            .expect("a table")
    });

    /// Text and mask of the twin if the fast path takes the text, and those of the fast path.
    fn both(text: &[u8], lowercase: bool) -> Option<[(Vec<u8>, Vec<u64>); 2]> {
        let rubbish = || (vec![0xbf; 7], vec![u64::MAX; 3]);
        let ((mut fast, mut mask), (mut slow, mut slow_mask)) = (rubbish(), rubbish());
        fast.resize(text.len() + 200, 0xbf);
        (kernels::best().words)(text, lowercase, &mut fast, &mut mask);
        let taken = lower_in_place(text, lowercase, &TABLE, &mut fast, &mut mask);
        let valid = lower(text, lowercase, &TABLE, &mut slow, &mut slow_mask);
        assert!(valid || !taken, "broken text was taken");
        fast.truncate(text.len());
        slow.truncate(text.len());
        taken.then_some([(fast, mask), (slow, slow_mask)])
    }

    proptest! {
        #[test]
        fn what_is_lowered_in_place_is_that_of_the_twin(
            text in "([a-zA-Z ]{0,70}|[ΣσΩ\u{300}a. ]{1,9}|\\PC{0,9}|[а-яА-Я一-龥 ]{0,70}){0,6}", lowercase: bool,
        ) {
            if let Some([fast, slow]) = both(text.as_bytes(), lowercase) {
                prop_assert_eq!(fast, slow);
            }
        }

        #[test]
        fn broken_text_is_never_taken(
            text in "[aé一😀]{1,40}", at: prop::sample::Index, byte: u8, end: prop::sample::Index,
        ) {
            let mut bytes = text.into_bytes();
            let at = at.index(bytes.len());
            bytes[at] = byte;
            bytes.truncate(end.index(bytes.len()) + 1);
            if let Some([fast, slow]) = both(&bytes, true) {
                prop_assert_eq!(fast, slow);
            }
        }
    }

    #[test]
    fn ordinary_text_of_many_alphabets_is_taken() {
        for text in [
            "Größe ÉTÉ",
            "ΟΔΟΣ Σίσυφος",
            "Привет МИР",
            "日本語のテキスト",
            "한국어 텍스트",
        ] {
            let long = text.repeat(20);
            let [fast, slow] = both(long.as_bytes(), true).expect("is taken");
            assert_eq!(fast, slow);
        }
    }

    #[test]
    fn a_character_that_changes_its_length_is_given_up_on() {
        for text in ["İstanbul", "GROẞ", "\u{212a}elvin"] {
            assert!(both(text.as_bytes(), true).is_none());
            assert!(both(text.as_bytes(), false).is_some());
        }
    }
}
