//! Sorting the keys of one document.
//!
//! ```text
//! up to 256 keys     a network
//! more               the sort of 256 bits, which splits until few are left: its networks are smaller, and parting keys
//!                    by 16 took a sixth more time at the thousand that a document has with its n-grams of characters
//! ```

use super::network;
use crate::kernels::avx2;

/// See [`crate::kernels::Kernels::sort`].
#[target_feature(enable = "avx512vbmi2,avx2,bmi1,bmi2,lzcnt,popcnt")]
pub fn sort(keys: &mut [u32], spare: &mut Vec<u32>) {
    if keys.len() <= network::MOST {
        network::sort(keys);
    } else {
        avx2::sort(keys, spare);
    }
}
