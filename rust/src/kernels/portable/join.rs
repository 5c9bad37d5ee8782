//! Words with one space between them: an n-gram is then a slice.

use super::SLACK;

/// See [`crate::kernels::Kernels::join`].
pub fn join(text: &[u8], edges: &[u32], joined: &mut Vec<u8>, joined_edges: &mut Vec<u32>) {
    joined.clear();
    joined_edges.clear();
    for &[start, end] in edges.as_chunks::<2>().0 {
        let (start, end) = (start as usize, end as usize);
        let at = joined.len();
        // Copies of a fixed length are single instructions; what is too much is cut off again.
        if end - start <= COPIED {
            joined.extend_from_slice(&text[start..start + COPIED]);
            joined.truncate(at + end - start);
        } else {
            joined.extend_from_slice(&text[start..end]);
        }
        joined_edges.extend([at as u32, joined.len() as u32]);
        joined.push(b' ');
    }
    joined.resize(joined.len() + SLACK, 0);
}

/// Bytes that a word nearly never exceeds.
const COPIED: usize = 16;
