//! Sums in one fixed order that vectorises: eight interleaved parts, put together in pairs at the end.

/// The sum of `terms`.
#[inline(always)]
pub(super) fn sum(terms: &[f32]) -> f32 {
    let mut parts = [0.0; 8];
    let (eights, rest) = terms.as_chunks::<8>();
    for eight in eights {
        for (part, term) in parts.iter_mut().zip(eight) {
            *part += term;
        }
    }
    for (part, term) in parts.iter_mut().zip(rest) {
        *part += term;
    }
    total(parts)
}

/// The sum of the products of `a` and `b`.
#[inline(always)]
pub(super) fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut parts = [0.0; 8];
    let (eights, rest) = a.as_chunks::<8>();
    let (other_eights, other_rest) = b.as_chunks::<8>();
    for (a, b) in eights.iter().zip(other_eights) {
        add_products(&mut parts, a, b);
    }
    for (part, (a, b)) in parts.iter_mut().zip(rest.iter().zip(other_rest)) {
        *part += a * b;
    }
    total(parts)
}

/// The sum of the squares of `terms`.
#[inline(always)]
pub(super) fn sum_of_squares(terms: &[f32]) -> f32 {
    dot(terms, terms)
}

#[inline(always)]
pub(super) fn add_products(parts: &mut [f32; 8], a: &[f32; 8], b: &[f32; 8]) {
    for i in 0..8 {
        parts[i] += a[i] * b[i];
    }
}

/// The parts put together.
#[inline(always)]
pub(super) fn total(parts: [f32; 8]) -> f32 {
    let [a, b, c, d, e, f, g, h] = parts;
    ((a + b) + (c + d)) + ((e + f) + (g + h))
}
