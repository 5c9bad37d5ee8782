//! What every tier must do with characters that are not ASCII: the same as a twin that takes one after the other.

use super::{BLOCK, Class, Kernels, Plane, available};
use proptest::prelude::*;
use std::sync::LazyLock;

/// All classes, mixed; what a character becomes differs from it in its last bit.
fn class(character: char) -> Class {
    let code = u32::from(character);
    match (code.wrapping_mul(0x9e37_79b9) >> 16) % 11 {
        0..5 => Class::Word,
        5..7 => u16::try_from(code).map_or(Class::Odd, |code| Class::Becomes(code ^ 1)),
        7 => Class::Odd,
        _ => Class::Other,
    }
}

/// One that drops words of a single character, and one that keeps them.
static PLANES: LazyLock<[Plane; 2]> = LazyLock::new(|| {
    let class = |code: u16, _| char::from_u32(code.into()).map_or(Class::Odd, class);
    [false, true].map(|singles| Plane::new(singles, class))
});

/// What odd characters are here: word characters if they are even, and the second byte changes.
fn odd_one(character: char, bytes: &mut [u8]) -> bool {
    bytes[1] ^= 1;
    u32::from(character).is_multiple_of(2)
}

/// The lower case and the mask of each plane; `None` for broken text.
fn run(kernels: &Kernels, text: &[u8]) -> Option<Vec<(Vec<u8>, Vec<u64>)>> {
    PLANES
        .iter()
        .map(|plane| run_on(kernels, text, plane))
        .collect()
}

fn run_on(kernels: &Kernels, text: &[u8], plane: &Plane) -> Option<(Vec<u8>, Vec<u64>)> {
    let (mut lowered, mut mask) = (vec![0xbf; text.len() + 300], vec![u64::MAX; 2]);
    (kernels.words)(text, true, &mut lowered, &mut mask);
    let mut odd = |at: usize, here: &mut [u8; 4]| {
        let valid = text[at..].utf8_chunks().next()?.valid();
        Some(odd_one(valid.chars().next()?, here))
    };
    let valid = (kernels.unicode)(text, plane, true, &mut lowered, &mut mask, &mut odd);
    lowered.truncate(text.len());
    valid.then_some((lowered, mask))
}

/// The same, character after character.
fn twin(text: &str) -> Vec<(Vec<u8>, Vec<u64>)> {
    [false, true].map(|singles| twin_of(text, singles)).to_vec()
}

fn twin_of(text: &str, singles: bool) -> (Vec<u8>, Vec<u64>) {
    let (mut lowered, mut spans) = (Vec::new(), Vec::new());
    for character in text.chars() {
        let at = lowered.len();
        let mut bytes = character.to_string().into_bytes();
        let is_word = match class(character) {
            _ if character.is_ascii() => {
                bytes.make_ascii_lowercase();
                character.is_ascii_alphanumeric() || character == '_'
            }
            Class::Becomes(_) => {
                bytes[character.len_utf8() - 1] ^= 1;
                true
            }
            Class::Odd => odd_one(character, &mut bytes),
            _ if character.len_utf8() == 4 => odd_one(character, &mut bytes),
            known => known == Class::Word,
        };
        lowered.extend(bytes);
        spans.push((at..lowered.len(), is_word));
    }
    let mut mask = vec![0; lowered.len().div_ceil(BLOCK)];
    let word_at = |i: usize| spans.get(i).is_some_and(|(_, is_word)| *is_word);
    for (i, (span, is_word)) in spans.iter().enumerate() {
        let alone = !singles && span.len() > 1 && !word_at(i + 1) && !word_at(i.wrapping_sub(1));
        for at in span.clone().filter(|_| *is_word && !alone) {
            mask[at / BLOCK] |= 1 << (at % BLOCK);
        }
    }
    (lowered, mask)
}

proptest! {
    #[test]
    fn text_becomes_what_the_twin_makes_of_it(
        text in "([a-zA-Z .]{0,40}|[а-яА-Я. ]{0,40}|[一-龥. ]{0,30}|\\PC{0,9}|[α一😀]{0,40}|[aéx ]{0,20}){0,6}",
    ) {
        for kernels in available() {
            prop_assert_eq!(run(kernels, text.as_bytes()), Some(twin(&text)), "{}", kernels.name);
        }
    }

    #[test]
    fn broken_text_is_refused_and_no_other(
        text in "[aé一😀߿ࠀ\u{ffff}\u{10000}]{1,50}", at: prop::sample::Index,
        byte in prop_oneof![any::<u8>(), prop::sample::select(b"\xc0\xc1\xe0\xed\xf0\xf4\xf5\x80\x9f\xa0".to_vec())],
        end: prop::sample::Index,
    ) {
        let mut bytes = text.into_bytes();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        bytes.truncate(end.index(bytes.len()) + 1);
        for kernels in available() {
            let expected = str::from_utf8(&bytes).ok().map(twin);
            prop_assert_eq!(run(kernels, &bytes), expected, "{}", kernels.name);
        }
    }

    #[test]
    fn any_bytes_are_taken_or_refused_by_all_tiers_alike(
        bytes in prop::collection::vec(prop_oneof![0x80u8.., any::<u8>()], 0..200),
    ) {
        for kernels in available() {
            prop_assert_eq!(run(kernels, &bytes).is_some(), str::from_utf8(&bytes).is_ok(), "{}", kernels.name);
        }
    }
}

#[test]
fn every_character_is_found_wherever_it_lies_in_a_block() {
    for character in ["é", "一", "😀", "aé.", "é一😀", "x😀y"] {
        for before in 0..2 * BLOCK {
            let text = [&" ".repeat(before), character, character, " ", character].concat();
            for kernels in available() {
                let name = kernels.name;
                assert_eq!(
                    run(kernels, text.as_bytes()),
                    Some(twin(&text)),
                    "{name} {text:?}"
                );
            }
        }
    }
}

#[test]
fn a_character_that_is_cut_off_by_the_end_is_refused() {
    for length in [60, 61, 62, 63, 64, 124, 125, 126, 127, 128] {
        for character in ["é", "一", "😀"] {
            let mut text = ["a".repeat(length), character.to_owned()]
                .concat()
                .into_bytes();
            text.pop();
            for kernels in available() {
                assert_eq!(run(kernels, &text), None, "{} {length}", kernels.name);
            }
        }
    }
}

#[cfg(unix)]
#[test]
fn no_byte_around_the_text_is_read() {
    use super::guarded::{Against, Guarded};
    let long = "aé一😀 ЖΩ字x".repeat(20);
    for (end, character) in long.char_indices() {
        let text = &long[..end + character.len_utf8()];
        for against in [Against::Start, Against::End] {
            let guarded = Guarded::new(text.as_bytes(), against);
            for kernels in available() {
                assert_eq!(run(kernels, &guarded), Some(twin(text)), "{}", kernels.name);
            }
        }
    }
}
