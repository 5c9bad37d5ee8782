//! What the pipeline must give, written as one would explain it: characters, strings, maps.
//!
//! It shares with the product only the table of characters, which other tests hold to Python's.

use _core::rows::{CsrOptions, Norm, RowOptions, Value};
use _core::text::{Kind, Table};
use std::collections::BTreeMap;

/// The characters of UTF-8 in which lone surrogates may stand; `None` of any other bytes.
pub fn characters(mut bytes: &[u8]) -> Option<Vec<u32>> {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let whole = |count: &usize| {
            bytes
                .get(..*count)
                .is_some_and(|part| str::from_utf8(part).is_ok())
        };
        let (character, count) = match (1..=4).find(whole) {
            Some(count) => (
                str::from_utf8(&bytes[..count]).ok()?.chars().next()? as u32,
                count,
            ),
            None => match *bytes {
                [0xed, second @ 0xa0..=0xbf, third @ 0x80..=0xbf, ..] => {
                    let tails = u32::from(second & 0x3f) << 6 | u32::from(third & 0x3f);
                    (0xd000 | tails, 3)
                }
                _ => return None,
            },
        };
        found.push(character);
        bytes = &bytes[count..];
    }
    Some(found)
}

const CAPITAL_SIGMA: u32 = 0x3a3;

/// `str.lower`.
pub fn lower(text: &[u32], table: &Table) -> Vec<u32> {
    let mut lowered = Vec::new();
    for (i, &character) in text.iter().enumerate() {
        let entry = table.entry(character);
        if character == CAPITAL_SIGMA {
            let case = |&character: &u32| table.entry(character).cased_unless_ignorable();
            let before = text[..i].iter().rev().find_map(case).unwrap_or(false);
            let after = text[i + 1..].iter().find_map(case).unwrap_or(false);
            lowered.push(if before && !after { 0x3c2 } else { 0x3c3 });
        } else if entry.expands() {
            lowered.extend(table.expansion(character));
        } else {
            lowered.push(entry.lower(character));
        }
    }
    lowered
}

/// `re.findall(r"(?u)\b\w\w+\b", text)`
pub fn words(text: &[u32], table: &Table) -> Vec<Vec<u32>> {
    text.split(|&character| !table.entry(character).is_word())
        .filter(|word| word.len() >= 2)
        .map(<[u32]>::to_vec)
        .collect()
}

/// The tokens of the learner between runs of scripts without spaces, and the n-grams of the letters of these runs.
pub fn tokens(text: &[u32], table: &Table) -> (Vec<Vec<Vec<u32>>>, Vec<Vec<u32>>) {
    let entry = |at: usize| text.get(at).map(|&character| table.entry(character));
    let is_mark = |at| entry(at).is_some_and(|entry| entry.is_mark());
    let kind = |at| entry(at).and_then(|entry| entry.kind());
    let is_word = |at: usize| {
        entry(at)
            .is_some_and(|entry| entry.kind().is_none() && (entry.is_word() || entry.is_mark()))
    };
    let is = |at: usize, range: std::ops::RangeInclusive<char>| {
        let character = text.get(at).copied().and_then(char::from_u32);
        character.is_some_and(|character| range.contains(&character))
    };
    let is_regional = |at| is(at, '\u{1f1e6}'..='\u{1f1ff}');
    let (mut stretches, mut grams, mut at) = (vec![vec![]], vec![], 0);
    while at < text.len() {
        let start = at;
        at += 1;
        if kind(start) == Some(Kind::Unspaced) {
            let mut letters = vec![];
            let mut first = start;
            loop {
                while is_mark(at) {
                    at += 1;
                }
                letters.push(text[first..at].to_vec());
                if kind(at) != Some(Kind::Unspaced) {
                    break;
                }
                first = at;
                at += 1;
            }
            for n in 1..=3 {
                grams.extend(letters.windows(n).map(<[Vec<u32>]>::concat));
            }
            stretches.push(vec![]);
            continue;
        }
        let more: &dyn Fn(usize) -> bool = if kind(start) == Some(Kind::Pictograph) {
            at += usize::from(is_regional(start) && is_regional(at));
            &|at| {
                let joined = is(at - 1, '\u{200d}'..='\u{200d}')
                    && at - 1 > start
                    && kind(at) == Some(Kind::Pictograph)
                    && !is_regional(at);
                let modifier = is(at, '\u{1f3fb}'..='\u{1f3ff}');
                joined || modifier || is_mark(at) || kind(at) == Some(Kind::Tag)
            }
        } else if is_word(start) {
            &is_word
        } else if is(start, '!'..='!') || is(start, '?'..='?') {
            &|at| is(at, '!'..='!') || is(at, '?'..='?')
        } else {
            continue;
        };
        while more(at) {
            at += 1;
        }
        stretches
            .last_mut()
            .expect("there is one from the beginning")
            .push(text[start..at].to_vec());
    }
    (stretches, grams)
}

/// All runs of `least` to `greatest` words with spaces between them, the shorter runs first.
pub fn word_ngrams(words: &[Vec<u32>], least: usize, greatest: usize) -> Vec<Vec<u32>> {
    (least..=greatest)
        .flat_map(|n| words.windows(n).map(|run| run.join(&SPACE)))
        .collect()
}

const SPACE: u32 = b' ' as u32;

/// `str.isspace`, and what `\s` matches: the standard library's, and four separators of tables.
fn is_space(character: &u32) -> bool {
    let standard = char::from_u32(*character).is_some_and(char::is_whitespace);
    standard || (0x1c..=0x1f).contains(character)
}

/// scikit-learn's `_char_ngrams`: of the text in which each run of two and more spaces is one.
pub fn character_ngrams(text: &[u32], least: usize, greatest: usize) -> Vec<Vec<u32>> {
    let mut squeezed = Vec::new();
    for run in text.chunk_by(|a, b| is_space(a) && is_space(b)) {
        squeezed.extend_from_slice(if run.len() > 1 { &[SPACE] } else { run });
    }
    (least..=greatest)
        .flat_map(|n| squeezed.windows(n).map(<[u32]>::to_vec))
        .collect()
}

/// scikit-learn's `_char_wb_ngrams`: of each word with a space on both sides; a short one counts once.
pub fn bounded_ngrams(text: &[u32], least: usize, greatest: usize) -> Vec<Vec<u32>> {
    let mut grams = Vec::new();
    for word in text.split(is_space).filter(|word| !word.is_empty()) {
        let padded = [&[SPACE], word, &[SPACE]].concat();
        for n in least..=greatest {
            grams.push(padded[..n.min(padded.len())].to_vec());
            grams.extend(padded.windows(n).skip(1).map(<[u32]>::to_vec));
            if n >= padded.len() {
                break;
            }
        }
    }
    grams
}

/// UTF-8, in which a surrogate has three bytes like its neighbours; and whether there was one.
pub fn encoded(text: &[u32]) -> (Vec<u8>, bool) {
    let mut bytes = Vec::new();
    for &character in text {
        match char::from_u32(character) {
            Some(character) => bytes.extend(character.encode_utf8(&mut [0; 4]).as_bytes()),
            None => bytes.extend([
                0xe0 | (character >> 12) as u8,
                0x80 | (character >> 6 & 0x3f) as u8,
                0x80 | (character & 0x3f) as u8,
            ]),
        }
    }
    let lone = text
        .iter()
        .any(|&character| char::from_u32(character).is_none());
    (bytes, lone)
}

/// MurmurHash3 x86 32 bit, as Austin Appleby published it.
pub fn murmur3(key: &[u8], seed: u32) -> u32 {
    let scramble = |block: u32| {
        let block = block.wrapping_mul(0xcc9e_2d51).rotate_left(15);
        block.wrapping_mul(0x1b87_3593)
    };
    let (mut hash, mut chunks) = (seed, key.chunks_exact(4));
    for chunk in &mut chunks {
        let block = u32::from_le_bytes([chunk[0], chunk[1], chunk[2], chunk[3]]);
        hash = (hash ^ scramble(block)).rotate_left(13);
        hash = hash.wrapping_mul(5).wrapping_add(0xe654_6b64);
    }
    let mut tail = 0u32;
    for &byte in chunks.remainder().iter().rev() {
        tail = tail << 8 | u32::from(byte);
    }
    hash ^= scramble(tail);
    hash ^= key.len() as u32;
    hash = (hash ^ hash >> 16).wrapping_mul(0x85eb_ca6b);
    hash = (hash ^ hash >> 13).wrapping_mul(0xc2b2_ae35);
    hash ^ hash >> 16
}

fn feature(hash: u32, n_features: u32) -> u32 {
    hash.cast_signed().unsigned_abs() % n_features
}

/// A row of scikit-learn's matrix; `single` says that its values are of 32 bits.
pub fn matrix_row(hashes: &[u32], options: &CsrOptions, single: bool) -> (Vec<u32>, Vec<f64>) {
    let mut sums: BTreeMap<u32, i64> = BTreeMap::new();
    for &hash in hashes {
        let minus = options.alternate_sign && hash.cast_signed() < 0;
        *sums.entry(feature(hash, options.n_features)).or_default() += if minus { -1 } else { 1 };
    }
    let rounded = |number: f64| {
        if single {
            f64::from(number as f32)
        } else {
            number
        }
    };
    let value = |&sum: &i64| {
        if options.binary {
            1.0
        } else {
            rounded(sum as f64)
        }
    };
    let mut values: Vec<f64> = sums.values().map(value).collect();
    let norm = match options.norm {
        None => 0.0,
        Some(Norm::L1) => values.iter().map(|value| value.abs()).sum(),
        Some(Norm::L2) => values
            .iter()
            .map(|value| rounded(value * value))
            .sum::<f64>()
            .sqrt(),
    };
    if norm != 0.0 {
        values
            .iter_mut()
            .for_each(|value| *value = rounded(*value / norm));
    }
    (sums.into_keys().collect(), values)
}

/// Sums of a learner's row run in so many lanes, which are then added in pairs.
const LANES: usize = 4;

/// A row for the learner.
pub fn learner_row(hashes: &[u32], options: &RowOptions) -> (Vec<u32>, Vec<f32>) {
    let mut counts: BTreeMap<u32, u32> = BTreeMap::new();
    for &hash in hashes {
        *counts.entry(feature(hash, options.n_features)).or_default() += 1;
    }
    let value = |&count: &u32| match options.value {
        Value::Count => count as f32,
        Value::Log => (1.0 + libm::log(f64::from(count))) as f32,
        Value::Binary => 1.0,
    };
    let mut values: Vec<f32> = counts.values().map(value).collect();
    let mut lanes = [0f64; LANES];
    for (i, &value) in values.iter().enumerate() {
        let value = f64::from(value);
        lanes[i % LANES] += if options.norm == Some(Norm::L2) {
            value * value
        } else {
            value
        };
    }
    let sum = (lanes[0] + lanes[1]) + (lanes[2] + lanes[3]);
    let norm = match options.norm {
        None => 0.0,
        Some(Norm::L1) => sum as f32,
        Some(Norm::L2) => sum.sqrt() as f32,
    };
    if norm != 0.0 {
        values.iter_mut().for_each(|value| *value /= norm);
    }
    (counts.into_keys().collect(), values)
}
