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
    /// Those and zeros behind them, as many as a block has numbers.
    pub(super) padded: &'a [f32],
    /// The sum of their squares.
    pub(super) squares: f32,
}

/// Room for what an update computes before it writes.
#[derive(Debug, Default)]
pub(super) struct UpdateRoom {
    /// The outputs with a residual.
    moving: Vec<(usize, f32)>,
    /// By feature: the new sum of squares.
    sums: Vec<f32>,
    /// By feature: the rate times the value.
    lengths: Vec<f32>,
}

/// Updates the features of one row.
#[inline(always)]
pub(super) fn update<const LANES: usize>(
    table: &mut Table,
    step: Step,
    (slots, values): (&[u32], &[f32]),
    residuals: &Residuals<'_>,
    room: &mut UpdateRoom,
) {
    let UpdateRoom {
        moving,
        sums,
        lengths,
    } = room;
    moving.clear();
    moving.extend(
        residuals
            .all
            .iter()
            .copied()
            .enumerate()
            .filter(|&(_, r)| r != 0.0),
    );
    let (width, k) = (table.width(), table.n_outputs);
    // All rates side by side: a root and a division take as long for many as for one.
    sums.clear();
    sums.extend(
        slots
            .iter()
            .map(|&slot| table.cells()[slot as usize * width + k]),
    );
    lengths.resize(slots.len(), 0.0);
    for ((sum, length), x) in sums.iter_mut().zip(&mut *lengths).zip(values) {
        *sum += x * x * residuals.squares;
        *length = step.rate(*sum) * x;
    }
    // An output whose residual is 0 stays as it is to the bit. Visiting the others one by one pays when they are
    // few, since the loop over all of them handles many at once.
    let few = moving.len() * 4 <= residuals.all.len();
    for ((&slot, &sum), &length) in slots.iter().zip(&*sums).zip(&*lengths) {
        let block = &mut table.cells_mut()[slot as usize * width..][..width];
        if few {
            for &(k, r) in &*moving {
                block[k] -= length * r;
            }
        } else {
            subtract::<LANES>(block, residuals.padded, length);
        }
        block[k] = sum;
    }
}

/// Takes `length` times `r` from a block.
#[inline(always)]
fn subtract<const LANES: usize>(block: &mut [f32], r: &[f32], length: f32) {
    let chunked = if LANES > 1 {
        block.len() / LANES * LANES
    } else {
        0
    };
    let (all, rest) = block.split_at_mut(chunked);
    let (r_of_all, r_of_rest) = r.split_at(chunked);
    let r_of_chunks = r_of_all.as_chunks::<LANES>().0;
    for (chunk, r) in all.as_chunks_mut::<LANES>().0.iter_mut().zip(r_of_chunks) {
        let mut moved = *chunk;
        for (w, r) in moved.iter_mut().zip(r) {
            *w -= length * r;
        }
        *chunk = moved;
    }
    for (w, r) in rest.iter_mut().zip(r_of_rest) {
        *w -= length * r;
    }
}

/// Updates the features of one row, and makes them pay for the rows that they were absent from.
#[inline(always)]
pub(super) fn update_penalised<const LANES: usize>(
    table: &mut Table,
    arrears: &mut Arrears,
    step: Step,
    row: (&[u32], &[f32]),
    residuals: &Residuals<'_>,
) {
    let (width, k) = (table.width(), table.n_outputs);
    for (&slot, &x) in row.0.iter().zip(row.1) {
        let block = &mut table.cells_mut()[slot as usize * width..][..width];
        let sum = block[k] + x * x * residuals.squares;
        subtract::<LANES>(block, residuals.padded, step.rate(sum) * x);
        block[k] = sum;
        pay(&mut block[..=k], step, arrears.collect(slot as usize));
    }
}

/// Makes every feature pay for the rows that it still owes for.
pub(super) fn settle(table: &mut Table, arrears: &mut Arrears, step: Step) {
    let (width, k) = (table.width(), table.n_outputs);
    for slot in table.used() {
        let block = &mut table.cells_mut()[slot * width..][..width];
        // Untouched features stay untouched memory.
        if block.iter().any(|&cell| cell != 0.0) {
            pay(&mut block[..=k], step, arrears.collect(slot));
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
