//! Documents picked from Arrow columns, in any order, without a copy; nothing about them is trusted.

use super::HashError;

/// A column of text in Arrow layout: document `i` is `data[offsets[i]..offsets[i + 1]]`.
#[derive(Debug, Clone, Copy)]
pub struct Chunk<'a> {
    /// The bytes of all documents.
    pub data: &'a [u8],
    /// One more than there are documents; they need not start at 0.
    pub offsets: &'a [i64],
}

impl<'a> Chunk<'a> {
    /// The bytes of one row: `None` if there is no such row, `Some(None)` if its offsets are wrong.
    fn row(&self, row: u32) -> Option<Option<&'a [u8]>> {
        let row = row as usize;
        let (&start, &end) = (
            self.offsets.get(row)?,
            self.offsets.get(row.checked_add(1)?)?,
        );
        let span = usize::try_from(start).ok().zip(usize::try_from(end).ok());
        Some(span.and_then(|(start, end)| self.data.get(start..end)))
    }
}

/// Document `i` is row `row_of[i]` of `chunks[chunk_of[i]]`.
///
/// # Errors
/// Each document that does not exist or lies outside its data is an error; so are two lists of
/// different length.
pub fn pick<'a>(
    chunks: &[Chunk<'a>],
    chunk_of: &[u32],
    row_of: &[u32],
) -> Result<impl ExactSizeIterator<Item = Result<&'a [u8], HashError>>, HashError> {
    if chunk_of.len() != row_of.len() {
        return Err(HashError::Lengths(chunk_of.len(), row_of.len()));
    }
    Ok(chunk_of
        .iter()
        .zip(row_of)
        .enumerate()
        .map(|(i, (&chunk, &row))| {
            let found = chunks
                .get(chunk as usize)
                .and_then(|column| column.row(row));
            found
                .ok_or(HashError::NoSuchRow(i, chunk, row))?
                .ok_or(HashError::Offsets(i))
        }))
}
