//! Whitespace of other alphabets written over with that of ASCII, which a kernel then squeezes.
//!
//! ```text
//! for each 64 bytes: does a whitespace character beyond ASCII start at any of them?      (no branch; nearly never)
//!     a space over each of its bytes: all of a run become one space, however many they are
//!     within the text, one that stands alone stays as it is
//! ```
//!
//! Whitespace is what Python's `\s` and `str.split` take for it: the same 29 characters in all its versions, which a
//! test asks the running one for. The slow twin is Python's own `re`.

use super::utf8::length;
use crate::kernels::Within;
use crate::kernels::portable::is_space;

/// Bytes that are asked about at a time, and those of the longest such character behind its first.
const BLOCK: usize = 64;
const BEHIND: usize = 2;

/// Writes spaces over all whitespace characters beyond ASCII; [`Within::Text`]: over those beside another.
pub fn blank(text: &mut [u8], within: Within) {
    let mut from = 0;
    while let Some(at) = first_wide(text, from) {
        let end = (at + length(text[at])).min(text.len());
        let beside = |text: &[u8]| {
            let after_space = at > 0 && is_space(text[at - 1]);
            let behind = three(text, end);
            after_space || end < text.len() && is_space(behind[0]) || is_wide(behind)
        };
        if within == Within::Words || beside(text) {
            text[at..end].fill(b' ');
        }
        from = end;
    }
}

/// Whether the character that starts at a byte is whitespace.
pub fn starts_with_space(text: &[u8], at: usize) -> bool {
    text.get(at).is_some_and(|&byte| is_space(byte)) || is_wide(three(text, at))
}

/// Where the next whitespace character beyond ASCII starts.
fn first_wide(text: &[u8], from: usize) -> Option<usize> {
    (from..text.len()).step_by(BLOCK).find_map(|start| {
        let rest = &text[start..];
        let found = match rest.first_chunk() {
            Some(block) => any_wide(block),
            None => {
                let mut padded = [0; BLOCK + BEHIND];
                padded[..rest.len()].copy_from_slice(rest);
                any_wide(&padded)
            }
        };
        let end = text.len().min(start + BLOCK);
        let mut places = start..if found { end } else { start };
        places.find(|&at| is_wide(three(text, at)))
    })
}

/// Whether one starts at any of the first bytes of a block.
#[inline(always)]
fn any_wide(block: &[u8; BLOCK + BEHIND]) -> bool {
    (0..BLOCK).fold(false, |any, i| {
        any | is_wide([block[i], block[i + 1], block[i + 2]])
    })
}

/// The three bytes from `at` on; those behind the end are 0.
#[inline(always)]
fn three(text: &[u8], at: usize) -> [u8; 3] {
    std::array::from_fn(|i| text.get(at + i).copied().unwrap_or(0))
}

/// Whether bytes start with a whitespace character of two or three bytes, without a branch.
#[inline(always)]
fn is_wide([first, second, third]: [u8; 3]) -> bool {
    let next_line = (first == 0xc2) & ((second == 0x85) | (second == 0xa0));
    let ogham = (first == 0xe1) & (second == 0x9a) & (third == 0x80);
    let ideographic = (first == 0xe3) & (second == 0x80) & (third == 0x80);
    let spaces = third.wrapping_sub(0x80) < 11;
    let separators = (third == 0xa8) | (third == 0xa9) | (third == 0xaf);
    let punctuation = (second == 0x80) & (spaces | separators);
    let mathematical = (second == 0x81) & (third == 0x9f);
    next_line | ogham | ideographic | (first == 0xe2) & (punctuation | mathematical)
}

#[cfg(test)]
mod tests {
    use super::{blank, is_wide, three};
    use crate::kernels::Within;
    use proptest::prelude::*;

    fn is_named(c: char) -> bool {
        let alone = "\u{85}\u{a0}\u{1680}\u{2028}\u{2029}\u{202f}\u{205f}\u{3000}";
        alone.contains(c) || ('\u{2000}'..='\u{200a}').contains(&c)
    }

    #[test]
    fn whitespace_beyond_ascii_is_nineteen_characters() {
        for c in char::MIN..=char::MAX {
            assert_eq!(
                is_wide(three(c.to_string().as_bytes(), 0)),
                is_named(c),
                "{c:?}"
            );
        }
    }

    fn blanked(text: &str, within: Within) -> String {
        let mut bytes = text.as_bytes().to_vec();
        blank(&mut bytes, within);
        String::from_utf8(bytes).expect("characters are written over whole")
    }

    proptest! {
        #[test]
        fn one_that_stands_alone_stays_in_a_text_and_no_other_anywhere(
            text in "(.{0,70}|[ \\n\u{85}\u{a0}\u{2003}\u{3000}é—]{0,5}){0,12}",
        ) {
            let characters: Vec<char> = text.chars().collect();
            let runs = characters.chunk_by(|a, b| is_any(*a) == is_any(*b));
            let naive = |alone_stays: bool| -> String {
                let kept = |run: &[char], c| !is_named(c) || alone_stays && run.len() == 1;
                let one = |run: &[char], c: char| if kept(run, c) { c.into() } else { " ".repeat(c.len_utf8()) };
                runs.clone().flat_map(|run| run.iter().map(move |&c| one(run, c))).collect()
            };
            prop_assert_eq!(blanked(&text, Within::Text), naive(true));
            prop_assert_eq!(blanked(&text, Within::Words), naive(false));
        }
    }

    fn is_any(c: char) -> bool {
        is_named(c) || matches!(c, '\t'..='\r' | '\x1c'..=' ')
    }
}
