//! Hashes to the keys of features: the portable loop, which the compiler turns into vectors of this tier.

use crate::kernels::{Fold, portable};

/// See [`crate::kernels::Kernels::fold`].
#[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
pub fn fold(hashes: &[u32], fold: Fold, signed: bool, keys: &mut Vec<u32>) {
    portable::fold(hashes, fold, signed, keys);
}
