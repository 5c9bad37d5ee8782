//! Losses and their derivatives with respect to the margins, as scikit-learn's `SGDClassifier` defines them.
//!
//! ```text
//! m = s·z, s = ±1          loss                 derivative by z
//! log, one output          ln(1 + e^−m)         −s·σ(−m)
//! log, softmax             −ln p[class]         p[k] − [k = class],  p = softmax(z)
//! hinge                    max(0, 1 − m)        −s            if m <= 1
//! squared hinge            max(0, 1 − m)²       −2·s·(1 − m)  if m < 1
//! modified huber           max(0, 1 − m)²       the same, but −4·m and −4·s where m < −1
//! squared error            (z − s)²/2           z − s
//! ```
//!
//! With more than two classes all but log are one against the rest: `s = 1` for the row's class alone.

use super::exp::exp_negative;
use super::sums::sum;

/// The loss that a learner makes small.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// Logistic for two classes, softmax for more.
    Log,
    /// Of the support-vector machine.
    Hinge,
    /// Hinge squared.
    SquaredHinge,
    /// Squared hinge, linear for rows that are badly wrong.
    ModifiedHuber,
    /// Squared distance to -1 or 1.
    SquaredError,
}

impl Loss {
    /// The loss of that name, as in the Python interface.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "log" => Self::Log,
            "hinge" => Self::Hinge,
            "squared_hinge" => Self::SquaredHinge,
            "modified_huber" => Self::ModifiedHuber,
            "squared_error" => Self::SquaredError,
            _ => return None,
        })
    }

    /// Writes the derivative of the loss by each margin into `residuals`; the loss comes back.
    ///
    /// One margin stands for two classes, 0 (negative margin) and 1; else `class` is below their number.
    #[inline(always)]
    pub(super) fn residuals(self, class: usize, margins: &[f32], residuals: &mut [f32]) -> f64 {
        match (margins, &mut *residuals) {
            (&[margin], [residual]) => {
                let loss;
                (loss, *residual) = self.one(if class == 1 { 1.0 } else { -1.0 }, margin);
                f64::from(loss)
            }
            _ if self == Self::Log => softmax(class, margins, residuals),
            _ => {
                let mut sum = 0.0;
                for (k, (residual, &margin)) in residuals.iter_mut().zip(margins).enumerate() {
                    let loss;
                    (loss, *residual) = self.one(if k == class { 1.0 } else { -1.0 }, margin);
                    sum += f64::from(loss);
                }
                sum
            }
        }
    }

    /// Loss and derivative of one margin for the target `sign`.
    #[inline(always)]
    fn one(self, sign: f32, margin: f32) -> (f32, f32) {
        let m = sign * margin;
        let short = 1.0 - m;
        match self {
            Self::Log => {
                let e = exp_negative(-m.abs());
                let wrong = if m >= 0.0 {
                    e / (1.0 + e)
                } else {
                    1.0 / (1.0 + e)
                };
                let below = if m < 0.0 { -m } else { 0.0 };
                (libm::log1pf(e) + below, -sign * wrong)
            }
            Self::Hinge if short >= 0.0 => (short, -sign),
            Self::SquaredHinge if short > 0.0 => (short * short, -2.0 * sign * short),
            Self::ModifiedHuber if m < -1.0 => (-4.0 * m, -4.0 * sign),
            Self::ModifiedHuber if short > 0.0 => (short * short, -2.0 * sign * short),
            Self::SquaredError => {
                let difference = margin - sign;
                (0.5 * difference * difference, difference)
            }
            _ => (0.0, 0.0),
        }
    }
}

/// Residuals and loss of the softmax of `margins`.
#[inline(always)]
fn softmax(class: usize, margins: &[f32], residuals: &mut [f32]) -> f64 {
    let mut greatest = f32::MIN;
    for &margin in margins {
        greatest = if margin > greatest { margin } else { greatest };
    }
    for (residual, &margin) in residuals.iter_mut().zip(margins) {
        *residual = exp_negative(margin - greatest);
    }
    let total = sum(residuals);
    let scale = 1.0 / total;
    for residual in residuals.iter_mut() {
        *residual *= scale;
    }
    let loss = libm::logf(total) - (margins[class] - greatest);
    residuals[class] -= 1.0;
    f64::from(loss)
}

#[cfg(test)]
mod tests {
    use super::Loss;

    const ALL: [Loss; 5] = [
        Loss::Log,
        Loss::Hinge,
        Loss::SquaredHinge,
        Loss::ModifiedHuber,
        Loss::SquaredError,
    ];

    fn loss_of(loss: Loss, class: usize, margins: &[f32]) -> f64 {
        loss.residuals(class, margins, &mut vec![0.0; margins.len()])
    }

    #[test]
    fn residuals_are_the_slopes_of_the_loss() {
        for loss in ALL {
            for margins in [
                &[0.3f32][..],
                &[-1.7],
                &[2.2],
                &[0.4, -0.9, -2.5],
                &[-1.5, 3.0, 0.2, 0.6],
            ] {
                for class in 0..margins.len().max(2) {
                    let mut residuals = vec![0.0; margins.len()];
                    loss.residuals(class, margins, &mut residuals);
                    for k in 0..margins.len() {
                        let (mut up, mut down) = (margins.to_vec(), margins.to_vec());
                        up[k] += 0.01;
                        down[k] -= 0.01;
                        let slope =
                            (loss_of(loss, class, &up) - loss_of(loss, class, &down)) / 0.02;
                        assert!(
                            (slope - f64::from(residuals[k])).abs() < 1e-3,
                            "{loss:?} {margins:?} {k}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn softmax_residuals_sum_to_nought_however_large_the_margins() {
        let mut residuals = [0.0; 3];
        let loss = Loss::Log.residuals(1, &[1e30, -1e30, 5.0], &mut residuals);
        assert!(
            loss > 1e30 && residuals[..2] == [1.0, -1.0] && residuals[2] < 1e-37,
            "{residuals:?}"
        );
    }

    #[test]
    fn logistic_loss_of_a_hopeless_margin_is_that_margin() {
        assert_eq!(loss_of(Loss::Log, 1, &[-1000.0]), 1000.0);
        assert!(loss_of(Loss::Log, 1, &[1000.0]) < 1e-30);
    }
}
