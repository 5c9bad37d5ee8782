//! The update of the weights that one row's features point to.

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
    /// One gradient without regularisation.
    #[inline(always)]
    pub(super) fn plain(&self, w: &mut f32, sum: &mut f32, gradient: f32) {
        *sum += gradient * gradient;
        *w -= self.rate(*sum) * gradient;
    }

    /// One gradient, then the penalty of `rows` rows.
    #[inline(always)]
    pub(super) fn penalised(&self, w: &mut f32, sum: &mut f32, gradient: f32, rows: f32) {
        *sum += gradient * gradient;
        let rate = self.rate(*sum);
        let moved = *w - rate * gradient;
        let left = moved.abs() - rate * (self.l1 * rows);
        let left = if left > 0.0 { left } else { 0.0 };
        *w = left.copysign(moved) / (1.0 + rate * (self.l2 * rows));
    }

    #[inline(always)]
    fn rate(&self, sum: f32) -> f32 {
        self.eta / (sum.sqrt() + 1e-6)
    }
}

/// Updates the features of one row. `residuals` are weighted; at least one is not 0.
///
/// `moving` is room for the outputs with a residual.
pub(super) fn update(
    table: &mut Table,
    arrears: Option<&mut Arrears>,
    step: Step,
    row: (&[u32], &[f32]),
    residuals: &[f32],
    moving: &mut Vec<(usize, f32)>,
) {
    if let Some(arrears) = arrears {
        return update_penalised(table, arrears, step, row, residuals);
    }
    moving.clear();
    moving.extend(
        residuals
            .iter()
            .copied()
            .enumerate()
            .filter(|&(_, r)| r != 0.0),
    );
    // An output whose residual is 0 stays as it is to the bit. Visiting the others one by one pays when they are
    // few, since the loop over all of them handles four at once.
    if moving.len() * 4 <= residuals.len() {
        update_few(table, step, row, moving);
    } else {
        update_all(table, step, row, residuals);
    }
}

fn update_all(table: &mut Table, step: Step, row: (&[u32], &[f32]), residuals: &[f32]) {
    let k = residuals.len();
    for (&j, x) in row.0.iter().zip(row.1) {
        let (weights, sums) = table.cells[j as usize * 2 * k..][..2 * k].split_at_mut(k);
        for ((w, sum), residual) in weights.iter_mut().zip(sums).zip(residuals) {
            step.plain(w, sum, x * residual);
        }
    }
}

fn update_few(table: &mut Table, step: Step, row: (&[u32], &[f32]), moving: &[(usize, f32)]) {
    let k = table.n_outputs;
    for (&j, x) in row.0.iter().zip(row.1) {
        let (weights, sums) = table.cells[j as usize * 2 * k..][..2 * k].split_at_mut(k);
        for &(output, residual) in moving {
            step.plain(&mut weights[output], &mut sums[output], x * residual);
        }
    }
}

fn update_penalised(
    table: &mut Table,
    arrears: &mut Arrears,
    step: Step,
    row: (&[u32], &[f32]),
    residuals: &[f32],
) {
    let k = residuals.len();
    for (&j, x) in row.0.iter().zip(row.1) {
        let owed = arrears.collect(j as usize);
        let (weights, sums) = table.cells[j as usize * 2 * k..][..2 * k].split_at_mut(k);
        for ((w, sum), residual) in weights.iter_mut().zip(sums).zip(residuals) {
            step.penalised(w, sum, x * residual, owed);
        }
    }
}

/// Makes every feature pay for the rows that it still owes for.
pub(super) fn settle(table: &mut Table, arrears: &mut Arrears, step: Step) {
    let k = table.n_outputs;
    for (j, block) in table.cells.chunks_exact_mut(2 * k).enumerate() {
        let (weights, sums) = block.split_at_mut(k);
        if weights.iter().any(|&w| w != 0.0) {
            let owed = arrears.collect(j);
            for (w, sum) in weights.iter_mut().zip(sums) {
                step.penalised(w, sum, 0.0, owed);
            }
        }
    }
}
