//! The tier for 512 bits and the compressing instructions of VBMI2.

mod unicode;

use super::{Kernels, Odd, Plane, avx2};

/// The tier, if this processor has all that it needs.
pub fn detected() -> Option<&'static Kernels> {
    avx2::detected()?;
    let has_all = is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512vl")
        && is_x86_feature_detected!("avx512vbmi")
        && is_x86_feature_detected!("avx512vbmi2")
        && is_x86_feature_detected!("bmi1")
        && is_x86_feature_detected!("bmi2")
        && is_x86_feature_detected!("lzcnt")
        && is_x86_feature_detected!("popcnt");
    has_all.then_some(&AVX512)
}

/// Private, for who has this table may call functions that other processors do not understand.
static AVX512: Kernels = Kernels {
    name: "avx512",
    unicode,
    ..avx2::AVX2
};

fn unicode(
    text: &[u8],
    plane: &Plane,
    lowercase: bool,
    lowered: &mut [u8],
    mask: &mut [u64],
    odd: &mut Odd<'_>,
) -> bool {
    // SAFETY: only `AVX512` refers to this function, and only `detected` gives that away, after it has seen that the
    // processor has every feature that the stages are compiled for.
    unsafe { unicode::unicode(text, plane, lowercase, lowered, mask, odd) }
}
