//! The parts of a text that are ASCII for long enough: n characters are n bytes there, and a kernel takes them.
//!
//! ```text
//! He said "naïve" and went home.
//! ========        ==============      within the text: all bytes between those that are not ASCII
//! ======== ······ ==============      within words: from the first space of these to the last
//! ```

use crate::kernels::Within;
use std::ops::Range;

/// The ASCII stretches of at least so many bytes, in a squeezed text. [`Within::Words`]: with the space before their
/// first word and the one behind their last.
pub fn stretches(
    text: &[u8],
    within: Within,
    shortest: usize,
) -> impl Iterator<Item = Range<usize>> {
    let mut at = 0;
    std::iter::from_fn(move || {
        while at < text.len() {
            let stretch = at..end_of_ascii(text, at);
            at = stretch.end
                + text[stretch.end..]
                    .iter()
                    .take_while(|byte| !byte.is_ascii())
                    .count();
            if stretch.len() < shortest {
                continue;
            }
            let stretch = match within {
                Within::Text => stretch,
                Within::Words => between_spaces(text, stretch),
            };
            if stretch.len() >= shortest {
                return Some(stretch);
            }
        }
        None
    })
}

/// Where the first byte is that is not ASCII, or the end.
fn end_of_ascii(text: &[u8], mut at: usize) -> usize {
    const HIGH: u64 = 0x8080_8080_8080_8080;
    while let Some(&eight) = text[at..].first_chunk() {
        let high = u64::from_le_bytes(eight) & HIGH;
        if high != 0 {
            return at + high.trailing_zeros() as usize / 8;
        }
        at += 8;
    }
    at + text[at..].iter().take_while(|byte| byte.is_ascii()).count()
}

/// From the first space to the last; of a stretch with fewer than two, nothing.
fn between_spaces(text: &[u8], stretch: Range<usize>) -> Range<usize> {
    let is_space = |&byte: &u8| byte == b' ';
    let bytes = &text[stretch.clone()];
    match (
        bytes.iter().position(is_space),
        bytes.iter().rposition(is_space),
    ) {
        (Some(first), Some(last)) if first < last => {
            stretch.start + first..stretch.start + last + 1
        }
        _ => stretch.end..stretch.end,
    }
}

#[cfg(test)]
mod tests {
    use super::stretches;
    use crate::kernels::Within;

    fn found(text: &str, within: Within, shortest: usize) -> Vec<&str> {
        let ranges = stretches(text.as_bytes(), within, shortest);
        ranges.map(|range| &text[range]).collect()
    }

    #[test]
    fn a_text_is_cut_at_what_is_not_ascii() {
        let text = "one two é three four—five";
        assert_eq!(
            found(text, Within::Text, 1),
            ["one two ", " three four", "five"]
        );
        assert_eq!(found(text, Within::Text, 9), [" three four"]);
    }

    #[test]
    fn words_stay_whole_with_a_space_on_both_sides() {
        let text = " one two é three four—five six ";
        assert_eq!(
            found(text, Within::Words, 2),
            [" one two ", " three ", " six "]
        );
        assert_eq!(found(" é ", Within::Words, 2), [""; 0]);
    }

    #[test]
    fn what_is_not_ascii_is_found_at_any_place_of_a_block() {
        for place in 0..40 {
            let text = "a".repeat(place) + "é" + &"b".repeat(40 - place);
            let whole: Vec<&str> = text.split('é').filter(|part| !part.is_empty()).collect();
            assert_eq!(found(&text, Within::Text, 1), whole);
        }
    }
}
