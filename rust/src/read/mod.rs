//! Blocks of bytes to documents, labels and bad rows.
//!
//! A block holds whole records; where a file is cut into blocks is the caller's business. Every parser has the
//! same shape, and none can fail: a record is either a row or a bad row.
//!
//! ```text
//! for each record of the block
//!     text  ──► columns.data          (appended in place; taken back if the record turns out bad)
//!     label ──► code of a dictionary  (one per block)
//!     or    ──► columns.bad           (byte, reason, detail)
//! ```
//!
//! UTF-8 is validated once for the whole block; only a block that fails is validated record by record.

pub mod columns;
pub mod csv;
pub mod fasttext;
pub mod json;
pub mod keys;
pub mod lines;
pub mod reviews;

pub use columns::{Bad, Columns, Reason};
