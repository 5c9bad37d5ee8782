//! Words with one space between them: the portable loop, whose copies of 16 bytes no vector makes faster.

use super::edges::edges;
use crate::kernels::portable;

/// See [`crate::kernels::Kernels::join`].
#[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
pub fn join(text: &[u8], edges: &mut [u32], joined: &mut Vec<u8>) {
    portable::join(text, edges, joined);
}

/// See [`crate::kernels::Kernels::pack`].
#[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
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
