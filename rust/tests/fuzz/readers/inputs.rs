//! Blocks that are likely to find what is wrong: records as files have them, put together from parts of the format,
//! and then hurt.

use super::{Reader, Settings};
use crate::random::Random;

/// Records as files have them.
const JSON: [&str; 8] = [
    "{\"text\": \"Subject: re: your mail\\n\\nHello, see attachment.\", \"label\": \"ham\", \"weight\": 1.5}\n",
    "{\"id\":\"1234567890123456789\",\"text\":\"caf\\u00e9 \\ud83d\\ude00 na\u{ef}ve \u{1f600}\",\"lang\":null,\"label\":3}\r\n",
    "{\"user\": {\"name\": \"x\", \"tags\": [\"a\", {\"b\": []}]}, \"label\": true, \"text\": \"\", \"weight\": \"0.25\"}\n",
    " { \"label\" : -1.5e3 , \"text\" : \"more than thirty-two bytes of plain text are copied by chunks\" } \n",
    "{\"text\": \"C:\\\\dir\\\\\", \"label\": \"\\\"q\\\"\"}\n{\"text\": null, \"label\": \"x\"}\n",
    "{\"a\": \"one field for all\"}\n{\"\": \"the empty name\", \"\u{e9}\": \"x\", \"n\\\"ame\": 2}\n",
    "[1, 2]\n\"text\"\n12\nnull\n\n{}\n",
    "{\"text\": \"1\", \"text\": \"2\", \"label\": \"a\", \"l\\u0061bel\": \"b\", \"weight\": 1e999}\n",
];
const JSON_PARTS: [&str; 44] = [
    "{",
    "}",
    "[",
    "]",
    ":",
    ",",
    "\"",
    "\\",
    "\n",
    "\r\n",
    "\r",
    " ",
    "\t",
    "\"text\"",
    "\"label\"",
    "\"weight\"",
    "\"te\\u0078t\"",
    "\"a\"",
    "\"\"",
    "\"\u{e9}\"",
    "\"n\\\"ame\"",
    "null",
    "true",
    "false",
    "NaN",
    "-0",
    "01",
    "1.",
    "1e5",
    "-1.5E-3",
    "1e999",
    "123456789012345678901234567890",
    "\\ud83d\\ude00",
    "\\ud800",
    "\\udc00",
    "\\u0000",
    "\\x",
    "\u{feff}",
    "\0",
    "\u{a0}",
    "{\"text\":\"t\",\"label\":\"l\"}",
    "{\"text\": \"",
    "\", \"label\": \"",
    "\"}\n",
];
const CSV: [&str; 6] = [
    "text,label\n\"He said \"\"hi\"\", then\nleft\",pos,1\nplain text,neg,0.5\n",
    "a,b,c\r\n\"x\",\"y\",\"z\"\r\n1,,3\r\n",
    "\"quoted\"rest,b\nun\"quoted,c\n\"\",\"\"\n\n\r\n",
    "\u{e9},\"\u{65e5}\u{672c}\n\u{8a9e}\",1e5\n,,\n\"open, b\n",
    "one column\n\nanother\n\"\"\n",
    "good\rone,neg\r\r\nx,y",
];
const CSV_PARTS: [&str; 24] = [
    ",", "\t", "\"", "\"\"", "\n", "\r\n", "\r", "a", "text", " ", "\"a\"", "\"a,b\"", "\"a\nb\"",
    "\"\"\"\"", "1.5", "-1", "nan", "inf", "1e39", "\0", "\u{feff}", "\u{2028}", "\u{85}", ";",
];
const FASTTEXT: [&str; 4] = [
    "__label__pos __label__x a fine text\n__label__neg bad\r\n",
    "  __label__a\tb c\n__label__\n__label__ x\ntext alone\n",
    "__label__1 \n__label__2\n\n \t\r\n__label____label__ x",
    "__label__\u{65e5}\u{672c} \u{8a9e}\u{a0}x\n__label_ x\n",
];
const FASTTEXT_PARTS: [&str; 14] = [
    "__label__",
    "__label__x",
    "__label",
    "_",
    " ",
    "\t",
    "\n",
    "\r\n",
    "\r",
    "word",
    "\u{a0}",
    "\u{2003}",
    "\0",
    "\u{e9}",
];
const REVIEWS: [&str; 4] = [
    "<review>\n<rating>\n5.0\n</rating>\n<review_text>\nGreat &amp; cheap.\n</review_text>\n</review>\n",
    "<review><rating>1</rating><review_text>&#233;&#x41;&nbsp;&bad;&#xd800;</review_text></review>",
    "<review>\n<rating>3</rating></review>\n<review>\n<review><rating>x</rating><review_text></review_text></review>",
    "garbage</review> <review><review_text>no end",
];
const REVIEWS_PARTS: [&str; 26] = [
    "<review>",
    "</review>",
    "<rating>",
    "</rating>",
    "<review_text>",
    "</review_text>",
    "5",
    "1.0",
    "3",
    "inf",
    "nan",
    "-1e999",
    "&amp;",
    "&lt",
    ";",
    "&#",
    "&#x10ffff;",
    "&#x110000;",
    "&#+5;",
    "<",
    ">",
    "&",
    "\n",
    " ",
    "</revie",
    "w>",
];
/// Bytes that mean something somewhere, and halves of characters.
const BYTES: &[u8] =
    b"{}[]\",:\\u0tn1eE.-+ \x00\x1f\t\r\n_<>&;#\x7f\x80\xbf\xc3\xe2\xed\xef\xf0\xf4\xff";
/// Around the width of a chunk.
const LENGTHS: [usize; 12] = [1, 2, 3, 15, 16, 17, 30, 31, 32, 33, 63, 65];

/// A block for a reader.
pub fn block(random: &mut Random, settings: &Settings) -> Vec<u8> {
    let (records, parts): (&[&str], &[&str]) = match settings.reader {
        Reader::Json => (&JSON, &JSON_PARTS),
        Reader::Csv | Reader::Tsv => (&CSV, &CSV_PARTS),
        Reader::FastText => (&FASTTEXT, &FASTTEXT_PARTS),
        Reader::Reviews => (&REVIEWS, &REVIEWS_PARTS),
    };
    let mut block = Vec::new();
    if random.once_in(5000) {
        large(&mut block, random, records, parts);
    } else {
        match random.below(4) {
            0 => (0..random.below(12)).for_each(|_| block.extend(random.pick(parts).as_bytes())),
            1 => (0..1 + random.below(3)).for_each(|_| written(&mut block, random, settings)),
            _ => {
                (0..1 + random.below(3)).for_each(|_| block.extend(random.pick(records).as_bytes()))
            }
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
fn large(block: &mut Vec<u8>, random: &mut Random, records: &[&str], parts: &[&str]) {
    let part = random.pick(parts).as_bytes();
    match random.below(4) {
        0 => block.extend(part.repeat(random.below(20_000))),
        1 => {
            let depth = random.below(20_000);
            block.extend(b"{\"text\": \"t\", \"label\": \"l\", \"x\": ");
            block.extend(b"[".repeat(depth));
            block.extend(b"]".repeat(depth + random.below(2)));
            block.extend(b"}\n");
        }
        2 => (0..1500).for_each(|_| block.extend(random.pick(records).as_bytes())),
        _ => {
            block.extend(random.pick(records).as_bytes());
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
fn hurt(block: &mut Vec<u8>, random: &mut Random, parts: &[&str]) {
    let at = random.below(block.len() + 1);
    let end = (at + random.pick(&LENGTHS)).min(block.len());
    match random.below(9) {
        0 if at < block.len() => block[at] ^= 1 << random.below(8),
        1 if at < block.len() => block[at] = random.pick(BYTES),
        2 => drop(block.splice(at..at, random.pick(parts).bytes())),
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
        7 => drop(block.splice(at..end, random.pick(parts).bytes())),
        _ => drop(block.splice(at..at, [random.next() as u8])),
    }
}
