//! Which bytes of a JSON string stand for themselves: all but quotes, backslashes and control characters.
//!
//! ```text
//! 32 bytes → a bit for each that is special → how many zeros stand before the first
//! ```
//!
//! SSE2 is part of every x86-64 processor, so there is nothing to choose at run time; elsewhere eight bytes are looked
//! at in one number.

/// How many bytes are looked at together.
pub const CHUNK: usize = 32;

/// Whether a byte does not stand for itself.
#[must_use]
pub fn is_special(byte: u8) -> bool {
    byte < 0x20 || byte == b'"' || byte == b'\\'
}

/// How many bytes stand before the first special one.
#[inline(always)]
#[must_use]
pub fn count_plain(chunk: &[u8; CHUNK]) -> usize {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: SSE2, the only thing that the function asks for, is part of x86-64.
    return unsafe { count_plain_sse2(chunk) };
    #[cfg(not(target_arch = "x86_64"))]
    count_plain_portably(chunk)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "sse2")]
#[inline]
fn count_plain_sse2(chunk: &[u8; CHUNK]) -> usize {
    use std::arch::x86_64::{
        _mm_cmpeq_epi8, _mm_min_epu8, _mm_movemask_epi8, _mm_or_si128, _mm_set_epi64x,
        _mm_set1_epi8,
    };
    let (sixteens, _) = chunk.as_chunks::<16>();
    let [low, high] = [sixteens[0], sixteens[1]].map(|sixteen| {
        let bits = u128::from_le_bytes(sixteen);
        let bytes = _mm_set_epi64x((bits >> 64) as i64, bits as i64);
        let control = _mm_cmpeq_epi8(_mm_min_epu8(bytes, _mm_set1_epi8(0x1f)), bytes);
        let quote = _mm_cmpeq_epi8(bytes, _mm_set1_epi8(b'"' as i8));
        let backslash = _mm_cmpeq_epi8(bytes, _mm_set1_epi8(b'\\' as i8));
        let special = _mm_or_si128(_mm_or_si128(quote, backslash), control);
        _mm_movemask_epi8(special) as u32
    });
    (high << 16 | low).trailing_zeros() as usize
}

/// Eight bytes in one number: a special one sets the highest bit of its place. Borrows may set more of them, but
/// only behind the first.
#[cfg(any(test, not(target_arch = "x86_64")))]
fn count_plain_portably(chunk: &[u8; CHUNK]) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let below =
        |eight: u64, least: u8| eight.wrapping_sub(ONES * u64::from(least)) & !eight & (ONES << 7);
    let (eights, _) = chunk.as_chunks();
    let counts = eights.iter().map(|&eight| {
        let eight = u64::from_le_bytes(eight);
        let quote = below(eight ^ (ONES * u64::from(b'"')), 1);
        let backslash = below(eight ^ (ONES * u64::from(b'\\')), 1);
        ((quote | backslash | below(eight, 0x20)).trailing_zeros() / 8) as usize
    });
    let mut plain = 0;
    for count in counts {
        plain += count;
        if count < 8 {
            break;
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn plain_bytes_are_counted_as_one_by_one(chunk: [u8; CHUNK], place in 0..CHUNK, byte in r#"["\\\x00- !\x7f]"#) {
            for mut chunk in [chunk, chunk.map(|byte| byte | 0x60)] {
                chunk[place] = byte.as_bytes()[0];
                let counted = chunk.iter().take_while(|&&byte| !is_special(byte)).count();
                prop_assert_eq!(count_plain(&chunk), counted);
                prop_assert_eq!(count_plain_portably(&chunk), counted);
            }
        }
    }
}
