//! The update of the weights that one row's features point to.
//!
//! ```text
//! G[j] += x[j]² · Σ_k r[k]²        α = η / (√G[j] + 1e-6)
//! W[j,k] ← W[j,k] − α·x[j]·r[k]
//! ```

use super::regularise::Arrears;
use super::table::Table;

/// What every update needs.
#[derive(Debug, Clone, Copy)]
pub(super) struct Step {
    pub(super) eta: f32,
    pub(super) l1: f32,
    pub(super) l2: f32,
}

impl Step {
    /// The length of the step of a feature whose sum of squared gradients is `sum`.
    #[inline(always)]
    pub(super) fn rate(&self, sum: f32) -> f32 {
        self.eta / (sum.sqrt() + 1e-6)
    }

    /// What the feature with the state `sum` has to pay for `rows` rows.
    #[inline(always)]
    fn penalty(&self, sum: f32, rows: f32) -> Penalty {
        let rate = self.rate(sum);
        let threshold = rate * (self.l1 * rows);
        Penalty {
            threshold,
            divisor: 1.0 + rate * (self.l2 * rows),
        }
    }
}

/// L1 and L2 of one feature, over the rows that it owes for.
#[derive(Debug, Clone, Copy)]
struct Penalty {
    threshold: f32,
    divisor: f32,
}

impl Penalty {
    #[inline(always)]
    fn of(self, weight: f32) -> f32 {
        let left = weight.abs() - self.threshold;
        let left = if left > 0.0 { left } else { 0.0 };
        left.copysign(weight) / self.divisor
    }
}

/// The residuals of one row, weighted.
pub(super) struct Residuals<'a> {
    pub(super) all: &'a [f32],
    /// The sum of their squares.
    pub(super) squares: f32,
}

/// Updates the features of one row. `moving` is room for the outputs with a residual.
pub(super) fn update(
    table: &mut Table,
    step: Step,
    row: (&[u32], &[f32]),
    residuals: &Residuals<'_>,
    moving: &mut Vec<(usize, f32)>,
) {
    moving.clear();
    moving.extend(
        residuals
            .all
            .iter()
            .copied()
            .enumerate()
            .filter(|&(_, r)| r != 0.0),
    );
    // An output whose residual is 0 stays as it is to the bit. Visiting the others one by one pays when they are
    // few, since the loop over all of them handles four at once.
    let few = moving.len() * 4 <= residuals.all.len();
    let width = table.width();
    for (&j, &x) in row.0.iter().zip(row.1) {
        let block = &mut table.cells[j as usize * width..][..width];
        if few {
            move_few(block, step, x, residuals.squares, moving);
        } else {
            move_all(block, step, x, residuals);
        }
    }
}

/// Updates one block, a feature's or the intercepts'.
#[inline(always)]
pub(super) fn move_all(block: &mut [f32], step: Step, x: f32, residuals: &Residuals<'_>) {
    if let Some((sum, weights)) = block.split_last_mut() {
        *sum += x * x * residuals.squares;
        let length = step.rate(*sum) * x;
        for (w, r) in weights.iter_mut().zip(residuals.all) {
            *w -= length * r;
        }
    }
}

#[inline(always)]
fn move_few(block: &mut [f32], step: Step, x: f32, squares: f32, moving: &[(usize, f32)]) {
    if let Some((sum, weights)) = block.split_last_mut() {
        *sum += x * x * squares;
        let length = step.rate(*sum) * x;
        for &(k, r) in moving {
            weights[k] -= length * r;
        }
    }
}

/// Updates the features of one row, and makes them pay for the rows that they were absent from.
pub(super) fn update_penalised(
    table: &mut Table,
    arrears: &mut Arrears,
    step: Step,
    row: (&[u32], &[f32]),
    residuals: &Residuals<'_>,
) {
    let width = table.width();
    for (&j, &x) in row.0.iter().zip(row.1) {
        let block = &mut table.cells[j as usize * width..][..width];
        move_all(block, step, x, residuals);
        pay(block, step, arrears.collect(j as usize));
    }
}

/// Makes every feature pay for the rows that it still owes for.
pub(super) fn settle(table: &mut Table, arrears: &mut Arrears, step: Step) {
    let width = table.width();
    for (j, block) in table.cells.chunks_exact_mut(width).enumerate() {
        // Untouched features stay untouched memory.
        if block.iter().any(|&cell| cell != 0.0) {
            pay(block, step, arrears.collect(j));
        }
    }
}

#[inline(always)]
fn pay(block: &mut [f32], step: Step, rows: f32) {
    if let Some((sum, weights)) = block.split_last_mut() {
        let penalty = step.penalty(*sum, rows);
        for w in weights {
            *w = penalty.of(*w);
        }
    }
}
