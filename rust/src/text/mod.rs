//! Documents to hashed batches.
