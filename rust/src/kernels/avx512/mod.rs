//! The tier for processors with the second set of byte instructions of AVX-512 (Ice Lake, Zen 4 and later).
//!
//! ```text
//! words    64 bytes a step: one look-up gives lower case and class
//! unicode  up to 32 characters a step, compressed out of 64 bytes; their classes are gathered
//! edges    64 bits a step: compressing the numbers 0 to 63 by a mask leaves the places of its bits
//! join     16 bytes a word, copied together with what is behind it; the next word overwrites that
//! pack     64 bytes a step, compressed to the words and a space behind each
//! grams    16 words a step, 16 bytes of each, transposed: murmur3 in 16 lanes
//! squeeze  64 bytes a step, compressed to those that are kept
//! windows  16 slices a step, which start at 16 bytes in a row: one permutation gives four bytes of each
//! sort     networks of comparisons over 16 columns; of more than 256 keys, the sort of 256 bits
//! runs, counts, quotients    16 keys a step, compressed where a run starts
//! ```
//!
//! Functions with `#[target_feature]` are safe to write and to call among each other; `unsafe` are the loads and
//! stores of [`memory`] and [`append`], and the one call that enters the tier.

mod append;
mod edges;
mod fold;
mod grams;
mod join;
mod memory;
mod network;
mod row;
mod runs;
mod sort;
mod squeeze;
mod unicode;
mod windows;
mod words;

use super::Kernels;

/// The tier, if this processor can run it.
pub fn detected() -> Option<&'static Kernels> {
    let able = is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512vl")
        && is_x86_feature_detected!("avx512vbmi")
        && is_x86_feature_detected!("avx512vbmi2")
        && is_x86_feature_detected!("avx2")
        && is_x86_feature_detected!("bmi1")
        && is_x86_feature_detected!("bmi2")
        && is_x86_feature_detected!("lzcnt")
        && is_x86_feature_detected!("popcnt");
    able.then_some(&AVX512)
}

/// Private: whoever has it has passed [`detected`].
static AVX512: Kernels = Kernels {
    name: "avx512",
    words: entry!(words::words, text, lowercase, lowered, mask),
    unicode: entry!(unicode::unicode, text, plane, lowercase, lowered, mask, odd),
    edges: entry!(edges::edges, mask, singles, edges),
    join: entry!(join::join, text, edges, joined),
    pack: entry!(join::pack, text, mask, singles, packed, edges),
    grams: entry!(grams::grams, text, edges, n, seed, hashes),
    squeeze: entry!(squeeze::squeeze, text, lowercase, within, squeezed),
    windows: entry!(windows::windows, text, length, windows, hashes),
    fold: entry!(fold::fold, hashes, fold, signed, keys),
    sort: entry!(sort::sort, keys, spare),
    runs: entry!(runs::runs, keys, distinct, ends),
    counts: entry!(row::counts, distinct, ends, signed, indices, counts),
    quotients: entry!(row::quotients, counts, by, data),
    quotients_f32: entry!(row::quotients_f32, counts, by, data),
};
