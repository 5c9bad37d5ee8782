//! Words with one space between them: an n-gram is then a slice.
//!
//! ```text
//! for each word:
//!     16 bytes from its start, whole: what is too much is overwritten by the next word
//!     16 more while it goes on
//!     a space
//! ```

use super::{SLACK, edges, grow};

/// Bytes that are copied at once, which a word nearly never exceeds.
const COPIED: usize = 16;

/// See [`crate::kernels::Kernels::join`].
pub fn join(text: &[u8], edges: &mut [u32], joined: &mut Vec<u8>) {
    // Between two words there is a byte, so that the words and their spaces are no longer than the text and a space.
    grow(joined, text.len() + 1 + SLACK + COPIED);
    let mut to = 0;
    for edges in edges.as_chunks_mut().0 {
        let [start, end] = *edges;
        let (from, length) = (start as usize, (end - start) as usize);
        let mut copied = 0;
        loop {
            let source = text[from + copied..].first_chunk::<COPIED>();
            let target = joined[to + copied..].first_chunk_mut();
            if let (Some(source), Some(target)) = (source, target) {
                *target = *source;
            }
            copied += COPIED;
            if copied >= length {
                break;
            }
        }
        *edges = [to, to + length].map(|edge| edge as u32);
        joined[to + length] = b' ';
        to += length + 1;
    }
}

/// See [`crate::kernels::Kernels::pack`].
pub fn pack(
    text: &[u8],
    mask: &[u64],
    singles: bool,
    packed: &mut Vec<u8>,
    edges: &mut Vec<u32>,
) -> usize {
    let count = self::edges(mask, singles, edges);
    join(text, &mut edges[..count], packed);
    count
}
