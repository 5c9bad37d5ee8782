//! Characters that the token rule of the learner treats on their own, by ranges of code points.
//!
//! ```text
//! unspaced     letters and marks of scripts that put no space between words: Unicode's line breaking classes SA (Thai,
//!              Lao, Burmese, Khmer, the Tai scripts) and, of ID, Han, kana and bopomofo; digits are not among them
//! pictograph   emoji and other symbols, in whole blocks; ‼ ⁇ ⁈ ⁉ and the wide ！ ？
//! tag          letters of the flags of regions, which only follow an emoji
//! ```
//!
//! A range says nothing about what is in it and of another kind: only word characters and marks are unspaced, and only
//! other characters are pictographs. The reference implementation, `tests/reference/features.py`, has the same table.

use super::table::Table;
use super::utf8::{decode, four};

/// What a character is that is not simply part of a word or of nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A letter or mark of a script without spaces between words.
    Unspaced,
    /// A symbol that is a token by itself.
    Pictograph,
    /// A tag.
    Tag,
}

/// First and last character of each range.
pub const RANGES: &[(u32, u32, Kind)] = &[
    (0xa9, 0xa9, Kind::Pictograph),
    (0xae, 0xae, Kind::Pictograph),
    (0xe00, 0xe4f, Kind::Unspaced),   // Thai
    (0xe80, 0xecf, Kind::Unspaced),   // Lao
    (0xedc, 0xedf, Kind::Unspaced),   // Lao
    (0x1000, 0x103f, Kind::Unspaced), // Myanmar
    (0x1050, 0x108f, Kind::Unspaced), // Myanmar
    (0x109a, 0x109f, Kind::Unspaced), // Myanmar
    (0x1780, 0x17df, Kind::Unspaced), // Khmer
    (0x1950, 0x19cf, Kind::Unspaced), // Tai Le, New Tai Lue
    (0x1a20, 0x1a7f, Kind::Unspaced), // Tai Tham
    (0x1aa0, 0x1aaf, Kind::Unspaced), // Tai Tham
    (0x203c, 0x203c, Kind::Pictograph),
    (0x2047, 0x2049, Kind::Pictograph),
    (0x2122, 0x2122, Kind::Pictograph),
    (0x2190, 0x21ff, Kind::Pictograph), // arrows
    (0x2300, 0x23ff, Kind::Pictograph), // technical symbols
    (0x25a0, 0x27bf, Kind::Pictograph), // shapes, miscellaneous symbols, dingbats
    (0x2934, 0x2935, Kind::Pictograph),
    (0x2b00, 0x2bff, Kind::Pictograph), // symbols and arrows
    (0x2e80, 0x312f, Kind::Unspaced),   // radicals, iteration marks, kana, bopomofo
    (0x3030, 0x3030, Kind::Pictograph),
    (0x303d, 0x303d, Kind::Pictograph),
    (0x31a0, 0x31ff, Kind::Unspaced), // bopomofo, kana
    (0x3297, 0x3297, Kind::Pictograph),
    (0x3299, 0x3299, Kind::Pictograph),
    (0x3400, 0x4dbf, Kind::Unspaced), // Han
    (0x4e00, 0x9fff, Kind::Unspaced), // Han
    (0xa9e0, 0xa9ef, Kind::Unspaced), // Myanmar
    (0xa9fa, 0xa9ff, Kind::Unspaced), // Myanmar
    (0xaa60, 0xaadf, Kind::Unspaced), // Myanmar, Tai Viet
    (0xf900, 0xfaff, Kind::Unspaced), // Han
    (0xff01, 0xff01, Kind::Pictograph),
    (0xff1f, 0xff1f, Kind::Pictograph),
    (0xff66, 0xff9f, Kind::Unspaced),     // narrow kana
    (0x1aff0, 0x1b16f, Kind::Unspaced),   // kana
    (0x1f000, 0x1faff, Kind::Pictograph), // emoji, regional indicators, modifiers
    (0x1fc00, 0x1fffd, Kind::Pictograph), // kept free for emoji
    (0x20000, 0x3fffd, Kind::Unspaced),   // Han
    (0xe0020, 0xe007f, Kind::Tag),
];

/// What joins the emoji of a sequence, and letters of Indian and Arabic scripts.
pub const JOINER: u32 = 0x200d;
pub const NON_JOINER: u32 = 0x200c;

/// Whether two of the character are a flag.
pub fn is_regional(character: u32) -> bool {
    (0x1f1e6..=0x1f1ff).contains(&character)
}

/// Whether the character colours the emoji before it.
pub fn is_modifier(character: u32) -> bool {
    (0x1f3fb..=0x1f3ff).contains(&character)
}

/// Bytes that are looked at together.
const BLOCK: usize = 32;

/// The characters of text that are of scripts without spaces between words, and all that are part of words in any
/// script.
pub fn count_unspaced(text: &[u8], table: &Table) -> [u64; 2] {
    let (mut at, mut counts) = (0, [0; 2]);
    while at < text.len() {
        if let Some(n) = text[at..].first_chunk().and_then(ascii_words) {
            counts[1] += u64::from(n);
            at += BLOCK;
            continue;
        }
        // The characters that start in a block that is not of ASCII alone.
        let end = text.len().min(at + BLOCK);
        while at < end {
            let found = decode(four(text, at));
            let entry = table.entry(found.character);
            let unspaced = entry.kind() == Some(Kind::Unspaced);
            counts[0] += u64::from(unspaced);
            counts[1] += u64::from(unspaced || entry.is_word() || entry.is_mark());
            at += found.count;
        }
    }
    counts
}

/// How many characters are part of words; `None` if not all are of ASCII.
fn ascii_words(block: &[u8; BLOCK]) -> Option<u8> {
    let is_word = |byte: &u8| u8::from(byte.is_ascii_alphanumeric() || *byte == b'_');
    block
        .is_ascii()
        .then(|| block.iter().map(is_word).sum::<u8>())
}
