//! Where the characters of a block of UTF-8 start and how long they are, one bit a byte, and what follows from that
//! by arithmetic on 64 bits.
//!
//! ```text
//! text       a b α β . 漢 _ _ 字 _ _        (_: a tail)
//! two        0 0 1 . 1 . 0 1 . . 1 . .      starts a character of two bytes and more
//! three      0 0 0 . 0 . 0 1 . . 1 . .      … of three and more
//! tails      two << 1 | three << 2 | four << 3        must be the bytes that are not ASCII and start nothing
//! whole      the same of the starts that are word characters
//! ```
//!
//! What reaches over the end of a block is carried into the next.

/// Bytes of a block, bits of a mask word.
pub const BLOCK: usize = 64;

/// The bytes of a block that start a character of at least so many bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Leads {
    /// Two bytes and more.
    pub two: u64,
    /// Three and more.
    pub three: u64,
    /// Four.
    pub four: u64,
}

impl Leads {
    /// Those of a block in which the bytes `two` start characters of two bytes and more.
    #[inline(always)]
    pub fn new(block: &[u8; BLOCK], two: u64) -> Self {
        let (mut three, mut four) = (0, 0);
        for place in places(two) {
            let lead = block[place];
            three |= u64::from(lead >= 0xe0) << place;
            four |= u64::from(lead >= 0xf0) << place;
        }
        Self { two, three, four }
    }

    /// The bytes after the first of the characters that start at `starts`: in this block, and in the next.
    #[inline(always)]
    fn tails(self, starts: u64) -> (u64, u64) {
        let (two, three, four) = (starts & self.two, starts & self.three, starts & self.four);
        let here = two << 1 | three << 2 | four << 3;
        (here, two >> 63 | three >> 62 | four >> 61)
    }

    /// Those of `starts` behind whose character `bits` is set.
    #[inline(always)]
    fn followed(self, starts: u64, bits: u64, next: u64) -> u64 {
        let behind = |length: u32| bits >> length | next << (64 - length);
        let followed = (self.two & !self.three & behind(2))
            | (self.three & !self.four & behind(3))
            | (self.four & behind(4));
        starts & followed
    }
}

/// The bytes of a block that are not ASCII, and those that start a character of two bytes and more.
#[inline(always)]
pub fn beyond_ascii(block: &[u8; BLOCK]) -> (u64, u64) {
    const HIGH: u64 = 0x8080_8080_8080_8080;
    // Eight bytes of 0 or 128 to eight bits: the product moves bit 8i to bit 56 + i, and no two terms meet.
    let gathered = |high: u64| (high >> 7).wrapping_mul(0x0102_0408_1020_4080) >> 56;
    let (mut others, mut two) = (0, 0);
    for (i, eight) in block.as_chunks::<8>().0.iter().enumerate() {
        let eight = u64::from_le_bytes(*eight);
        others |= gathered(eight & HIGH) << (8 * i);
        two |= gathered(eight & eight << 1 & HIGH) << (8 * i);
    }
    (others, two)
}

/// The places of the set bits.
#[inline(always)]
pub fn places(mut bits: u64) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let place = (bits != 0).then(|| bits.trailing_zeros() as usize);
        bits &= bits.wrapping_sub(1);
        place
    })
}

/// Makes the word bits of one block after the other, and finds out whether the characters fit together.
///
/// Where a character alone is no word, [`super::Kernels::edges`] drops those of one byte, and this drops the longer
/// ones. To know them takes the block behind, so that each block is finished when the next one comes.
#[derive(Debug, Default)]
pub struct Joiner {
    /// What reaches into the next block: tails, tails of word characters, tails of words that are dropped.
    tails: u64,
    word_tails: u64,
    dropped_tails: u64,
    /// The block that is not finished, and the last word bit before it.
    leads: Leads,
    words: u64,
    before: u64,
    broken: bool,
    /// All bits if a character alone is a word.
    singles: u64,
}

impl Joiner {
    /// `singles`: whether a character alone is a word.
    #[inline(always)]
    pub fn new(singles: bool) -> Self {
        Self {
            singles: if singles { u64::MAX } else { 0 },
            ..Self::default()
        }
    }

    /// Takes in block `i`: its bytes that are not ASCII, where they start characters, and which starts are word
    /// characters; those of ASCII are in the mask. Finishes the block before.
    #[inline(always)]
    pub fn push(&mut self, others: u64, leads: Leads, starts: u64, mask: &mut [u64], i: usize) {
        let (tails, next) = leads.tails(leads.two);
        self.broken |= others & !leads.two != tails | self.tails;
        self.tails = next;
        let (word_tails, next) = leads.tails(starts);
        let words = mask[i] | starts | word_tails | self.word_tails;
        self.word_tails = next;
        if let Some(before) = i.checked_sub(1) {
            mask[before] = self.finish(words);
        }
        (self.leads, self.words) = (leads, words);
    }

    /// Finishes the last block; whether all blocks were characters one after the other.
    #[inline(always)]
    pub fn end(mut self, mask: &mut [u64]) -> bool {
        if let Some(last) = mask.last_mut() {
            *last = self.finish(0);
        }
        !self.broken && self.tails == 0
    }

    #[inline(always)]
    fn finish(&mut self, next: u64) -> u64 {
        let first = self.words & self.leads.two & !(self.words << 1 | self.before | self.singles);
        let alone = first & !self.leads.followed(first, self.words, next);
        let (tails, beyond) = self.leads.tails(alone);
        let finished = self.words & !(alone | tails | self.dropped_tails);
        self.before = self.words >> 63;
        self.dropped_tails = beyond;
        finished
    }
}
