//! Documents that are likely to find what is wrong: lengths around the widths of registers, characters cut by the
//! edges of blocks, letters whose lower case is a special case, broken bytes.

use crate::random::Random;
use crate::twin::encoded;

/// Around 16, 32, 64 and 128 bytes, and around the least word.
pub const LENGTHS: [usize; 26] = [
    0, 1, 2, 3, 4, 5, 7, 8, 9, 14, 15, 16, 17, 18, 31, 32, 33, 47, 48, 62, 63, 64, 65, 127, 128,
    129,
];
const WORD: &[u8] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_";
/// Those beside the ranges of letters and digits, and what text really has.
const BETWEEN: &[u8] = b"    \n\t\x0b\x1f\r.,-'/:@[`{\0\x7f";
/// What changes its length with its case, what the final sigma looks at, other alphabets, the last of each length.
const SPECIAL: &str = "éÉßẞİıŐΣσςſK\u{2126}ǅǈΩ\u{301}\u{345}\u{307}\u{ad}\u{200d}’·:жЖҐյՅაႠ中文語\u{3000}\u{a0}\u{85}\u{2009}\u{1c}\u{200b}한글\
    ـعربيहिन्दी٣९๓①ⅷⅧªº²\u{7ff}\u{800}\u{ffff}\u{10000}𐐀𐐨😀𝒜\u{e000}\u{10ffff}ȺȾꟀꮿⱥ\u{1c89}\
    !?!?กิ\u{e48}เ๑ລ\u{eb4}ខ\u{17d2}ម\u{17c4}မ\u{103c}々ゞ\u{3099}カーｶﾞ！\u{20000}♀\u{fe0f}#\u{20e3}👍🏽🇩🇪🏴\u{e0067}";
const SIGMAS: [&str; 10] = [
    "Σ",
    "AΣ",
    "AΣ ",
    "ΑΣ.",
    "AΣ\u{ad}b",
    "AΣ'",
    "ΣΑ",
    "A\u{301}Σ\u{301}",
    "1Σ",
    "Σ\u{345}ΣΣ",
];
const BLOCK: usize = 64;

/// A document; `surrogates` says whether lone surrogates may stand in it, as in a `str` of Python.
pub fn document(random: &mut Random, surrogates: bool) -> Vec<u8> {
    let most = if random.once_in(50) { 1500 } else { 10 };
    let mut text = Vec::new();
    for _ in 0..random.below(most) {
        append(&mut text, random, surrogates);
    }
    if random.once_in(6) {
        damage(&mut text, random);
    }
    text
}

fn append(text: &mut Vec<u8>, random: &mut Random, surrogates: bool) {
    let length = random.pick(&LENGTHS);
    match random.below(10) {
        0 => text.extend((0..length).map(|_| random.pick(WORD))),
        1 => text.extend((0..length).map(|_| random.pick(BETWEEN))),
        2 | 3 => sentence(text, random),
        4 => text.extend(special(random).to_string().repeat(length).as_bytes()),
        5 => (0..length).for_each(|_| push(text, special(random).into())),
        6 => (0..length % 10).for_each(|_| push(text, anything(random, surrogates))),
        7 => {
            let before = BLOCK - random.below(5);
            text.resize(text.len().next_multiple_of(BLOCK) + before, b'x');
            push(text, special(random).into());
        }
        8 => {
            let word: Vec<u8> = (0..length % 20).map(|_| random.pick(WORD)).collect();
            let times = random.pick(&LENGTHS);
            text.extend([&word[..], b" "].concat().repeat(times));
        }
        _ => text.extend(random.pick(&SIGMAS).as_bytes()),
    }
}

/// Words as text has them.
fn sentence(text: &mut Vec<u8>, random: &mut Random) {
    for _ in 0..random.below(12) {
        let length = random.below(12);
        text.extend((0..length).map(|_| random.pick(&WORD[..52])));
        text.push(random.pick(BETWEEN));
    }
}

fn special(random: &mut Random) -> char {
    let which = random.below(SPECIAL.chars().count());
    SPECIAL.chars().nth(which).unwrap_or('é')
}

fn anything(random: &mut Random, surrogates: bool) -> u32 {
    let below = random.pick(&[0x250, 0x600, 0x3000, 0x1_0000, 0x11_0000]);
    let character = random.below(below) as u32;
    match char::from_u32(character) {
        None if !surrogates => character ^ 0x1000, // neither half of the surrogates maps onto itself
        _ => character,
    }
}

fn push(text: &mut Vec<u8>, character: u32) {
    text.extend(encoded(&[character]).0);
}

/// Cuts, overwrites, inserts or copies bytes, wherever characters start and end.
fn damage(text: &mut Vec<u8>, random: &mut Random) {
    let (at, to) = (random.below(text.len()), random.below(text.len()));
    match random.below(4) {
        0 => text.truncate(at),
        1 => text.insert(at, random.next() as u8),
        2 if !text.is_empty() => text[at] = random.next() as u8 | 0x80,
        _ => text.extend_from_within(at.min(to)..at.max(to)),
    }
}
