//! Whitespace of any alphabet squeezed, and where each character starts.
//!
//! Whitespace is what Python's `\s` and `str.split` take for it: the same 29 characters in all its versions, which a
//! test asks the running one for. The slow twin is Python's own `re`.

use super::utf8::{decode, four, length};
use crate::kernels::Within;

/// Writes the text with one space for each run of whitespace characters ([`Within::Text`]: of two and more;
/// [`Within::Words`]: of one and more, and a space before and behind each word); of a text without words nothing.
/// `starts` gets where each character starts, and the length.
pub fn squeeze(text: &[u8], within: Within, squeezed: &mut Vec<u8>, starts: &mut Vec<u32>) {
    squeezed.clear();
    starts.clear();
    let mut push = |bytes: &[u8]| {
        starts.push(squeezed.len() as u32);
        squeezed.extend_from_slice(bytes);
    };
    let words = within == Within::Words;
    let (mut at, mut after_space, mut is_empty) = (0, words, true);
    if words {
        push(b" ");
    }
    while at < text.len() {
        let end = (at + length(text[at])).min(text.len());
        let space = is_space(text, at);
        if !space {
            push(&text[at..end]);
            is_empty = false;
        } else if !after_space {
            let alone = !words && (end == text.len() || !is_space(text, end));
            push(if alone { &text[at..end] } else { b" " });
        }
        after_space = space;
        at = end;
    }
    if words && !after_space {
        push(b" ");
    }
    starts.push(squeezed.len() as u32);
    if words && is_empty {
        squeezed.clear();
        starts.clear();
    }
}

/// Whether the character that starts at this byte is whitespace.
#[inline(always)]
fn is_space(text: &[u8], at: usize) -> bool {
    let character = decode(four(text, at)).character;
    matches!(character, 9..=13 | 0x1c..=0x20 | 0x85 | 0xa0 | 0x1680)
        || matches!(
            character,
            0x2000..=0x200a | 0x2028 | 0x2029 | 0x202f | 0x205f | 0x3000
        )
}
