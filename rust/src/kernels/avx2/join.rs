//! Words with one space between them: the portable loop, whose copies of 16 bytes no vector makes faster.

use crate::kernels::portable;

/// See [`crate::kernels::Kernels::join`].
#[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
pub fn join(text: &[u8], edges: &[u32], joined: &mut Vec<u8>, joined_edges: &mut Vec<u32>) {
    portable::join(text, edges, joined, joined_edges);
}
