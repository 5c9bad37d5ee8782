//! The characters that are not ASCII: their word bits, and their lower case over them.
//!
//! ```text
//! leads     comparisons of 64 bytes with 0x80, 0xc0, 0xe0, 0xf0
//! lanes     the first, second and third byte of each character, compressed: up to 32, in 16 bits each
//! classes   gathered by code point, 32 bits for 16 characters; shifted
//! lower     gathered for those that become another one; encoded in the lanes and expanded over the old bytes
//! starts    a bit a lane → a bit at each start
//! ```

use super::memory::load_first_bytes;
use crate::kernels::portable::{Found, Room, unicode_by};
use crate::kernels::{BLOCK, Leads, Odd, Plane};
use std::arch::x86_64::*;

/// Characters of two bytes and more that start in a block, at most.
const LANES: u32 = 32;

/// See [`crate::kernels::Kernels::unicode`].
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi,avx512vbmi2")]
#[target_feature(enable = "bmi1,bmi2,popcnt")]
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
        let block = load_first_bytes(rest);
        let others = _mm512_movepi8_mask(block);
        if others == 0 {
            return Found::default();
        }
        look(block, others, rest, here, classes, plane)
    })
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi,avx512vbmi2")]
#[target_feature(enable = "bmi1,bmi2,popcnt")]
fn look(
    block: __m512i,
    others: u64,
    rest: &[u8],
    here: &mut Room,
    classes: &Classes,
    plane: &Plane,
) -> Found {
    let from = |least: u8| _mm512_cmpge_epu8_mask(block, _mm512_set1_epi8(least.cast_signed()));
    let leads = Leads {
        two: from(0xc0),
        three: from(0xe0),
        four: from(0xf0),
    };
    let lanes = Lanes::new(block, rest, leads);
    let (words, more) = lanes.classify(classes);
    if words & more != 0 {
        lanes.lower(plane, words & more, leads, here);
    }
    Found {
        others,
        leads,
        words: _pdep_u64(words.into(), leads.two),
        odd: _pdep_u64((more & !words).into(), leads.two),
    }
}

type Classes = [u32; 4096];

/// The characters of a block that are not ASCII; more than 32 do not fit together whatever is seen of them.
struct Lanes {
    /// Code points of two and three bytes, those that need no third replaced by 0.
    characters: __m512i,
    /// Lanes that are in use, of three bytes and more, and of four.
    used: u32,
    three: u32,
    four: u32,
}

impl Lanes {
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi,avx512vbmi2,bmi2,popcnt")]
    fn new(block: __m512i, rest: &[u8], leads: Leads) -> Self {
        let lanes = |bytes| {
            let packed = _mm512_maskz_compress_epi8(leads.two, bytes);
            _mm512_cvtepu8_epi16(_mm512_castsi512_si256(packed))
        };
        let behind = |by| load_first_bytes(rest.get(by..).unwrap_or_default());
        let (first, second, third) = (lanes(block), lanes(behind(1)), lanes(behind(2)));
        let used = _bzhi_u32(u32::MAX, leads.two.count_ones().min(LANES));
        let three = _pext_u64(leads.three, leads.two) as u32;
        let tail = |lane| _mm512_and_si512(lane, _mm512_set1_epi16(0x3f));
        let join = |high, low| _mm512_or_si512(_mm512_slli_epi16::<6>(high), low);
        let high = join(first, tail(second));
        let of_two = _mm512_and_si512(high, _mm512_set1_epi16(0x7ff));
        let of_three = join(high, tail(third));
        let needless = _mm512_mask_cmplt_epu16_mask(three, of_three, _mm512_set1_epi16(0x800));
        let characters = _mm512_mask_blend_epi16(three, of_two, of_three);
        Self {
            characters: _mm512_mask_mov_epi16(characters, needless, _mm512_setzero_si512()),
            used,
            three,
            four: _pext_u64(leads.four, leads.two) as u32,
        }
    }

    /// Word characters, and those that ask for more.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl")]
    fn classify(&self, classes: &Classes) -> (u32, u32) {
        let [low, high] = halves(self.characters);
        let (mut words, mut more) = classify(low, classes);
        if self.used >> 16 != 0 {
            let above = classify(high, classes);
            words |= above.0 << 16;
            more |= above.1 << 16;
        }
        let known = self.used & !self.four;
        (words & known, more & known | self.four & self.used)
    }

    /// Writes the characters that these lanes become over them.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi2,bmi2")]
    fn lower(&self, plane: &Plane, lanes: u32, leads: Leads, here: &mut Room) {
        let [low, high] = halves(self.characters);
        let low = lower(low, lanes as u16, plane);
        let high = lower(high, (lanes >> 16) as u16, plane);
        let lower = _mm512_inserti64x4::<1>(_mm512_castsi256_si512(low), high);

        let or = |bits: i16, lane| _mm512_or_si512(lane, _mm512_set1_epi16(bits));
        let tail = |lane| or(0x80, _mm512_and_si512(lane, _mm512_set1_epi16(0x3f)));
        let middle = _mm512_srli_epi16::<6>(lower);
        let last = tail(lower);
        let first_of_three = or(0xe0, _mm512_srli_epi16::<12>(lower));
        let first = _mm512_mask_blend_epi16(self.three, or(0xc0, middle), first_of_three);
        let second = _mm512_mask_blend_epi16(self.three, last, tail(middle));
        let spread = |lane| {
            let bytes = _mm512_castsi256_si512(_mm512_cvtepi16_epi8(lane));
            _mm512_maskz_expand_epi8(leads.two, bytes)
        };
        let at = _pdep_u64(lanes.into(), leads.two);
        store::<0>(here, at, spread(first));
        store::<1>(here, at, spread(second));
        store::<2>(here, at & leads.three, spread(last));
    }
}

/// 32 lanes of 16 bits as twice 16 of them.
#[inline]
#[target_feature(enable = "avx512f")]
fn halves(lanes: __m512i) -> [__m256i; 2] {
    let high = _mm512_extracti64x4_epi64::<1>(lanes);
    [_mm512_castsi512_si256(lanes), high]
}

/// Both bits of the classes of 16 characters of 16 bits.
#[inline]
#[target_feature(enable = "avx512f")]
fn classify(characters: __m256i, classes: &Classes) -> (u32, u32) {
    let characters = _mm512_cvtepu16_epi32(characters);
    let places = _mm512_srli_epi32::<4>(characters);
    // SAFETY: numbers of 16 bits were widened, a sixteenth of them is less than the 4,096 cells.
    let packed = unsafe { _mm512_i32gather_epi32::<4>(places, classes.as_ptr().cast()) };
    let shifts = _mm512_and_si512(_mm512_slli_epi32::<1>(characters), _mm512_set1_epi32(30));
    let class = _mm512_srlv_epi32(packed, shifts);
    let bit = |bit| u32::from(_mm512_test_epi32_mask(class, _mm512_set1_epi32(bit)));
    (bit(1), bit(2))
}

/// What these of 16 characters of 16 bits become; of the others, rubbish.
#[inline]
#[target_feature(enable = "avx512f")]
fn lower(characters: __m256i, which: u16, plane: &Plane) -> __m256i {
    let characters = _mm512_cvtepu16_epi32(characters);
    let cells = plane.lower().as_ptr().cast();
    // SAFETY: numbers of 16 bits were widened, and 32 bits can be read at each of the first 65,536 of 65,537 cells.
    let found = unsafe { _mm512_mask_i32gather_epi32::<2>(characters, which, characters, cells) };
    _mm512_cvtepi32_epi16(found)
}

/// Writes some of 64 bytes, `BY` bytes behind the front.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn store<const BY: usize>(here: &mut Room, which: u64, bytes: __m512i) {
    const { assert!(BY + BLOCK <= size_of::<Room>()) };
    // SAFETY: the 64 bytes from `BY` on are in the array, as was just asserted.
    unsafe { _mm512_mask_storeu_epi8(here.as_mut_ptr().add(BY).cast(), which, bytes) }
}
