//! What every tier must do: the same as naive twins, whatever the text and wherever it lies.

use super::{Fold, Kernels, SLACK, available};
use proptest::prelude::*;

/// The edges and the lower case, byte after byte.
fn naive(text: &[u8], singles: bool) -> Vec<(usize, String)> {
    let word = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    let (mut found, mut at) = (Vec::new(), 0);
    for run in text.chunk_by(|a, b| word(a) == word(b)) {
        if (singles || run.len() > 1) && word(&run[0]) {
            found.push((at, String::from_utf8_lossy(run).to_lowercase()));
        }
        at += run.len();
    }
    found
}

/// Buffers full of rubbish, as documents before leave them.
struct Buffers {
    lowered: Vec<u8>,
    mask: Vec<u64>,
    edges: Vec<u32>,
}

impl Buffers {
    fn used() -> Self {
        Self {
            lowered: vec![b'x'; 5],
            mask: vec![u64::MAX; 2],
            edges: vec![9; 2],
        }
    }

    fn words(&mut self, kernels: &Kernels, text: &[u8], singles: bool) -> Vec<(usize, String)> {
        (kernels.words)(text, true, &mut self.lowered, &mut self.mask);
        let count = (kernels.edges)(&self.mask, singles, &mut self.edges);
        let spans = self.edges[..count].as_chunks::<2>().0;
        let word = |&[start, end]: &[u32; 2]| {
            let span = start as usize..end as usize;
            let text = String::from_utf8_lossy(&self.lowered[span.clone()]);
            (span.start, text.into_owned())
        };
        spans.iter().map(word).collect()
    }
}

/// Words in a text with noise before, between and behind them, and their edges.
fn laid_out(words: &[impl AsRef<[u8]>], noise: u8) -> (Vec<u8>, Vec<u32>) {
    let (mut text, mut edges) = (vec![noise; 3], Vec::new());
    for word in words {
        edges.push(text.len() as u32);
        text.extend(word.as_ref());
        edges.push(text.len() as u32);
        text.push(b' ');
    }
    text.resize(text.len() - 1 + SLACK, noise);
    (text, edges)
}

/// MurmurHash3 x86 32 bit, as published.
fn murmur3(key: &[u8], seed: u32) -> u32 {
    let mix = |block: u32| {
        block
            .wrapping_mul(0xcc9e_2d51)
            .rotate_left(15)
            .wrapping_mul(0x1b87_3593)
    };
    let (blocks, tail) = key.as_chunks::<4>();
    let mut hash = seed;
    for &block in blocks {
        hash = (hash ^ mix(u32::from_le_bytes(block)))
            .rotate_left(13)
            .wrapping_mul(5)
            .wrapping_add(0xe654_6b64);
    }
    let mut last = [0; 4];
    last[..tail.len()].copy_from_slice(tail);
    hash ^= mix(u32::from_le_bytes(last)) ^ key.len() as u32;
    hash = (hash ^ hash >> 16).wrapping_mul(0x85eb_ca6b);
    hash = (hash ^ hash >> 13).wrapping_mul(0xc2b2_ae35);
    hash ^ hash >> 16
}

proptest! {
    #[test]
    fn words_are_those_of_the_naive_twin(text in "[ a-cA-C_9.\\n@\\[`{/:-]{0,300}") {
        for kernels in available() {
            for singles in [false, true] {
                let found = Buffers::used().words(kernels, text.as_bytes(), singles);
                prop_assert_eq!(found, naive(text.as_bytes(), singles), "{}", kernels.name);
            }
        }
    }

    #[test]
    fn the_mask_and_the_lower_case_of_any_bytes_are_those_of_the_first_tier(
        text in prop::collection::vec(any::<u8>(), 0..300), lowercase: bool,
    ) {
        let run = |kernels: &Kernels| {
            let Buffers { mut lowered, mut mask, .. } = Buffers::used();
            let ascii = (kernels.words)(&text, lowercase, &mut lowered, &mut mask);
            lowered.truncate(text.len());
            (lowered, mask, ascii)
        };
        for kernels in available() {
            prop_assert_eq!(run(kernels), run(&super::portable::PORTABLE), "{}", kernels.name);
        }
    }

    #[test]
    fn hashes_are_those_of_murmur3_and_nothing_around_a_word_matters(
        words in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..40), 0..70), n in 1usize..4, noise: u8,
        seed in prop_oneof![Just(0), any::<u32>()],
    ) {
        let (text, edges) = laid_out(&words, noise);
        let expected: Vec<u32> = words.windows(n).map(|run| murmur3(&run.join(&b' '), seed)).collect();
        for kernels in available() {
            let mut hashes = vec![7];
            (kernels.grams)(&text, &edges, n, seed, &mut hashes);
            prop_assert_eq!(&hashes[1..], &expected, "{}", kernels.name);
        }
    }

    #[test]
    fn joined_words_are_the_words_with_a_space_behind_each(
        words in prop::collection::vec("[a-z]{1,40}", 0..70), noise: u8,
    ) {
        let (text, edges) = laid_out(&words, noise);
        let expected: String = words.iter().map(|word| format!("{word} ")).collect();
        for kernels in available() {
            let (mut joined, mut joined_edges) = (vec![7; 90], edges.clone());
            (kernels.join)(&text, &mut joined_edges, &mut joined);
            let found: Vec<&[u8]> = joined_edges.as_chunks::<2>().0.iter()
                .map(|&[start, end]| &joined[start as usize..end as usize]).collect();
            prop_assert_eq!(&joined[..expected.len()], expected.as_bytes(), "{}", kernels.name);
            prop_assert!(joined.len() >= expected.len() + SLACK);
            prop_assert_eq!(found, words.iter().map(String::as_bytes).collect::<Vec<_>>(), "{}", kernels.name);
        }
    }

    #[test]
    fn packed_words_are_those_of_the_mask_joined(
        text in "[a-c_]{0,150}([a-c]{1,40}[ .a]){0,70}|[ab ]{0,200}", singles: bool,
    ) {
        let Buffers { mut lowered, mut mask, mut edges } = Buffers::used();
        (super::portable::PORTABLE.words)(text.as_bytes(), true, &mut lowered, &mut mask);
        let count = super::portable::edges(&mask, singles, &mut edges);
        let mut expected = vec![];
        super::portable::join(&lowered, &mut edges[..count], &mut expected);
        expected.truncate(edges[..count].last().map_or(0, |&end| end as usize + 1));
        for kernels in available() {
            let (mut packed, mut found) = (vec![7; 90], vec![7; 9]);
            let found_count = (kernels.pack)(&lowered, &mask, singles, &mut packed, &mut found);
            prop_assert!(packed.len() >= expected.len() + SLACK);
            prop_assert_eq!(&packed[..expected.len()], &expected, "{}", kernels.name);
            prop_assert_eq!(&found[..found_count], &edges[..count], "{}", kernels.name);
        }
    }

    #[test]
    fn keys_are_remainders_and_signs(
        hashes in prop::collection::vec(any::<u32>(), 0..70), n_features in 1..=1u32 << 31, bits in 0u32..32, signed: bool,
    ) {
        for n_features in [n_features, 1 << bits] {
            let key = |hash: &u32| {
                let feature = hash.cast_signed().unsigned_abs() % n_features;
                if signed { feature << 1 | hash >> 31 } else { feature }
            };
            let expected: Vec<u32> = hashes.iter().map(key).collect();
            for kernels in available() {
                let mut keys = vec![7];
                (kernels.fold)(&hashes, Fold::new(n_features), signed, &mut keys);
                prop_assert_eq!(&keys, &expected, "{}", kernels.name);
            }
        }
    }

    #[test]
    fn keys_are_sorted_whatever_they_are(
        keys in prop::collection::vec(any::<u32>(), 0..600), shift in 0u32..32,
    ) {
        let keys: Vec<u32> = keys.iter().map(|key| key >> shift).collect();
        let mut expected = keys.clone();
        expected.sort_unstable();
        for kernels in available() {
            let mut sorted = keys.clone();
            (kernels.sort)(&mut sorted, &mut vec![7; 3]);
            prop_assert_eq!(&sorted, &expected, "{}", kernels.name);
        }
    }

    #[test]
    fn runs_are_those_of_the_standard_library(
        mut keys in prop::collection::vec(any::<u32>(), 0..300), shift in 0u32..33,
    ) {
        keys.iter_mut().for_each(|key| *key = key.checked_shr(shift).unwrap_or(u32::MAX));
        keys.sort_unstable();
        let runs: Vec<&[u32]> = keys.chunk_by(|a, b| a == b).collect();
        let end = |count: &mut u32, run: &&[u32]| { *count += run.len() as u32; Some(*count) };
        for kernels in available() {
            let (mut distinct, mut ends) = (vec![7; 3], vec![]);
            let count = (kernels.runs)(&keys, &mut distinct, &mut ends);
            prop_assert_eq!(&distinct[..count], runs.iter().map(|run| run[0]).collect::<Vec<_>>(), "{}", kernels.name);
            prop_assert_eq!(&ends[..count], runs.iter().scan(0, end).collect::<Vec<_>>(), "{}", kernels.name);
        }
    }

    #[test]
    fn counts_are_the_lengths_of_runs_with_the_signs_of_their_keys(
        keys in prop::collection::btree_set(any::<u32>(), 0..70), wide: bool, shift in 0u32..32, signed: bool,
        lengths in prop::collection::vec(1u32..40, 70),
    ) {
        let keys: std::collections::BTreeSet<u32> = keys.iter().map(|key| key >> shift).collect();
        let keys: Vec<u32> = keys.into_iter().collect();
        let lengths: Vec<u32> = lengths.iter().map(|length| if wide { length << 20 } else { *length }).collect();
        let sum = |end: &mut u32, length: &u32| { *end += length; Some(*end) };
        let ends: Vec<u32> = lengths.iter().take(keys.len()).scan(0, sum).collect();
        let runs = || keys.iter().zip(&lengths);
        let count = |(key, length): (&u32, &u32)| if signed && key % 2 == 1 { -(*length as i32) } else { *length as i32 };
        for kernels in available() {
            let (mut indices, mut counts) = (vec![7; keys.len()], vec![7; 3]);
            let counted = (kernels.counts)(&keys, &ends, signed, &mut indices, &mut counts);
            prop_assert_eq!(indices, keys.iter().map(|key| (key / 2) as i32).collect::<Vec<_>>(), "{}", kernels.name);
            prop_assert_eq!(&counts[..keys.len()], runs().map(count).collect::<Vec<_>>(), "{}", kernels.name);
            prop_assert_eq!(counted.squares, runs().map(|(_, &length)| u64::from(length).pow(2)).sum::<u64>());
            prop_assert_eq!(counted.both_signs, keys.windows(2).any(|pair| pair[0] / 2 == pair[1] / 2));
        }
    }

    #[test]
    fn quotients_are_divided_and_rounded(
        counts in prop::collection::vec(any::<i32>(), 0..70), shift in 0u32..32, squares in 1u64..1 << 50,
    ) {
        let counts: Vec<i32> = counts.iter().map(|count| count >> shift).collect();
        let by = (squares as f64).sqrt();
        for kernels in available() {
            let (mut double, mut single) = (vec![7.0; counts.len()], vec![7.0; counts.len()]);
            (kernels.quotients)(&counts, by, &mut double);
            (kernels.quotients_f32)(&counts, by, &mut single);
            let bits: Vec<u64> = double.iter().map(|value| value.to_bits()).collect();
            prop_assert_eq!(bits, counts.iter().map(|&count| (f64::from(count) / by).to_bits()).collect::<Vec<_>>());
            let bits: Vec<u32> = single.iter().map(|value| value.to_bits()).collect();
            let rounded = |&count: &i32| ((f64::from(count as f32) / by) as f32).to_bits();
            prop_assert_eq!(bits, counts.iter().map(rounded).collect::<Vec<_>>());
        }
    }
}

#[test]
fn words_that_end_with_a_block_are_whole() {
    for length in [1, 2, 3, 62, 63, 64, 65, 127, 128, 129, 1000] {
        for before in [0, 1, 61, 62, 63, 64] {
            let text = [" ".repeat(before), "W".repeat(length)].concat();
            for kernels in available() {
                let found = Buffers::used().words(kernels, text.as_bytes(), false);
                assert_eq!(
                    found,
                    naive(text.as_bytes(), false),
                    "{} {before} {length}",
                    kernels.name
                );
            }
        }
    }
}

#[test]
fn keys_of_documents_of_every_length_are_sorted() {
    for length in (0..700).chain([1_000, 3_000, 10_000, 32_768, 32_769, 70_000]) {
        // Spread like hashes; every third one of few, as words are.
        let token = |i: u32| if i.is_multiple_of(3) { i % 7 } else { i };
        let key = |i| token(i).wrapping_mul(0x9e37_79b1);
        let keys: Vec<u32> = (0..length).map(key).collect();
        let mut expected = keys.clone();
        expected.sort_unstable();
        for kernels in available() {
            let mut sorted = keys.clone();
            (kernels.sort)(&mut sorted, &mut Vec::new());
            assert_eq!(sorted, expected, "{} {length}", kernels.name);
        }
    }
}

#[test]
fn many_keys_that_crowd_together_are_sorted() {
    let crowded: Vec<u32> = (0..50_000).rev().chain([u32::MAX]).collect();
    let few: Vec<u32> = (0..20_000u32).map(|i| ((i * 7919) % 5) << 28).collect();
    for keys in [crowded, few] {
        let mut expected = keys.clone();
        expected.sort_unstable();
        for kernels in available() {
            let mut sorted = keys.clone();
            (kernels.sort)(&mut sorted, &mut Vec::new());
            assert_eq!(sorted, expected, "{}", kernels.name);
        }
    }
}
