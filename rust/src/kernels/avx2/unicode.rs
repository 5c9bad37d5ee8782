//! The characters that are not ASCII: the portable loop over them, where the masks of a block are four instructions
//! and the next set bit is one.

use super::access::load_bytes;
use crate::kernels::portable::{look, unicode_by};
use crate::kernels::{Odd, Plane};
use std::arch::x86_64::{_mm256_add_epi8, _mm256_and_si256, _mm256_movemask_epi8};

/// See [`crate::kernels::Kernels::unicode`].
#[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
pub fn unicode(
    text: &[u8],
    plane: &Plane,
    lowercase: bool,
    lowered: &mut [u8],
    mask: &mut [u64],
    odd: &mut Odd<'_>,
) -> bool {
    let classes = plane.classes(lowercase);
    unicode_by(text, plane, lowered, mask, odd, |rest, here| {
        look(rest, here, classes, plane, |block| beyond_ascii(block))
    })
}

/// The bytes of a block that are not ASCII, and those that start a character of two bytes and more.
#[inline]
#[target_feature(enable = "avx2")]
fn beyond_ascii(block: &[u8; 64]) -> (u64, u64) {
    let (mut others, mut two) = (0, 0);
    for (i, half) in block.as_chunks::<32>().0.iter().enumerate() {
        let bytes = load_bytes(half);
        let highest = |bytes| u64::from(_mm256_movemask_epi8(bytes).cast_unsigned()) << (32 * i);
        let next_bits = _mm256_add_epi8(bytes, bytes);
        others |= highest(bytes);
        two |= highest(_mm256_and_si256(bytes, next_bits));
    }
    (others, two)
}
