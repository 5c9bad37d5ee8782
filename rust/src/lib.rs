//! The Rust core of manymill: bytes of text in, arrays of numbers out.
//!
//! ```text
//! bytes of a block ──read──► documents, labels, bad rows
//! documents        ──text──► hashed batch      (raw 32-bit hashes of the tokens)
//! hashed batch     ──rows──► rows              (sorted indices and values; CSR for scikit-learn)
//! rows             ──learn─► state             (weights, squared-gradient sums)
//! ```
//!
//! Nothing here knows Python except `py`, nothing is `unsafe` except `kernels`, and nothing starts a
//! thread: the callers run these functions side by side, each on its own data.

pub mod kernels;
pub mod learn;
pub mod read;
pub mod rows;
pub mod text;

#[cfg(feature = "python")]
mod py;
