//! The tier for x86-64-v3: 256 bits, and the counting and shifting instructions that came with them.
//!
//! ```text
//! words      ranges of letters and digits, two instructions each for 32 bytes; the mask is the signs of what they give
//! unicode    the portable loop over characters that are not ASCII, with masks from the sign bits
//! edges      the places of the set bits of a byte from a table, eight bytes a mask word
//! grams      eight runs at once: 16 bytes of each, transposed; one that goes on makes all of them go round again
//! windows    slices that start at eight bytes in a row: one shuffle gives four bytes of each
//! sort       split at a value until 64 keys are left; these in eight columns, merged between lanes
//! runs       keys that differ from the next one, packed by a permutation from the same table
//! counts     eight ends beside the eight before them
//! the rest   the portable loops, of which the compiler makes vectors of this tier
//! ```
//!
//! Instructions without addresses are safe here, and so are loads and stores of whole arrays; the few accesses that
//! trust an argument are in [`access`].

mod access;
mod columns;
mod counts;
mod edges;
mod fold;
mod grams;
mod join;
mod places;
mod quotients;
mod runs;
mod sort;
mod unicode;
mod windows;
mod words;

pub(super) use sort::sort;

use super::{Kernels, portable};

/// The tier, if this processor has all that it needs.
pub fn detected() -> Option<&'static Kernels> {
    let has_all = is_x86_feature_detected!("avx2")
        && is_x86_feature_detected!("bmi1")
        && is_x86_feature_detected!("bmi2")
        && is_x86_feature_detected!("lzcnt")
        && is_x86_feature_detected!("popcnt");
    has_all.then_some(&AVX2)
}

/// Private, for who has this table may call functions that other processors do not understand.
static AVX2: Kernels = Kernels {
    name: "avx2",
    words: entry!(words::words, text, lowercase, lowered, mask),
    unicode: entry!(unicode::unicode, text, plane, lowercase, lowered, mask, odd),
    edges: entry!(edges::edges, mask, singles, edges),
    join: entry!(join::join, text, edges, joined),
    pack: entry!(join::pack, text, mask, singles, packed, edges),
    grams: entry!(grams::grams, text, edges, n, seed, hashes),
    squeeze: portable::squeeze,
    windows: entry!(windows::windows, text, length, windows, hashes),
    fold: entry!(fold::fold, hashes, fold, signed, keys),
    sort: entry!(sort, keys, spare),
    runs: entry!(runs::runs, keys, distinct, ends),
    counts: entry!(counts::counts, distinct, ends, signed, indices, counts),
    quotients: entry!(quotients::quotients, counts, by, data),
    quotients_f32: entry!(quotients::quotients_f32, counts, by, data),
};
