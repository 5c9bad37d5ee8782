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

use super::{Counted, Fold, Kernels, Odd, Plane, Within, portable};

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
    words,
    unicode,
    edges,
    join,
    pack,
    grams,
    squeeze: portable::squeeze,
    windows,
    fold,
    sort,
    runs,
    counts,
    quotients,
    quotients_f32,
};

/// Defines the entries of the table: functions of the same name and arguments as those of the stages.
macro_rules! entries {
    ($($module:ident::$stage:ident($($argument:ident: $type:ty),*) $(-> $result:ty)?;)*) => {$(
        fn $stage($($argument: $type),*) $(-> $result)? {
            // SAFETY: only `AVX2` refers to this function, and only `detected` gives that away, after it has seen
            // that the processor has every feature that the stages are compiled for.
            unsafe { $module::$stage($($argument),*) }
        }
    )*};
}

entries! {
    words::words(text: &[u8], lowercase: bool, lowered: &mut Vec<u8>, mask: &mut Vec<u64>) -> bool;
    unicode::unicode(
        text: &[u8], plane: &Plane, lowercase: bool, lowered: &mut [u8], mask: &mut [u64], odd: &mut Odd<'_>
    ) -> bool;
    edges::edges(mask: &[u64], edges: &mut Vec<u32>) -> usize;
    join::join(text: &[u8], edges: &mut [u32], joined: &mut Vec<u8>);
    join::pack(text: &[u8], mask: &[u64], packed: &mut Vec<u8>, edges: &mut Vec<u32>) -> usize;
    grams::grams(text: &[u8], edges: &[u32], n: usize, hashes: &mut Vec<u32>);
    windows::windows(
        text: &[u8], length: usize, least: usize, greatest: usize, within: Within, hashes: &mut Vec<u32>
    );
    fold::fold(hashes: &[u32], fold: Fold, signed: bool, keys: &mut Vec<u32>);
    sort::sort(keys: &mut [u32], spare: &mut Vec<u32>);
    runs::runs(keys: &[u32], distinct: &mut Vec<u32>, ends: &mut Vec<u32>) -> usize;
    counts::counts(
        distinct: &[u32], ends: &[u32], signed: bool, indices: &mut [i32], counts: &mut Vec<i32>
    ) -> Counted;
    quotients::quotients(counts: &[i32], by: f64, data: &mut [f64]);
    quotients::quotients_f32(counts: &[i32], by: f64, data: &mut [f32]);
}
