//! Counts divided by the norm of their row: the compiler makes vectors of these loops, and four divisions at once
//! take no longer than four look-ups.

/// See [`crate::kernels::Kernels::quotients`].
#[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
pub fn quotients(counts: &[i32], by: f64, data: &mut [f64]) {
    for (&count, value) in counts.iter().zip(data) {
        *value = f64::from(count) / by;
    }
}

/// See [`crate::kernels::Kernels::quotients_f32`].
#[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
pub fn quotients_f32(counts: &[i32], by: f64, data: &mut [f32]) {
    for (&count, value) in counts.iter().zip(data) {
        *value = (f64::from(count as f32) / by) as f32;
    }
}
