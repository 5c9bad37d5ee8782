//! Plain Rust compiled for registers of 256 bits as well, and run there if the processor has them.
//!
//! ```text
//! run(work) ─┬─ work.run::<8>() compiled for AVX2
//!            └─ work.run::<1>() compiled for any processor
//! ```
//!
//! The compiler puts neighbours side by side in whatever registers there are; it neither reorders a sum nor fuses a
//! product with it. So both give the same bytes as long as no sum's order depends on the number of lanes, and no
//! line is written twice. Registers of 512 bits gained nothing: the learner waits for memory.

#[cfg(target_arch = "x86_64")]
use std::sync::LazyLock;

/// Loops over numbers.
pub trait Work {
    /// What comes out.
    type Output;

    /// Does the work, `LANES` numbers side by side; with 1, however the compiler likes best. To be marked
    /// `#[inline(always)]`, and all that it calls in its inner loops too: only what is inlined is compiled for the wide
    /// registers.
    fn run<const LANES: usize>(self) -> Self::Output;
}

/// Does the work in the widest registers that the tier in use has.
#[inline]
pub fn run<W: Work>(work: W) -> W::Output {
    #[cfg(target_arch = "x86_64")]
    if *HAS_256_BITS {
        // SAFETY: the processor has been found to have the features.
        return unsafe { bits_256(work) };
    }
    work.run::<1>()
}

/// Whether the tier in use has wide registers, and the processor all that is compiled for here.
#[cfg(target_arch = "x86_64")]
static HAS_256_BITS: LazyLock<bool> = LazyLock::new(|| {
    let detected = is_x86_feature_detected!("avx2")
        && is_x86_feature_detected!("bmi1")
        && is_x86_feature_detected!("bmi2")
        && is_x86_feature_detected!("lzcnt")
        && is_x86_feature_detected!("popcnt");
    detected && super::best().name != super::portable::PORTABLE.name
});

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
fn bits_256<W: Work>(work: W) -> W::Output {
    work.run::<8>()
}
