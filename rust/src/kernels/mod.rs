//! The inner loops, one table of functions a tier, chosen once.
//!
//! ```text
//! text ──words──► lower case, mask ──edges──► words ──(join)──grams──► hashes
//!                                  ──pack───► words joined ──grams──► hashes
//! text ──squeeze──► lower case, runs of whitespace one space ──windows──► hashes
//! hashes ──fold──► keys ──sort──► sorted ──runs──► distinct, ends ──counts──► features, counts ──quotients──► values
//!
//! Kernels ─┬─ portable   any processor, no `unsafe`; what the others are compared with
//!          ├─ avx2       256 bits
//!          └─ avx512     512 bits and the compressing instructions of VBMI2
//! ```
//!
//! Callers see only [`Kernels`]; every tier gives the same bytes. This is the only module that may hold `unsafe`.

/// A function of a tier as one that anybody may call. Only for the table of the tier, which is private to it.
#[cfg(target_arch = "x86_64")]
macro_rules! entry {
    ($function:path, $($argument:ident),+) => {
        // SAFETY: the function needs nothing but the features that `detected` of its tier asks for, and the table that
        // holds this entry is given out by `detected` alone.
        |$($argument),+| unsafe { $function($($argument),+) }
    };
}

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(test)]
mod contract;
#[cfg(test)]
mod contract_unicode;
#[cfg(test)]
mod contract_windows;
mod fold;
#[cfg(all(unix, any(test, feature = "fuzz")))]
pub mod guarded;
mod leads;
pub mod memory;
pub mod plain;
mod plane;
pub mod portable;
#[cfg(feature = "python")]
pub mod strings;
pub mod widest;

pub use fold::Fold;
pub use leads::{BLOCK, Joiner, Leads, beyond_ascii};
pub use plane::{Class, Plane};

use std::sync::LazyLock;

/// The inner loops of one tier. Buffers are grown as needed and hold rubbish behind what is written.
#[derive(Debug, Clone, Copy)]
pub struct Kernels {
    /// What [`named`] knows the tier by.
    pub name: &'static str,
    /// ASCII text to lower-cased (or plain) text and one bit a byte saying "word character"; bytes that are not
    /// ASCII are copied and get 0. Says whether all are ASCII.
    pub words: fn(text: &[u8], lowercase: bool, lowered: &mut Vec<u8>, mask: &mut Vec<u64>) -> bool,
    /// In what `words` made of a text that is not ASCII alone: writes the lower case of its other characters (or
    /// nothing) over them and sets the bits of the bytes of word characters, except where one is a word by itself and
    /// the plane is one that drops those.
    /// Asks `odd` about characters that the plane does not tell. False if the characters do not fit together or `odd`
    /// gave up; the buffers hold rubbish then. Needs a mask word for each 64 bytes and [`SLACK`] behind them.
    pub unicode: Unicode,
    /// That mask to the edges of the words: start, end, start, end, …; returns how many edges there are. Words of one
    /// byte are left out unless `singles`.
    pub edges: fn(mask: &[u64], singles: bool, edges: &mut Vec<u32>) -> usize,
    /// Copies the words one after the other with a space behind each, and [`SLACK`] bytes behind the last; the edges
    /// become those of the copies.
    pub join: fn(text: &[u8], edges: &mut [u32], joined: &mut Vec<u8>),
    /// What `edges` and then `join` do: the copies of all words, their edges, how many edges there are.
    pub pack: Pack,
    /// The murmur3 hashes of all runs of `n` words, with this seed, appended to the last argument.
    pub grams: fn(text: &[u8], edges: &[u32], n: usize, seed: u32, hashes: &mut Vec<u32>),
    /// ASCII text to what its n-grams of characters are taken from: lower-cased (or plain), with one space for each run
    /// of whitespace characters ([`Within::Text`]: of two and more; [`Within::Words`]: of one and more, and one space
    /// before and behind each word); [`SLACK`] bytes are behind it. Bytes that are not ASCII stay as they are. Returns
    /// its length, 0 where there are no words to be within.
    pub squeeze: fn(text: &[u8], lowercase: bool, within: Within, squeezed: &mut Vec<u8>) -> usize,
    /// The murmur3 hashes of the n-grams of such a text of this length, appended to the last argument in any order:
    /// all slices of `least` to `greatest` bytes, of the text or of each word with both its spaces; a word of fewer
    /// bytes than `least` once, as it is.
    pub windows: fn(text: &[u8], length: usize, windows: Windows, hashes: &mut Vec<u32>),
    /// Hashes to features; `signed`: to twice the feature, plus 1 where the hash is negative.
    pub fold: fn(hashes: &[u32], fold: Fold, signed: bool, keys: &mut Vec<u32>),
    /// Sorts keys ascending; the second argument is memory to work in, of any length.
    pub sort: fn(keys: &mut [u32], spare: &mut Vec<u32>),
    /// The distinct ones of sorted keys, and how many keys are up to the end of the run of each; returns how many
    /// distinct ones there are.
    pub runs: fn(keys: &[u32], distinct: &mut Vec<u32>, ends: &mut Vec<u32>) -> usize,
    /// Distinct signed keys and the ends of their runs to features, and to how often each occurs, negative if
    /// `signed` and the key is odd; `indices` must be as long as `distinct`.
    pub counts: Counts,
    /// Counts divided by a number, into a slice as long.
    pub quotients: fn(counts: &[i32], by: f64, data: &mut [f64]),
    /// The same in single precision: the count is rounded, divided in double precision and rounded once more.
    pub quotients_f32: fn(counts: &[i32], by: f64, data: &mut [f32]),
}

/// Looks at one character, given by where it starts and the four bytes from there on: writes its lower case over it
/// and says whether that is a word character; `None` to give up.
pub type Odd<'a> = dyn FnMut(usize, &mut [u8; 4]) -> Option<bool> + 'a;

/// What [`Kernels::unicode`] is.
pub type Unicode = fn(
    text: &[u8],
    plane: &Plane,
    lowercase: bool,
    lowered: &mut [u8],
    mask: &mut [u64],
    odd: &mut Odd<'_>,
) -> bool;

/// See [`Kernels::pack`].
pub type Pack = fn(
    text: &[u8],
    mask: &[u64],
    singles: bool,
    packed: &mut Vec<u8>,
    edges: &mut Vec<u32>,
) -> usize;

/// See [`Kernels::counts`].
pub type Counts = fn(
    distinct: &[u32],
    ends: &[u32],
    signed: bool,
    indices: &mut [i32],
    counts: &mut Vec<i32>,
) -> Counted;

/// What [`Kernels::counts`] tells of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counted {
    /// The sum of the squares of the counts.
    pub squares: u64,
    /// Whether a feature occurs with both signs, and therefore stands twice in the row.
    pub both_signs: bool,
}

/// The bytes that every text given to [`Kernels::join`] and [`Kernels::grams`] must have after the last edge, and that
/// given to [`Kernels::windows`] after its length.
pub const SLACK: usize = 32;

/// What an n-gram of characters may not cross.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Within {
    /// The ends of the text.
    Text,
    /// The ends of a word that has a space added on both sides.
    Words,
}

/// Which n-grams of characters [`Kernels::windows`] hashes, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Windows {
    /// Bytes of the shortest.
    pub least: usize,
    /// Bytes of the longest.
    pub greatest: usize,
    /// What they may not cross.
    pub within: Within,
    /// The seed of murmur3.
    pub seed: u32,
}

/// The tiers that this processor can run, the slowest first.
pub fn available() -> impl Iterator<Item = &'static Kernels> {
    [
        Some(&portable::PORTABLE),
        #[cfg(target_arch = "x86_64")]
        avx2::detected(),
        #[cfg(target_arch = "x86_64")]
        avx512::detected(),
    ]
    .into_iter()
    .flatten()
}

/// The tier of this name, if this processor can run it.
#[must_use]
pub fn named(name: &str) -> Option<&'static Kernels> {
    available().find(|kernels| kernels.name == name)
}

/// The tier in use: the one that the environment variable `MANYMILL_KERNELS` names, else the fastest that this
/// processor can run; a name that it cannot run is passed over.
#[must_use]
pub fn best() -> &'static Kernels {
    static BEST: LazyLock<&'static Kernels> = LazyLock::new(|| {
        let asked = std::env::var("MANYMILL_KERNELS").ok();
        let fastest = || available().last().unwrap_or(&portable::PORTABLE);
        asked.as_deref().and_then(named).unwrap_or_else(fastest)
    });
    *BEST
}
