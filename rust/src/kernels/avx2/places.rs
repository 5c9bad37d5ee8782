//! Eight lanes packed by a mask: the instruction set has no such instruction, so the permutation comes from a table.

use super::access::load;
use std::arch::x86_64::__m256i;

/// For each mask of eight bits the places of the set bits, then those of the others, both ascending.
static PLACES: [[u32; 8]; 256] = {
    let mut table = [[0; 8]; 256];
    let mut mask = 0;
    while mask < 256 {
        let (mut set, mut unset) = (0, (mask as u32).count_ones() as usize);
        let mut place = 0;
        while place < 8 {
            if mask >> place & 1 == 1 {
                table[mask][set] = place as u32;
                set += 1;
            } else {
                table[mask][unset] = place as u32;
                unset += 1;
            }
            place += 1;
        }
        mask += 1;
    }
    table
};

/// The permutation that packs the lanes of the mask's set bits to the front and the others behind them; to the front
/// there are also simply the places of the set bits.
#[inline]
#[target_feature(enable = "avx2")]
pub fn places(mask: u8) -> __m256i {
    load(&PLACES[usize::from(mask)])
}
