//! The tier for any processor: no branch that depends on the text, and no `unsafe`. The wider tiers are compared
//! with it, and fall back to it for what is rare.

mod counts;
mod edges;
mod fold;
mod grams;
mod join;
mod quotients;
mod runs;
mod sort;
mod squeeze;
mod unicode;
mod windows;
mod words;

pub use edges::{edges, edges_by};
pub use fold::fold;
pub use grams::murmur3;
pub use join::{join, pack};
pub use sort::sort;
pub use squeeze::{is_space, squeeze};
pub use unicode::{Found, Room, look, unicode_by};
pub use windows::{windows, windows_by};
pub use words::{classify, words_by};

pub use super::BLOCK;
use super::{Kernels, SLACK};

/// Plain Rust.
pub const PORTABLE: Kernels = Kernels {
    name: "portable",
    words: words::words,
    unicode: unicode::unicode,
    edges,
    join,
    pack,
    grams: grams::grams,
    squeeze,
    windows,
    fold: fold::fold,
    sort: sort::sort,
    runs: runs::runs,
    counts: counts::counts,
    quotients: quotients::quotients,
    quotients_f32: quotients::quotients_f32,
};

/// Makes a buffer long enough; what it holds does not matter, and so it is never cleared.
pub fn grow<T: Copy + Default>(buffer: &mut Vec<T>, length: usize) {
    if buffer.len() < length {
        buffer.resize(length, T::default());
    }
}
