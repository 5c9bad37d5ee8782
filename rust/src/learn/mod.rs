//! The learner: rows to weights, one row after the other.
//!
//! ```text
//! for each row (x, class, weight), in the order given:
//!     z[k] = intercept[k] + Σ_j x[j] · W[j,k]                 margins
//!     r[k] = ∂loss/∂z[k] · weight                             loss   (z from before any update)
//!     for each feature j of the row, for each output k:       step
//!         g       = x[j] · r[k]
//!         G[j,k] += g²
//!         α       = η / (√G[j,k] + 1e-6)
//!         W[j,k]  = soft(W[j,k] − α·g, α·l1·e[j]) / (1 + α·l2·e[j])
//! ```
//!
//! This is AdaGrad (Duchi, Hazan, Singer 2011) with implicit updates: the last line is the exact minimum of
//! `g·w + l1·e·|w| + l2·e·w²/2 + (w − W)²/2α`, so no strength of regularisation can overshoot. `e[j]` is the
//! number of rows since feature `j` was last touched: a feature pays for the rows that it was absent from when
//! it comes back, hence a row costs time in proportion to its own length. What is still owed at the end is
//! collected by [`Learner::settle`].
//!
//! The bytes of the weights depend on the settings and on the order of the rows, and on nothing else: sums have
//! one fixed order, no operation is contracted, and `exp` and `log` are the crate's own or libm's.

mod error;
mod exp;
mod fetched;
mod learner;
mod loss;
mod margins;
mod regularise;
mod settings;
mod state;
mod step;
mod sums;
mod table;

pub use error::LearnError;
pub use learner::{LearnStats, Learner};
pub use loss::Loss;
pub use margins::score_rows;
pub use settings::Settings;
