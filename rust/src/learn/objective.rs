//! The objective that a model is judged by, over some rows: loss and gradient at one point, losses along a line.
//!
//! ```text
//! for each row (x, class, weight):
//!     z[k] = intercept[k] + Σ_j x[j] · W[j,k]
//!     loss       += weight · loss(z, class)
//!     grad[j,k]  += x[j] · weight · r[k]           r = ∂loss/∂z; kept only for the features met, in their order
//!
//! along a line:  loss(z0 + θ·zd) for each step θ: margins are linear, so one look at the rows serves all steps
//! ```
//!
//! Sums are float64 in the order of the rows, and parts add up in the order given: whoever computes a part, the sum
//! has the same bytes. Regularisation is not in it: it belongs to the model, not to any of its rows.

use super::margins::check_rows;
use super::{LearnError, Loss};
use crate::rows::Rows;

/// Rows with what is known of each.
#[derive(Clone, Copy)]
pub struct Judged<'a> {
    /// Features of each row.
    pub rows: &'a Rows,
    /// The class of each row.
    pub classes: &'a [i32],
    /// The weight of each row; 1 if there are none.
    pub weights: Option<&'a [f32]>,
}

/// A point of the space of models: weights of shape `(n_features, n_outputs)`, and intercepts.
#[derive(Clone, Copy)]
pub struct Point<'a> {
    /// The numbers of a feature stand side by side.
    pub weights: &'a [f32],
    /// One an output.
    pub intercept: &'a [f32],
}

/// Sums over rows: loss, weight, and the gradient of the loss by the weights of the features met.
#[derive(Debug, Clone, PartialEq)]
pub struct Gradient {
    /// Sum of weight times loss.
    pub loss: f64,
    /// Sum of the weights.
    pub weight: f64,
    /// Features met, ascending.
    pub features: Vec<u32>,
    /// The gradient by their weights, `(features, outputs)`.
    pub sums: Vec<f64>,
    /// The gradient by the intercepts.
    pub intercept: Vec<f64>,
}

impl Gradient {
    /// The gradient over the rows at the point.
    ///
    /// # Errors
    /// If the arrays do not fit together or a number is out of range; if a margin is not finite.
    pub fn at(judged: Judged<'_>, point: Point<'_>, loss: Loss) -> Result<Self, LearnError> {
        check(judged, point, loss)?;
        let k = point.intercept.len();
        let (features, places) = places(judged);
        let mut result = Self {
            loss: 0.0,
            weight: 0.0,
            sums: vec![0.0; features.len() * k],
            features,
            intercept: vec![0.0; k],
        };
        let (mut margins, mut residuals) = (vec![0.0; k], vec![0.0; k]);
        for (i, &class) in judged.classes.iter().enumerate() {
            let weight = judged.weight(i);
            if weight == 0.0 {
                continue;
            }
            point.margins(judged.rows.row(i), &mut margins);
            let lost = log_loss(class as usize, &margins, &mut residuals);
            if !lost.is_finite() {
                return Err(LearnError::Diverged { row: i });
            }
            result.loss += weight * lost;
            result.weight += weight;
            for (sum, r) in result.intercept.iter_mut().zip(&residuals) {
                *sum += weight * r;
            }
            let span = judged.rows.indptr[i]..judged.rows.indptr[i + 1];
            for (&place, &x) in places[span.clone()].iter().zip(&judged.rows.values[span]) {
                let scale = weight * f64::from(x);
                for (sum, r) in result.sums[place as usize * k..].iter_mut().zip(&residuals) {
                    *sum += scale * r;
                }
            }
        }
        Ok(result)
    }

    /// The sum of parts, in their order.
    ///
    /// # Errors
    /// If there are none, or they have not the same outputs.
    pub fn combine(parts: &[&Self]) -> Result<Self, LearnError> {
        let Some(k) = parts.first().map(|part| part.intercept.len()) else {
            return LearnError::invalid("there is no gradient to combine".into());
        };
        if parts.iter().any(|part| part.intercept.len() != k) {
            return LearnError::invalid("gradients have not the same number of outputs".into());
        }
        let mut features: Vec<u32> = parts.iter().flat_map(|p| &p.features).copied().collect();
        features.sort_unstable();
        features.dedup();
        let mut result = Self {
            loss: 0.0,
            weight: 0.0,
            sums: vec![0.0; features.len() * k],
            features,
            intercept: vec![0.0; k],
        };
        for part in parts {
            result.loss += part.loss;
            result.weight += part.weight;
            for (sum, term) in result.intercept.iter_mut().zip(&part.intercept) {
                *sum += term;
            }
            let mut place = 0;
            for (j, terms) in part.features.iter().zip(part.sums.chunks_exact(k)) {
                while result.features[place] < *j {
                    place += 1;
                }
                for (sum, term) in result.sums[place * k..].iter_mut().zip(terms) {
                    *sum += term;
                }
            }
        }
        Ok(result)
    }
}

/// Sums of weight times loss at `point + step · direction`, one for each step.
///
/// # Errors
/// If the arrays do not fit together or a number is out of range. A loss that is too large is infinite.
pub fn losses_along(
    judged: Judged<'_>,
    point: Point<'_>,
    direction: Point<'_>,
    steps: &[f64],
    loss: Loss,
) -> Result<Vec<f64>, LearnError> {
    check(judged, point, loss)?;
    check(judged, direction, loss)?;
    let k = point.intercept.len();
    if direction.intercept.len() != k {
        return LearnError::invalid("the direction has other outputs than the point".into());
    }
    let [mut start, mut slope, mut margins, mut residuals] = [(); 4].map(|()| vec![0.0; k]);
    let mut sums = vec![0.0; steps.len()];
    for (i, &class) in judged.classes.iter().enumerate() {
        let weight = judged.weight(i);
        if weight == 0.0 {
            continue;
        }
        point.margins(judged.rows.row(i), &mut start);
        direction.margins(judged.rows.row(i), &mut slope);
        for (sum, step) in sums.iter_mut().zip(steps) {
            for ((z, a), b) in margins.iter_mut().zip(&start).zip(&slope) {
                *z = a + step * b;
            }
            let lost = log_loss(class as usize, &margins, &mut residuals);
            *sum += weight * if lost.is_nan() { f64::INFINITY } else { lost };
        }
    }
    Ok(sums)
}

impl Judged<'_> {
    fn weight(&self, i: usize) -> f64 {
        self.weights.map_or(1.0, |weights| f64::from(weights[i]))
    }
}

impl Point<'_> {
    fn margins(&self, (indices, values): (&[u32], &[f32]), z: &mut [f64]) {
        let k = z.len();
        for (z, &b) in z.iter_mut().zip(self.intercept) {
            *z = f64::from(b);
        }
        for (&j, &x) in indices.iter().zip(values) {
            for (z, &w) in z.iter_mut().zip(&self.weights[j as usize * k..]) {
                *z += f64::from(x) * f64::from(w);
            }
        }
    }
}

/// The features of the rows that count, ascending, and the place of each entry's feature among them.
fn places(judged: Judged<'_>) -> (Vec<u32>, Vec<u32>) {
    let rows = judged.rows;
    let mut places = vec![0; rows.indices.len()];
    let mut keyed = Vec::with_capacity(rows.indices.len());
    for i in (0..judged.classes.len()).filter(|&i| judged.weight(i) != 0.0) {
        let span = rows.indptr[i]..rows.indptr[i + 1];
        keyed.extend(span.map(|at| (rows.indices[at], at)));
    }
    keyed.sort_unstable();
    let mut features: Vec<u32> = Vec::new();
    for (j, at) in keyed {
        if features.last() != Some(&j) {
            features.push(j);
        }
        places[at] = (features.len() - 1) as u32;
    }
    (features, places)
}

/// Logistic or softmax loss of margins, and its derivatives, in float64.
fn log_loss(class: usize, margins: &[f64], residuals: &mut [f64]) -> f64 {
    if let &[margin] = margins {
        let sign = if class == 1 { 1.0 } else { -1.0 };
        let m: f64 = sign * margin;
        let e = libm::exp(-m.abs());
        residuals[0] = -sign * if m >= 0.0 { e } else { 1.0 } / (1.0 + e);
        return libm::log1p(e) + (-m).max(0.0) + 0.0 * m;
    }
    let greatest = margins.iter().copied().fold(f64::MIN, f64::max);
    let mut total = 0.0;
    for (r, z) in residuals.iter_mut().zip(margins) {
        *r = libm::exp(z - greatest);
        total += *r;
    }
    for r in residuals.iter_mut() {
        *r /= total;
    }
    residuals[class] -= 1.0;
    libm::log(total) - (margins[class] - greatest)
}

fn check(judged: Judged<'_>, point: Point<'_>, loss: Loss) -> Result<(), LearnError> {
    let (n, k) = (judged.rows.len(), point.intercept.len());
    if loss != Loss::Log {
        return LearnError::invalid("the objective is known for the loss \"log\" alone".into());
    }
    if k == 0 || !point.weights.len().is_multiple_of(k) {
        return LearnError::invalid(format!(
            "weights are not of shape (n_features, {k}), the intercept's"
        ));
    }
    if judged.classes.len() != n || judged.weights.is_some_and(|weights| weights.len() != n) {
        return LearnError::invalid(format!("there are not {n} classes and weights, one a row"));
    }
    let n_classes = k.max(2) as i64;
    if judged
        .classes
        .iter()
        .any(|&c| c < 0 || i64::from(c) >= n_classes)
    {
        return LearnError::invalid(format!("a class is not in 0 .. {}", n_classes - 1));
    }
    let good = |w: &f32| w.is_finite() && *w >= 0.0;
    if !judged.weights.unwrap_or(&[]).iter().all(good) {
        return LearnError::invalid("a weight is negative or not finite".into());
    }
    check_rows(judged.rows, point.weights.len() / k)
}

#[cfg(test)]
mod tests {
    use super::{Gradient, Judged, Point, losses_along};
    use crate::learn::Loss;
    use crate::rows::Rows;

    const WEIGHTS: [f32; 12] = [
        0.5, -1.0, 2.0, 0.25, 0.0, -0.5, 1.5, 1.0, -2.0, 0.75, 0.125, 3.0,
    ];

    fn rows() -> Rows {
        Rows::from_parts(
            vec![0, 2, 2, 5],
            vec![0, 3, 1, 2, 3],
            vec![1.0, 0.5, -1.0, 2.0, 0.25],
        )
        .unwrap()
    }

    fn judged(rows: &Rows) -> Judged<'_> {
        Judged {
            rows,
            classes: &[1, 0, 1],
            weights: Some(&[1.0, 2.0, 0.5]),
        }
    }

    #[test]
    fn the_gradient_is_the_slope_of_the_losses_along_every_axis() {
        let rows = rows();
        for k in [1, 3] {
            let (weights, intercept) = (&WEIGHTS[..4 * k], &[0.1, -0.2, 0.3][..k]);
            let point = Point { weights, intercept };
            let gradient = Gradient::at(judged(&rows), point, Loss::Log).unwrap();
            assert_eq!(gradient.features, [0, 1, 2, 3]);
            for axis in 0..5 * k {
                let mut direction = vec![0.0; 5 * k];
                direction[axis] = 1.0;
                let (weights, intercept) = direction.split_at(4 * k);
                let along = Point { weights, intercept };
                let steps = [-1e-4, 1e-4];
                let at = losses_along(judged(&rows), point, along, &steps, Loss::Log).unwrap();
                let all: Vec<f64> = [&gradient.sums[..], &gradient.intercept].concat();
                let slope = (at[1] - at[0]) / 2e-4;
                assert!(
                    (slope - all[axis]).abs() < 1e-7,
                    "{k} {axis} {slope} {all:?}"
                );
            }
        }
    }

    #[test]
    fn parts_add_up_to_the_whole_and_rows_of_no_weight_meet_no_feature() {
        let rows = rows();
        let (weights, intercept) = (&WEIGHTS[..4], &[0.5][..]);
        let point = Point { weights, intercept };
        let part = |weights: &[f32]| {
            let judged = Judged {
                weights: Some(weights),
                ..judged(&rows)
            };
            Gradient::at(judged, point, Loss::Log).unwrap()
        };
        let (first, last) = (part(&[1.0, 2.0, 0.0]), part(&[0.0, 0.0, 0.5]));
        assert_eq!(
            (&first.features[..], &last.features[..]),
            (&[0, 3][..], &[1, 2, 3][..])
        );
        let whole = Gradient::at(judged(&rows), point, Loss::Log).unwrap();
        assert_eq!(Gradient::combine(&[&first, &last]).unwrap(), whole);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let rows = rows();
        let point = Point {
            weights: &WEIGHTS[..3],
            intercept: &[0.0],
        };
        let refused = |judged, point, loss| Gradient::at(judged, point, loss).is_err();
        assert!(refused(judged(&rows), point, Loss::Log), "feature 3 of 3");
        let point = Point {
            weights: &WEIGHTS[..4],
            intercept: &[0.0],
        };
        assert!(refused(judged(&rows), point, Loss::Hinge));
        for classes in [&[0, 1, 2][..], &[0, 1], &[0, -1, 1]] {
            let wrong = Judged {
                classes,
                ..judged(&rows)
            };
            assert!(refused(wrong, point, Loss::Log), "{classes:?}");
        }
        assert!(Gradient::combine(&[]).is_err());
    }
}
