//! Hashes to the keys of features.

use crate::kernels::Fold;

/// See [`crate::kernels::Kernels::fold`].
#[inline(always)]
pub fn fold(hashes: &[u32], fold: Fold, signed: bool, keys: &mut Vec<u32>) {
    match (fold.is_power_of_two(), signed) {
        (false, false) => fold_as::<false, false>(hashes, fold, keys),
        (false, true) => fold_as::<false, true>(hashes, fold, keys),
        (true, false) => fold_as::<true, false>(hashes, fold, keys),
        (true, true) => fold_as::<true, true>(hashes, fold, keys),
    }
}

#[inline(always)]
fn fold_as<const MASK: bool, const SIGNED: bool>(hashes: &[u32], fold: Fold, keys: &mut Vec<u32>) {
    keys.clear();
    keys.extend(hashes.iter().map(|&hash| {
        let feature = fold.feature::<MASK>(hash);
        if SIGNED {
            feature << 1 | hash >> 31
        } else {
            feature
        }
    }));
}
