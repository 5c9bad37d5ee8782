//! Blocks that are likely to find what is wrong: records as files have them, put together from parts of the format,
//! and then hurt.

use super::{Reader, Settings};
use crate::random::Random;
use std::collections::HashMap;
use std::sync::LazyLock;

/// Records as files have them and parts of a format, which the fuzzer in Python reads as well.
struct Shapes {
    records: Vec<String>,
    parts: Vec<String>,
}

impl Shapes {
    fn of(format: &str) -> Self {
        type All = HashMap<String, HashMap<String, Vec<String>>>;
        let mut all: All = serde_json::from_str(include_str!("shapes.json")).expect("shapes");
        let mut strings = all.remove(format).expect("the shapes of this format");
        let mut take = |name| strings.remove(name).expect("strings of this name");
        Self {
            records: take("records"),
            parts: take("parts"),
        }
    }
}

static JSON: LazyLock<Shapes> = LazyLock::new(|| Shapes::of("json"));
static CSV: LazyLock<Shapes> = LazyLock::new(|| Shapes::of("csv"));
static FASTTEXT: LazyLock<Shapes> = LazyLock::new(|| Shapes::of("fasttext"));
static REVIEWS: LazyLock<Shapes> = LazyLock::new(|| Shapes::of("reviews"));

/// Bytes that mean something somewhere, and halves of characters.
const BYTES: &[u8] =
    b"{}[]\",:\\u0tn1eE.-+ \x00\x1f\t\r\n_<>&;#\x7f\x80\xbf\xc3\xe2\xed\xef\xf0\xf4\xff";
/// Around the width of a chunk.
const LENGTHS: [usize; 12] = [1, 2, 3, 15, 16, 17, 30, 31, 32, 33, 63, 65];

/// A block for a reader.
pub fn block(random: &mut Random, settings: &Settings) -> Vec<u8> {
    let Shapes { records, parts } = match settings.reader {
        Reader::Json => &*JSON,
        Reader::Csv | Reader::Tsv => &*CSV,
        Reader::FastText => &*FASTTEXT,
        Reader::Reviews => &*REVIEWS,
    };
    let mut block = Vec::new();
    if random.once_in(5000) {
        large(&mut block, random, records, parts);
    } else {
        match random.below(4) {
            0 => (0..random.below(12)).for_each(|_| block.extend(random.choose(parts).as_bytes())),
            1 => (0..1 + random.below(3)).for_each(|_| written(&mut block, random, settings)),
            _ => (0..1 + random.below(3))
                .for_each(|_| block.extend(random.choose(records).as_bytes())),
        }
    }
    if settings.reader == Reader::Tsv && !random.once_in(4) {
        let commas = block.iter_mut().filter(|byte| **byte == b',');
        commas.for_each(|byte| *byte = b'\t');
    }
    for _ in 0..random.pick(&[0, 1, 1, 1, 2, 3, 8]) {
        hurt(&mut block, random, parts);
    }
    block
}

/// What is deep, long or many.
fn large(block: &mut Vec<u8>, random: &mut Random, records: &[String], parts: &[String]) {
    let part = random.choose(parts).as_bytes();
    match random.below(4) {
        0 => block.extend(part.repeat(random.below(20_000))),
        1 => {
            let depth = random.below(20_000);
            block.extend(b"{\"text\": \"t\", \"label\": \"l\", \"x\": ");
            block.extend(b"[".repeat(depth));
            block.extend(b"]".repeat(depth + random.below(2)));
            block.extend(b"}\n");
        }
        2 => (0..1500).for_each(|_| block.extend(random.choose(records).as_bytes())),
        _ => {
            block.extend(random.choose(records).as_bytes());
            let at = random.below(block.len());
            let long = random.pick(BYTES);
            block.splice(at..at, std::iter::repeat_n(long, random.below(50_000)));
        }
    }
}

/// A record in the format, its values at random.
fn written(block: &mut Vec<u8>, random: &mut Random, settings: &Settings) {
    match settings.reader {
        Reader::Json => {
            let mut names = settings.names.to_vec();
            names.extend((0..random.below(3)).map(|_| random.pick(&["id", "text", "x", "te"])));
            let turn = random.below(names.len());
            names.rotate_left(turn);
            for (i, name) in names.into_iter().enumerate() {
                block.extend(if i == 0 { b"{" } else { b"," });
                block.extend(format!("{name:?}:").bytes());
                if random.once_in(3) {
                    block.extend(
                        random
                            .pick(&["1", "-0.5e2", "true", "null", "[{}]", "1e400"])
                            .bytes(),
                    );
                } else {
                    block.push(b'"');
                    inside(
                        block,
                        random,
                        &[
                            "\\n",
                            "\\\"",
                            "\\\\",
                            "\\u00e9",
                            "\\ud83d\\ude00",
                            "\\ud800",
                        ],
                    );
                    block.push(b'"');
                }
            }
            block.extend(random.pick(&["}\n", "}\r\n", " } \n", "}"]).bytes());
        }
        Reader::Csv | Reader::Tsv => {
            for i in 0..settings.n_columns {
                let delimiter = (i > 0).then(|| settings.delimiter());
                block.extend(delimiter);
                let quoted = random.once_in(2).then_some(b'"');
                block.extend(quoted);
                if random.once_in(4) {
                    block.extend(random.pick(&["1", "0.5", "", "-3", " 2 ", "1_0"]).bytes());
                } else if quoted.is_some() {
                    inside(block, random, &["\"\"", "\n", "\r\n", ",", "\t", "\r"]);
                } else {
                    inside(block, random, &["\"", "\r", " ", "x"]);
                }
                block.extend(quoted);
            }
            block.extend(random.pick(&["\n", "\r\n", "\r\r\n"]).bytes());
        }
        Reader::FastText => {
            for _ in 0..random.below(3) {
                block.extend(b"__label__");
                inside(block, random, &["", "_", "__label__"]);
                block.extend(random.pick(&[" ", "\t", "  ", "\u{a0}"]).bytes());
            }
            inside(block, random, &[" ", "\t", "__label__", "\r"]);
            block.extend(random.pick(&["\n", "\r\n"]).bytes());
        }
        Reader::Reviews => {
            block.extend(b"<review>\n<rating>");
            block.extend(
                random
                    .pick(&["5.0", "1", "3", "4", "2", "x", "\n2.0\n"])
                    .bytes(),
            );
            block.extend(b"</rating>\n<review_text>");
            inside(block, random, &["&amp;", "&#65;", "&", ";", "<", "&quot;"]);
            block.extend(b"</review_text></review>\n");
        }
    }
}

/// What stands inside a value: plain characters up to about a chunk, and special ones of the format.
fn inside(block: &mut Vec<u8>, random: &mut Random, special: &[&str]) {
    for _ in 0..random.below(4) {
        match random.below(4) {
            0 => block.extend(random.pick(special).bytes()),
            1 => block.extend(
                random
                    .pick(&["\u{e9}", "\u{1f600}", "\u{65e5}", "\u{7f}", "\u{85}"])
                    .bytes(),
            ),
            _ => {
                let letter = b'a' + random.below(26) as u8;
                block.extend(std::iter::repeat_n(letter, random.pick(&LENGTHS)));
            }
        }
    }
}

/// One wound.
fn hurt(block: &mut Vec<u8>, random: &mut Random, parts: &[String]) {
    let at = random.below(block.len() + 1);
    let end = (at + random.pick(&LENGTHS)).min(block.len());
    match random.below(9) {
        0 if at < block.len() => block[at] ^= 1 << random.below(8),
        1 if at < block.len() => block[at] = random.pick(BYTES),
        2 => drop(block.splice(at..at, random.choose(parts).bytes())),
        3 => drop(block.splice(at..end, [])),
        4 => {
            let copy = block[at..end].to_vec();
            let to = random.below(block.len() + 1);
            block.splice(to..to, copy);
        }
        5 => block.truncate(at),
        6 => drop(block.splice(
            at..at,
            std::iter::repeat_n(random.pick(BYTES), random.pick(&LENGTHS)),
        )),
        7 => drop(block.splice(at..end, random.choose(parts).bytes())),
        _ => drop(block.splice(at..at, [random.next() as u8])),
    }
}
