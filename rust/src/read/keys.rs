//! A 64-bit key of each text, to decide by the text alone which rows are held out.

use xxhash_rust::xxh3::xxh3_64_with_seed;

/// The XXH3 hash of each document in Arrow layout; `None` if an offset lies outside.
#[must_use]
pub fn text_keys(data: &[u8], offsets: &[i64], seed: u64) -> Option<Vec<u64>> {
    let key = |span: &[i64]| {
        let start = usize::try_from(span[0]).ok()?;
        let end = usize::try_from(span[1]).ok()?;
        Some(xxh3_64_with_seed(data.get(start..end)?, seed))
    };
    offsets.windows(2).map(key).collect()
}
