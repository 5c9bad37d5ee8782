//! A hash folded to the number of features: `abs(hash) % n_features`, without a division.

/// The remainder by one number, prepared (Lemire, Kaser, Kurz, *Faster remainder by direct computation*, 2019).
#[derive(Debug, Clone, Copy)]
pub struct Fold {
    pub(super) n_features: u64,
    pub(super) inverse: u64,
}

impl Fold {
    /// Folds to `0 .. n_features`, which must not be 0.
    #[must_use]
    pub fn new(n_features: u32) -> Self {
        let inverse = (u64::MAX / u64::from(n_features)).wrapping_add(1);
        Self {
            n_features: u64::from(n_features),
            inverse,
        }
    }

    /// Whether a mask will do.
    #[must_use]
    pub fn is_power_of_two(self) -> bool {
        self.n_features.is_power_of_two()
    }

    /// The feature of a signed hash; `MASK` only if the number of features is a power of two.
    #[must_use]
    #[inline(always)]
    pub fn feature<const MASK: bool>(self, hash: u32) -> u32 {
        let magnitude = hash.cast_signed().unsigned_abs();
        if MASK {
            magnitude & (self.n_features as u32).wrapping_sub(1)
        } else {
            let fraction = self.inverse.wrapping_mul(u64::from(magnitude));
            ((u128::from(fraction) * u128::from(self.n_features)) >> 64) as u32
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Fold;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_fold_is_the_remainder(hash: u32, n_features in 1..=1u32 << 31) {
            let fold = Fold::new(n_features);
            let expected = hash.cast_signed().unsigned_abs() % n_features;
            prop_assert_eq!(fold.feature::<false>(hash), expected);
            if fold.is_power_of_two() {
                prop_assert_eq!(fold.feature::<true>(hash), expected);
            }
        }
    }

    #[test]
    fn the_least_hash_has_a_magnitude_like_any_other() {
        for n_features in [1, 2, 3, 1 << 20, 1_000_003, (1 << 31) - 1, 1 << 31] {
            assert_eq!(
                Fold::new(n_features).feature::<false>(1 << 31),
                (1 << 31) % n_features
            );
        }
    }
}
