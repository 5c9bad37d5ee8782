//! What every tier must do for n-grams of characters: the same as naive twins in the words of scikit-learn.

use super::portable::murmur3;
use super::{Kernels, SLACK, Windows, Within, available};
use proptest::prelude::*;

const BOTH: [Within; 2] = [Within::Text, Within::Words];

fn is_space(c: char) -> bool {
    c.is_ascii_whitespace() || ('\x1c'..='\x1f').contains(&c) || c == '\x0b'
}

/// The text with runs of two and more whitespace characters as one space.
fn collapsed(text: &str) -> String {
    let characters: Vec<char> = text.chars().collect();
    let runs = characters.chunk_by(|&a, &b| is_space(a) == is_space(b));
    runs.map(|run| match run {
        [a, _, ..] if is_space(*a) => " ".to_owned(),
        _ => run.iter().collect(),
    })
    .collect()
}

fn padded_words(text: &str) -> Vec<String> {
    let words = text.split(is_space).filter(|word| !word.is_empty());
    words.map(|word| format!(" {word} ")).collect()
}

fn n_grams(span: &str, n: usize) -> Vec<String> {
    let characters: Vec<char> = span.chars().collect();
    characters
        .windows(n)
        .map(|gram| gram.iter().collect())
        .collect()
}

/// `_char_ngrams` and `_char_wb_ngrams`.
fn naive(text: &str, least: usize, greatest: usize, within: Within) -> Vec<String> {
    let text = collapsed(text);
    let greatest = greatest.min(least.max(text.len() + 2)); // longer ones there are none
    if within == Within::Text {
        return (least..=greatest).flat_map(|n| n_grams(&text, n)).collect();
    }
    let mut grams = Vec::new();
    for word in padded_words(&text) {
        for n in least..=greatest {
            if n >= word.len() {
                grams.push(word);
                break;
            }
            grams.extend(n_grams(&word, n));
        }
    }
    grams
}

/// The text in a buffer full of rubbish, as documents before leave it, and its length.
fn squeezed(kernels: &Kernels, text: &str, lowercase: bool, within: Within) -> (Vec<u8>, usize) {
    let mut out = vec![b' '; 300];
    let length = (kernels.squeeze)(text.as_bytes(), lowercase, within, &mut out);
    (out, length)
}

fn check(text: &str, least: usize, greatest: usize) {
    let seed = (text.len() as u32 % 3).wrapping_mul(0x9e37_79b1);
    for within in BOTH {
        let mut expected: Vec<u32> = naive(&text.to_lowercase(), least, greatest, within)
            .iter()
            .map(|gram| {
                murmur3(
                    &[gram.as_bytes(), &[0; SLACK]].concat(),
                    0,
                    gram.len(),
                    seed,
                )
            })
            .collect();
        expected.sort_unstable();
        for kernels in available() {
            let (out, length) = squeezed(kernels, text, true, within);
            let mut hashes = vec![7];
            let windows = Windows {
                least,
                greatest,
                within,
                seed,
            };
            (kernels.windows)(&out, length, windows, &mut hashes);
            assert_eq!(hashes[0], 7);
            hashes.remove(0);
            hashes.sort_unstable();
            assert_eq!(
                hashes, expected,
                "{} {within:?} {text:?} {least} {greatest}",
                kernels.name
            );
        }
    }
}

proptest! {
    #[test]
    fn squeezed_text_is_that_of_the_naive_twin(
        text in "([a-cX-Z@\\[`{_.]{0,9}|[ \\t\\n\\x0b\\x0c\\r\\x1b-\\x1f\\x00\\x08\\x0e!]{0,5}| {60,70}){0,40}",
        lowercase: bool,
    ) {
        let cased = if lowercase { text.to_lowercase() } else { text.clone() };
        let words = padded_words(&cased).concat().replace("  ", " ");
        for kernels in available() {
            for (within, expected) in BOTH.into_iter().zip([collapsed(&cased), words.clone()]) {
                let (out, length) = squeezed(kernels, &text, lowercase, within);
                prop_assert_eq!(&out[..length], expected.as_bytes(), "{} {:?}", kernels.name, within);
            }
        }
    }

    #[test]
    fn n_grams_of_characters_are_those_of_the_naive_twin(
        text in "([a-cA-C]{0,9}|[ \\n]{0,3}|[a-z]{60,70}){0,30}", least in 1usize..9, more in 0usize..9,
    ) {
        check(&text, least, least + more);
    }

    #[test]
    fn n_grams_may_be_longer_than_any_block(
        text in "[ab]{0,150} [ab ]{0,90}", least in 1usize..140, more in 0usize..70,
    ) {
        check(&text, least, least + more);
    }
}

#[test]
fn n_grams_at_the_edges_of_blocks_are_whole() {
    for length in [
        1, 2, 15, 16, 17, 31, 32, 33, 47, 48, 49, 62, 63, 64, 65, 126, 127, 128, 129,
    ] {
        for text in [
            "ab".repeat(length),
            "a ".repeat(length),
            " ".repeat(length),
            "x".repeat(length) + " y",
        ] {
            check(&text, 1, 7);
            check(&text[..length], 3, 5);
        }
    }
}

#[test]
fn sizes_without_bound_are_no_more_than_the_text() {
    check("one two  three", 2, usize::MAX);
    check("one two  three", usize::MAX, usize::MAX);
    check("", 1, usize::MAX);
}
