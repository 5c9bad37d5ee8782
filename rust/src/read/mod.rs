//! Blocks of bytes to documents, labels and bad rows.
