//! Text of any alphabet to lower case where no character changes its length, which is nearly every text.
//!
//! ```text
//! all bytes as if they were ASCII      done: other bytes are copied and are no word
//! all other characters                 a kernel; every one stays where it is
//! those that it does not know          Σ, more than three bytes, a symbol with a lower case: looked at alone
//! ```
//!
//! The slow twin is [`super::lower::lower`], which handles what this gives up on.

use super::Table;
use super::lower::{CAPITAL_SIGMA, lower_of_sigma};
use super::unicode_tokens::Beside;
use super::utf8::{decode, encode, four};
use crate::kernels::Kernels;

/// Lower-cases a text in buffers that hold what [`Kernels::words`] made of it, and finds its words as
/// [`super::lower::lower`] and [`super::singles::drop_singles`] do; false if a character is broken or changes its
/// length: what is in the buffers is of no use then.
pub fn lower_in_place(
    kernels: &Kernels,
    text: &[u8],
    lowercase: bool,
    table: &Table,
    lowered: &mut [u8],
    mask: &mut [u64],
) -> bool {
    let mut odd = |at: usize, here: &mut [u8; 4]| lower_one(text, at, lowercase, table, here);
    (kernels.unicode)(text, table.plane(), lowercase, lowered, mask, &mut odd)
}

/// The same for the token rule of the learner: the mask has its words, `beside` what else has tokens.
pub fn tokens_in_place(
    kernels: &Kernels,
    text: &[u8],
    lowercase: bool,
    table: &Table,
    lowered: &mut [u8],
    mask: &mut [u64],
    beside: &mut Beside,
) -> bool {
    let mut odd = |at: usize, here: &mut [u8; 4]| {
        if beside.has(at) {
            return Some(false);
        }
        let found = decode(four(text, at));
        let entry = table.entry(found.character);
        match entry.kind().filter(|_| found.valid) {
            Some(kind) => {
                beside.take(text, at, kind, table);
                Some(false)
            }
            None => {
                let is_word = lower_one(text, at, lowercase, table, here)?;
                Some(is_word || entry.is_mark())
            }
        }
    };
    let plane = table.token_plane();
    (kernels.unicode)(text, plane, lowercase, lowered, mask, &mut odd)
}

/// Writes the lower case of the character at a byte over it; whether that is a word character, or `None` if it is
/// broken or would need another length.
#[cold]
fn lower_one(
    text: &[u8],
    at: usize,
    lowercase: bool,
    table: &Table,
    here: &mut [u8; 4],
) -> Option<bool> {
    let found = decode(four(text, at));
    let entry = table.entry(found.character);
    if !found.valid {
        return None;
    }
    if !lowercase {
        return Some(entry.is_word());
    }
    if !entry.is_lower() {
        let (encoded, count) = encode(if found.character == CAPITAL_SIGMA {
            lower_of_sigma(text, at, table)
        } else {
            entry.lower(found.character)
        });
        if entry.expands() || count != found.count {
            return None;
        }
        here[..count].copy_from_slice(&encoded[..count]);
    }
    Some(entry.lower_is_word())
}

#[cfg(test)]
mod tests {
    use super::super::lower::lower;
    use super::super::singles::drop_singles;
    use super::{Table, lower_in_place};
    use crate::kernels::{Kernels, available};
    use proptest::prelude::*;
    use std::sync::LazyLock;

    static TABLES: LazyLock<Vec<Table>> = LazyLock::new(|| {
        let file = |version| Table::file(version).expect("a file");
        ["14.0.0", "15.0.0", "15.1.0", "16.0.0"]
            .map(|version| Table::decode(file(version)).expect("a table"))
            .into()
    });

    type Words = (Vec<u8>, Vec<u64>);

    /// Text and mask of the twin, if the text is not broken.
    fn slow(text: &[u8], lowercase: bool, table: &Table) -> Option<Words> {
        let (mut lowered, mut mask) = (vec![0xbf; 7], vec![u64::MAX; 3]);
        let valid = lower(text, lowercase, table, &mut lowered, &mut mask).valid;
        drop_singles(&lowered, &mut mask);
        lowered.truncate(text.len());
        valid.then_some((lowered, mask))
    }

    /// Those of each tier, if it takes the text.
    fn fast(text: &[u8], lowercase: bool, table: &Table) -> Vec<Option<Words>> {
        let run = |kernels: &Kernels| {
            let (mut lowered, mut mask) = (vec![0xbf; text.len() + 200], vec![u64::MAX; 3]);
            (kernels.words)(text, lowercase, &mut lowered, &mut mask);
            let taken = lower_in_place(kernels, text, lowercase, table, &mut lowered, &mut mask);
            lowered.truncate(text.len());
            taken.then_some((lowered, mask))
        };
        available().map(run).collect()
    }

    proptest! {
        #[test]
        fn what_is_lowered_in_place_is_that_of_the_twin(
            text in "([a-zA-Z ]{0,70}|[ΣσΩ\u{300}a. ]{1,9}|\\PC{0,9}|[а-яА-Я一-龥 ]{0,70}){0,6}", lowercase: bool,
        ) {
            let expected = slow(text.as_bytes(), lowercase, &TABLES[0]);
            for found in fast(text.as_bytes(), lowercase, &TABLES[0]).into_iter().filter(Option::is_some) {
                prop_assert_eq!(&found, &expected);
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
            let expected = slow(&bytes, true, &TABLES[0]);
            for found in fast(&bytes, true, &TABLES[0]).into_iter().filter(Option::is_some) {
                prop_assert_eq!(&found, &expected);
            }
        }
    }

    /// Text around each character, next to Σ on both sides too.
    fn surroundings(c: char) -> String {
        format!("x{c}Y{c}{c} {c} A{c}Σ {c}Σ AΣ{c}.")
    }

    fn check_every(characters: impl Iterator<Item = char>, lowercase: bool, table: &Table) {
        // Those that are given up on would take others with them.
        let stays = |c: &char| {
            let entry = table.entry((*c).into());
            let lower = char::from_u32(entry.lower((*c).into()));
            !lowercase || !entry.expands() && lower.map(char::len_utf8) == Some(c.len_utf8())
        };
        let all: Vec<char> = characters.filter(stays).collect();
        for (i, some) in all.chunks(64).enumerate() {
            let text: String = some.iter().copied().map(surroundings).collect();
            let text = " ".repeat(i % 64) + &text;
            let expected = slow(text.as_bytes(), lowercase, table);
            for found in fast(text.as_bytes(), lowercase, table) {
                assert_eq!(found, expected, "{:?}", some[0]);
            }
        }
    }

    #[test]
    fn every_character_is_that_of_the_twin() {
        for lowercase in [true, false] {
            check_every('\0'..=char::MAX, lowercase, &TABLES[0]);
        }
    }

    #[test]
    fn every_assigned_character_of_the_other_versions_is_that_of_the_twin() {
        for table in &TABLES[1..] {
            check_every(
                ('\0'..'\u{40000}').chain('\u{e0000}'..'\u{e1000}'),
                true,
                table,
            );
        }
    }

    #[test]
    fn a_character_that_changes_its_length_is_given_up_on() {
        for text in ["İstanbul", "GROẞ", "\u{212a}elvin", "ȺȺ"] {
            for found in fast(text.as_bytes(), true, &TABLES[0]) {
                assert_eq!(found, None);
            }
            for found in fast(text.as_bytes(), false, &TABLES[0]) {
                assert_eq!(found, slow(text.as_bytes(), false, &TABLES[0]));
            }
        }
    }

    #[test]
    fn ordinary_text_of_many_alphabets_is_taken() {
        for text in [
            "Größe ÉTÉ",
            "ΟΔΟΣ Σίσυφος",
            "Привет МИР",
            "ᏣᎳᎩ",
            "日本語のテキスト",
            "𐐀𐐨 😀",
        ] {
            let text = text.repeat(20);
            for found in fast(text.as_bytes(), true, &TABLES[0]) {
                assert_eq!(found, slow(text.as_bytes(), true, &TABLES[0]));
            }
        }
    }
}
