//! Documents in Arrow's layouts, read where they lie; nothing about them is trusted.

use super::HashError;
use std::ops::Range;

/// A column of text in one of Arrow's layouts.
#[derive(Debug, Clone)]
pub enum Column<'a> {
    /// `string`, `binary`: document `i` is `data[offsets[i]..offsets[i + 1]]`; offsets need not start at 0.
    Offsets32(&'a [u8], &'a [i32]),
    /// `large_string`, `large_binary`: the same with larger offsets.
    Offsets64(&'a [u8], &'a [i64]),
    /// `string_view`, `binary_view`: 16 bytes a document, which hold it if it is short, else say where it lies.
    Views(&'a [u8], Vec<&'a [u8]>),
    /// A dictionary: document `i` is row `rows[i]` of another column.
    Taken(&'a [u32], Box<Column<'a>>),
}

/// Bytes of a view, and of the longest document that it holds itself.
const VIEW: usize = 16;
const INLINE: usize = 12;

impl<'a> Column<'a> {
    /// The number of documents.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Offsets32(_, offsets) => offsets.len().saturating_sub(1),
            Self::Offsets64(_, offsets) => offsets.len().saturating_sub(1),
            Self::Views(views, _) => views.len() / VIEW,
            Self::Taken(rows, _) => rows.len(),
        }
    }

    /// Whether there is no document.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes of one row: `None` if there is no such row, `Some(None)` if they lie outside of the data.
    fn row(&self, row: usize) -> Option<Option<&'a [u8]>> {
        match self {
            Self::Offsets32(data, offsets) => between(data, offsets, row),
            Self::Offsets64(data, offsets) => between(data, offsets, row),
            Self::Views(views, buffers) => {
                let view = views.as_chunks::<VIEW>().0.get(row)?;
                Some(viewed(view, buffers))
            }
            Self::Taken(rows, of) => of.row(*rows.get(row)? as usize),
        }
    }

    /// The end of the rows from `start` on that have about `bytes` bytes together; one row at least if there is any.
    #[must_use]
    pub fn block(&self, start: usize, bytes: usize) -> usize {
        let (mut end, mut taken) = (start, 0);
        while end < self.len() && taken < bytes {
            let length = self.row(end).flatten().map_or(0, <[u8]>::len);
            // Empty documents cost something too.
            taken += length.max(8);
            end += 1;
        }
        end
    }

    /// The documents of some rows of chunk number `chunk`.
    pub fn documents(
        &self,
        chunk: u32,
        rows: Range<usize>,
    ) -> impl ExactSizeIterator<Item = Result<&'a [u8], HashError>> {
        rows.enumerate()
            .map(move |(i, row)| found(self.row(row), i, chunk, row as u32))
    }
}

/// Document `i` is row `row_of[i]` of `chunks[chunk_of[i]]`.
///
/// # Errors
/// Each document that does not exist or lies outside its data is an error; so are two lists of
/// different length.
pub fn pick<'a>(
    chunks: &[Column<'a>],
    chunk_of: &[u32],
    row_of: &[u32],
) -> Result<impl ExactSizeIterator<Item = Result<&'a [u8], HashError>>, HashError> {
    if chunk_of.len() != row_of.len() {
        return Err(HashError::Lengths(chunk_of.len(), row_of.len()));
    }
    let pairs = chunk_of.iter().zip(row_of).enumerate();
    Ok(pairs.map(|(i, (&chunk, &row))| {
        let column = chunks.get(chunk as usize);
        found(
            column.and_then(|column| column.row(row as usize)),
            i,
            chunk,
            row,
        )
    }))
}

fn found(
    document: Option<Option<&[u8]>>,
    i: usize,
    chunk: u32,
    row: u32,
) -> Result<&[u8], HashError> {
    document
        .ok_or(HashError::NoSuchRow(i, chunk, row))?
        .ok_or(HashError::Offsets(i))
}

fn between<'a, T: Copy + TryInto<usize>>(
    data: &'a [u8],
    offsets: &[T],
    row: usize,
) -> Option<Option<&'a [u8]>> {
    let (&start, &end) = (offsets.get(row)?, offsets.get(row.checked_add(1)?)?);
    let span = start.try_into().ok().zip(end.try_into().ok());
    Some(span.and_then(|(start, end)| data.get(start..end)))
}

fn viewed<'a>(view: &'a [u8; VIEW], buffers: &[&'a [u8]]) -> Option<&'a [u8]> {
    let number = |i: usize| {
        let bytes = view.as_chunks::<4>().0[i];
        usize::try_from(i32::from_ne_bytes(bytes)).ok()
    };
    let length = number(0)?;
    if length <= INLINE {
        return view.get(4..4 + length);
    }
    let (buffer, start) = (buffers.get(number(2)?)?, number(3)?);
    buffer.get(start..start.checked_add(length)?)
}

#[cfg(test)]
mod tests {
    use super::{Column, pick};
    use crate::text::HashError;
    use proptest::prelude::*;

    const TEXT: &[u8] = b"one two three and four";

    fn view(length: i32, buffer: i32, start: i32) -> Vec<u8> {
        let numbers = [length, i32::from_ne_bytes(*b"pref"), buffer, start];
        numbers.iter().flat_map(|n| n.to_ne_bytes()).collect()
    }

    fn all<'a>(column: &Column<'a>) -> Vec<Result<&'a [u8], HashError>> {
        column.documents(0, 0..column.len()).collect()
    }

    #[test]
    fn short_views_hold_their_document_and_long_ones_point_to_it() {
        let mut views = view(13, 1, 4);
        views.extend(3i32.to_ne_bytes());
        views.extend(b"abc---------");
        let column = Column::Views(&views, vec![b"", TEXT]);
        assert_eq!(all(&column), [Ok(&b"two three and"[..]), Ok(&b"abc"[..])]);
    }

    #[test]
    fn a_view_that_points_outside_is_an_error() {
        for (length, buffer, start) in [
            (13, 2, 0),
            (13, -1, 0),
            (13, 1, 10),
            (13, 1, -1),
            (-1, 0, 0),
            (i32::MAX, 1, i32::MAX),
        ] {
            let views = view(length, buffer, start);
            let column = Column::Views(&views, vec![b"", TEXT]);
            assert_eq!(all(&column), [Err(HashError::Offsets(0))]);
        }
    }

    #[test]
    fn a_dictionary_is_read_by_number() {
        let words = Column::Offsets32(TEXT, &[0, 3, 7]);
        let column = Column::Taken(&[1, 0, 2], Box::new(words));
        assert_eq!(
            all(&column),
            [
                Ok(&b" two"[..]),
                Ok(&b"one"[..]),
                Err(HashError::NoSuchRow(2, 0, 2))
            ]
        );
    }

    proptest! {
        #[test]
        fn blocks_cover_every_row_once(lengths in prop::collection::vec(0usize..100, 0..50), bytes in 1usize..200) {
            let mut offsets = vec![0i64];
            offsets.extend(lengths.iter().scan(0, |end, &n| { *end += n as i64; Some(*end) }));
            let data = vec![b'a'; *offsets.last().expect("one") as usize];
            let column = Column::Offsets64(&data, &offsets);
            let mut start = 0;
            while start < column.len() {
                let end = column.block(start, bytes);
                prop_assert!(end > start);
                start = end;
            }
            prop_assert_eq!(start, lengths.len());
        }

        #[test]
        fn no_offsets_do_harm(offsets: Vec<i64>, rows: Vec<u32>, chunks: Vec<u32>) {
            let column = Column::Offsets64(TEXT, &offsets);
            prop_assert_eq!(all(&column).len(), column.len());
            let columns = [column];
            let picked = pick(&columns, &chunks, &rows);
            prop_assert_eq!(picked.is_ok(), rows.len() == chunks.len());
            picked.into_iter().flatten().for_each(|document| { let _ = document; });
        }
    }
}
