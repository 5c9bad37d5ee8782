//! The inner loops, one table of functions a tier, chosen once per call.
//!
//! ```text
//! Kernels { words, grams, sort } ─┬─ PORTABLE      any processor, no `unsafe`
//!                                 └─ later tiers   same functions for wider registers
//! ```
//!
//! Callers see only [`Kernels`]; a tier is a constant of that type, and every tier gives the same bytes, which
//! the tests compare with naive twins. Should a tier need `unsafe`, this is the only module that may hold it.

pub mod memory;
pub mod plain;
pub mod portable;
mod sort;

/// The inner loops of one tier.
#[derive(Debug, Clone, Copy)]
pub struct Kernels {
    /// ASCII text to lower-cased (or plain) text and one bit a byte saying "word character".
    pub words: fn(text: &[u8], lowercase: bool, lowered: &mut Vec<u8>, mask: &mut Vec<u64>),
    /// That mask to the edges of the words of two bytes and more: start, end, start, end, …; returns how many edges
    /// there are, the rest of the buffer being rubbish.
    pub edges: fn(mask: &[u64], edges: &mut Vec<u32>) -> usize,
    /// The murmur3 hashes of all runs of `n` words, appended to the last argument.
    pub grams: fn(text: &[u8], edges: &[u32], n: usize, hashes: &mut Vec<u32>),
    /// Sorts keys ascending; the second argument is memory to work in, of any length.
    pub sort: fn(keys: &mut [u32], spare: &mut Vec<u32>),
}

/// The bytes that every text given to [`Kernels::grams`] must have after the last edge.
pub const SLACK: usize = 16;

/// The fastest tier that this processor can run.
#[must_use]
pub fn best() -> &'static Kernels {
    &portable::PORTABLE
}
