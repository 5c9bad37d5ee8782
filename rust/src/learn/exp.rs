//! `e^x` for `x <= 0`, in plain IEEE operations: the same bits on every host, and loops over it vectorise.
//!
//! ```text
//! x = n·ln 2 + r,  |r| <= ln 2 / 2        e^x = 2^n · e^r
//! ```
//!
//! The polynomial is that of Cephes' `expf` (Moshier 1989); the error stays below 2e-7 of the value.

// Adding 1.5 · 2^23 rounds to an integer, which then stands in the low bits of the sum.
const ROUND: f32 = 12_582_912.0;
// ln 2 in two parts: products of the first with small integers are exact.
const LN2_HIGH: f32 = 355.0 / 512.0;
const LN2_LOW: f32 = -2.121_944_4e-4;

/// `e^x` for `x <= 0`; below -87 it stays at `e^-87`, the smallest that is not subnormal.
#[inline(always)]
pub(super) fn exp_negative(x: f32) -> f32 {
    let x = if x < -87.0 { -87.0 } else { x };
    let shifted = x * std::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = (x - n * LN2_HIGH) - n * LN2_LOW;
    let mut p = 1.987_569_1e-4;
    p = p * r + 1.398_2e-3;
    p = p * r + 8.333_452e-3;
    p = p * r + 4.166_579_6e-2;
    p = p * r + 1.666_666_5e-1;
    p = p * r + 0.5;
    let power = shifted
        .to_bits()
        .wrapping_sub(ROUND.to_bits())
        .wrapping_add(127)
        << 23;
    (p * (r * r) + r + 1.0) * f32::from_bits(power)
}

#[cfg(test)]
mod tests {
    use super::exp_negative;

    #[test]
    fn it_is_exp_within_two_in_ten_million() {
        for i in 0..=870_000 {
            let x = -(i as f32) * 1e-4;
            let exact = f64::from(x).exp();
            let error = (f64::from(exp_negative(x)) - exact).abs() / exact;
            assert!(error < 2e-7, "{x}: {error}");
        }
    }

    #[test]
    fn it_is_one_at_zero_and_tiny_far_below() {
        assert_eq!(exp_negative(0.0), 1.0);
        assert!(exp_negative(f32::MIN) > 0.0 && exp_negative(f32::MIN) < 2e-38);
        assert!(exp_negative(f32::NEG_INFINITY) < 2e-38);
    }
}
