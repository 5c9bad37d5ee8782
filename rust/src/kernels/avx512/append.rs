//! Chosen lanes at the end of a vector.

use super::memory::LANES;
use std::arch::x86_64::*;

/// A vector with room for numbers that are being appended to it.
pub struct Appended<'a> {
    vector: &'a mut Vec<u32>,
    count: usize,
}

impl<'a> Appended<'a> {
    /// Makes room for so many numbers; those beyond are not kept.
    pub fn new(vector: &'a mut Vec<u32>, most: usize) -> Self {
        vector.reserve(most + LANES);
        Self { vector, count: 0 }
    }

    /// Appends the lanes whose bit is set.
    #[inline]
    #[target_feature(enable = "avx512vbmi,avx512vbmi2,popcnt")]
    pub fn push(&mut self, chosen: u16, lanes: __m512i) {
        let room = self.vector.spare_capacity_mut();
        if let Some(room) = room
            .get_mut(self.count..)
            .and_then(<[_]>::first_chunk_mut::<LANES>)
        {
            let packed = _mm512_maskz_compress_epi32(chosen, lanes);
            // SAFETY: an array of 64 bytes is written; no alignment is asked for.
            unsafe { _mm512_storeu_si512(room.as_mut_ptr().cast(), packed) };
            self.count += chosen.count_ones() as usize;
        }
    }

    /// The numbers are part of the vector now.
    pub fn finish(self) {
        // SAFETY: `count` numbers were written side by side behind the end of the vector, inside its memory.
        unsafe { self.vector.set_len(self.vector.len() + self.count) };
    }
}
