//! Counts divided by the norm of their row: nearly all are small, and a division each is made once a document.

/// Counts below this come from a table.
const KEPT: usize = 16;

/// See [`crate::kernels::Kernels::quotients`].
pub fn quotients(counts: &[i32], by: f64, data: &mut [f64]) {
    divided(counts, |count| f64::from(count) / by, data);
}

/// See [`crate::kernels::Kernels::quotients_f32`].
pub fn quotients_f32(counts: &[i32], by: f64, data: &mut [f32]) {
    divided(counts, |count| (f64::from(count as f32) / by) as f32, data);
}

#[inline(always)]
fn divided<T: Copy + Default>(counts: &[i32], quotient: impl Fn(i32) -> T, data: &mut [T]) {
    let mut kept = [T::default(); 2 * KEPT]; // of -16 to 15
    for (slot, count) in kept.iter_mut().zip(-(KEPT as i32)..) {
        *slot = quotient(count);
    }
    for (&count, value) in counts.iter().zip(data) {
        let place = count.wrapping_add(KEPT as i32) as usize;
        *value = match kept.get(place) {
            Some(&kept) => kept,
            None => quotient(count),
        };
    }
}
