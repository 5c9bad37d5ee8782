//! Words with one space between them.
//!
//! ```text
//! for each word: copy 16 bytes from its start, more while it is longer; put a space behind its end
//! ```
//!
//! What a copy takes too much, the next word overwrites.

use crate::kernels::SLACK;
use crate::kernels::portable::grow;

/// Bytes copied at a time.
const PIECE: usize = 16;

/// See [`crate::kernels::Kernels::join`].
#[target_feature(enable = "avx512vbmi2")]
pub fn join(text: &[u8], edges: &[u32], joined: &mut Vec<u8>, joined_edges: &mut Vec<u32>) {
    let words = edges.as_chunks::<2>().0;
    let length = words
        .iter()
        .map(|[start, end]| (end - start) as usize + 1)
        .sum::<usize>();
    grow(joined, length + PIECE + SLACK);
    joined_edges.clear();
    let mut at = 0;
    joined_edges.extend(words.iter().flat_map(|&[start, end]| {
        let (start, end) = (start as usize, end as usize);
        for from in (start..end).step_by(PIECE) {
            let to = at + from - start;
            joined[to..to + PIECE].copy_from_slice(&text[from..from + PIECE]);
        }
        let new = [at as u32, (at + end - start) as u32];
        at += end - start;
        joined[at] = b' ';
        at += 1;
        new
    }));
}
