//! The update of the weights that one row's features point to.
//!
//! ```text
//! G[j] += x[j]² · Σ_k r[k]²        α = η / (√(G0 + G[j]) + 1e-6)
//! W[j,k] ← W[j,k] − α·x[j]·r[k]
//!
//! regularised:
//! e = rows since feature j was last touched
//! W[j,k] ← soft(W[j,k], α·l1·e) / (1 + α·l2·e)
//! ```

use super::table::Table;

/// What every update needs.
#[derive(Debug, Clone, Copy)]
pub(super) struct Step {
    pub(super) eta: f32,
    pub(super) l1: f32,
    pub(super) l2: f32,
    pub(super) initial_g: f32,
}

/// η / (√G + 1e-6).
#[inline(always)]
pub(super) fn rate(eta: f32, sum: f32) -> f32 {
    eta / (sum.sqrt() + 1e-6)
}

impl Step {
    /// The length of the step of a feature whose squared gradients add up to `sum`.
    #[inline(always)]
    pub(super) fn rate(&self, sum: f32) -> f32 {
        rate(self.eta, self.initial_g + sum)
    }

    /// What a feature whose steps are of the length `rate` has to pay for `rows` rows.
    #[inline(always)]
    pub(super) fn penalty(&self, rate: f32, rows: f32) -> Penalty {
        // A rate of 0 times infinity would be no number.
        let strength = |per_row: f32| {
            let all = per_row * rows;
            if all < f32::MAX { all } else { f32::MAX }
        };
        Penalty {
            threshold: rate * strength(self.l1),
            divisor: 1.0 + rate * strength(self.l2),
        }
    }
}

/// L1 and L2 of one feature, over the rows that it owes for.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Penalty {
    threshold: f32,
    divisor: f32,
}

impl Penalty {
    #[inline(always)]
    pub(super) fn of(self, weight: f32) -> f32 {
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
    /// By feature, with regularisation.
    penalties: Vec<Penalty>,
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
        ..
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
            move_block::<LANES>(block, residuals.padded, |w, r| w - length * r);
        }
        block[k] = sum;
    }
}

/// Makes each weight of a block, and what is behind them, `moved` of itself and its residual.
#[inline(always)]
fn move_block<const LANES: usize>(
    block: &mut [f32],
    residuals: &[f32],
    moved: impl Fn(f32, f32) -> f32,
) {
    let chunked = if LANES > 1 {
        block.len() / LANES * LANES
    } else {
        0
    };
    let (all, rest) = block.split_at_mut(chunked);
    let (r_of_all, r_of_rest) = residuals.split_at(chunked);
    let r_of_chunks = r_of_all.as_chunks::<LANES>().0;
    for (chunk, r) in all.as_chunks_mut::<LANES>().0.iter_mut().zip(r_of_chunks) {
        let mut weights = *chunk;
        for (w, &r) in weights.iter_mut().zip(r) {
            *w = moved(*w, r);
        }
        *chunk = weights;
    }
    for (w, &r) in rest.iter_mut().zip(r_of_rest) {
        *w = moved(*w, r);
    }
}

/// Updates the features of one row, and makes them pay for the rows that they were absent from; `now` is the number of
/// this row.
#[inline(always)]
pub(super) fn update_penalised<const LANES: usize>(
    table: &mut Table,
    (step, now): (Step, f32),
    (slots, values): (&[u32], &[f32]),
    residuals: &Residuals<'_>,
    room: &mut UpdateRoom,
) {
    let UpdateRoom {
        sums,
        lengths,
        penalties,
        ..
    } = room;
    let (width, k) = (table.width(), table.n_outputs);
    // As without regularisation, side by side.
    sums.clear();
    sums.extend(
        slots
            .iter()
            .map(|&slot| table.cells()[slot as usize * width + k]),
    );
    penalties.clear();
    penalties.extend(slots.iter().map(|&slot| Penalty {
        threshold: 0.0,
        divisor: now - table.cells()[slot as usize * width + k + 1],
    }));
    lengths.resize(slots.len(), 0.0);
    let numbers = sums.iter_mut().zip(&mut *lengths).zip(&mut *penalties);
    for (((sum, length), penalty), x) in numbers.zip(values) {
        *sum += x * x * residuals.squares;
        let rate = step.rate(*sum);
        *length = rate * x;
        *penalty = step.penalty(rate, penalty.divisor);
    }
    let numbers = sums.iter().zip(&*lengths).zip(&*penalties);
    for (&slot, ((&sum, &length), &penalty)) in slots.iter().zip(numbers) {
        let block = &mut table.cells_mut()[slot as usize * width..][..width];
        move_block::<LANES>(block, residuals.padded, |w, r| penalty.of(w - length * r));
        block[k] = sum;
        block[k + 1] = now;
    }
}

/// Makes every feature pay for the rows that it still owes for; `now` is the number of the last row.
pub(super) fn settle(table: &mut Table, step: Step, now: f32) {
    let k = table.n_outputs;
    for block in table.used_mut() {
        // Untouched features stay untouched memory.
        if block.iter().any(|&cell| cell != 0.0) {
            let penalty = step.penalty(step.rate(block[k]), now - block[k + 1]);
            for w in &mut block[..k] {
                *w = penalty.of(*w);
            }
            block[k + 1] = 0.0;
        }
    }
}
