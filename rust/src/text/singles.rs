//! Words are of two characters and more: where one stands alone, its bytes are no word.

use crate::kernels::{BLOCK, Joiner, Leads, beyond_ascii};

/// Clears the bits of words of a single character that is not ASCII; those of one byte are dropped where the edges
/// are found. The text must have a byte for each bit of the mask.
pub fn drop_singles(text: &[u8], mask: &mut [u64]) {
    let mut joiner = Joiner::new(false);
    let blocks = text.as_chunks::<BLOCK>().0;
    for (i, block) in blocks.iter().enumerate().take(mask.len()) {
        let (others, two) = beyond_ascii(block);
        joiner.push(others, Leads::new(block, two), 0, mask, i);
    }
    joiner.end(mask);
}
