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

use super::Settings;
use super::table::Table;

/// What every update needs.
#[derive(Debug, Clone, Copy)]
pub(super) struct Step {
    pub(super) eta: f32,
    pub(super) l1: f32,
    pub(super) l2: f32,
    pub(super) initial_g: f32,
    /// What a feature owes of L2 before it pays.
    due: f32,
}

/// η / (√G + 1e-6).
#[inline(always)]
pub(super) fn rate(eta: f32, sum: f32) -> f32 {
    eta / (sum.sqrt() + 1e-6)
}

impl Step {
    pub(super) fn new(settings: &Settings) -> Self {
        let &Settings {
            l1,
            l2,
            learning_rate,
            initial_g,
            ..
        } = settings;
        Self {
            eta: learning_rate,
            l1,
            l2,
            initial_g,
            // Which weights are 0 under L1 would depend on when they pay.
            due: if l1 > 0.0 { 0.0 } else { DUE },
        }
    }

    /// The same step where features do not pay.
    #[inline(always)]
    pub(super) fn without_penalty(self) -> Self {
        Self {
            l1: 0.0,
            l2: 0.0,
            due: DUE,
            ..self
        }
    }

    /// The length of the step of a feature whose squared gradients add up to `sum`.
    #[inline(always)]
    pub(super) fn rate(&self, sum: f32) -> f32 {
        rate(self.eta, self.initial_g + sum)
    }

    /// What a feature whose steps are of the length `rate` owes for `rows` rows.
    #[inline(always)]
    pub(super) fn penalty(&self, rate: f32, rows: f32) -> Penalty {
        // A rate of 0 times infinity would be no number.
        let strength = |per_row: f32| {
            let all = per_row * rows;
            if all < f32::MAX { all } else { f32::MAX }
        };
        Penalty {
            threshold: rate * strength(self.l1),
            shrinkage: rate * strength(self.l2),
        }
    }

    /// Whether a feature that is touched pays what it owes, or later.
    #[inline(always)]
    pub(super) fn is_due(&self, penalty: Penalty) -> bool {
        penalty.shrinkage >= self.due
    }
}

/// The part of a weight that L2 takes at least where a feature pays before it must. A frequent feature owes so little at
/// a time that a quotient would round it away, and with many outputs to visit all of them takes several times as long as
/// to visit those that a row moves.
const DUE: f32 = 1.0 / 256.0;

/// L1 and L2 of one feature, over the rows that it owes for.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Penalty {
    threshold: f32,
    shrinkage: f32,
}

impl Penalty {
    /// This or none. A weight is divided by 1 then: to go round the quotient would be a branch that nobody can foresee.
    #[inline(always)]
    pub(super) fn only_if(self, is_due: bool) -> Self {
        Self {
            threshold: if is_due { self.threshold } else { 0.0 },
            shrinkage: if is_due { self.shrinkage } else { 0.0 },
        }
    }

    #[inline(always)]
    pub(super) fn of(self, weight: f32) -> f32 {
        let left = weight.abs() - self.threshold;
        let left = if left > 0.0 { left } else { 0.0 };
        left.copysign(weight) / (1.0 + self.shrinkage)
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
    /// By feature, with regularisation: the row for which it paid last.
    dates: Vec<f32>,
    /// By feature, with regularisation.
    penalties: Vec<Penalty>,
}

/// Updates the features of one row, whose number is `now`.
#[inline(always)]
pub(super) fn update<const LANES: usize>(
    table: &mut Table,
    (step, now): (Step, f32),
    (slots, values): (&[u32], &[f32]),
    residuals: &Residuals<'_>,
    room: &mut UpdateRoom,
) {
    room.compute(table, (step, now), (slots, values), residuals);
    let (width, k, is_dated) = (table.width(), table.n_outputs, table.is_dated);
    // An output whose residual is 0 stays as it is to the bit. Visiting the others one by one pays when they are
    // few, since the loop over all of them handles many at once.
    let few = room.moving.len() * 4 <= residuals.all.len();
    for (i, &slot) in slots.iter().enumerate() {
        let block = &mut table.cells_mut()[slot as usize * width..][..width];
        let length = room.lengths[i];
        if is_dated && step.is_due(room.penalties[i]) {
            let penalty = room.penalties[i];
            move_block::<LANES>(block, residuals.padded, |w, r| penalty.of(w - length * r));
            block[k + 1] = now;
        } else if few {
            for &(k, r) in &room.moving {
                block[k] -= length * r;
            }
        } else {
            // An infinite length would make what is behind the weights no number.
            let date = is_dated.then(|| block[k + 1]);
            move_block::<LANES>(block, residuals.padded, |w, r| w - length * r);
            if let Some(date) = date {
                block[k + 1] = date;
            }
        }
        block[k] = room.sums[i];
    }
}

impl UpdateRoom {
    /// All sums and rates of a row side by side: a root and a division take as long for many as for one.
    #[inline(always)]
    fn compute(
        &mut self,
        table: &Table,
        (step, now): (Step, f32),
        (slots, values): (&[u32], &[f32]),
        residuals: &Residuals<'_>,
    ) {
        let all = residuals.all.iter().copied().enumerate();
        self.moving.clear();
        self.moving.extend(all.filter(|&(_, r)| r != 0.0));
        let (width, k) = (table.width(), table.n_outputs);
        let cells = |at: usize| {
            let cells = &table.cells()[at..];
            slots.iter().map(move |&slot| cells[slot as usize * width])
        };
        self.sums.clear();
        self.sums.extend(cells(k));
        self.lengths.resize(slots.len(), 0.0);
        if !table.is_dated {
            for ((sum, length), x) in self.sums.iter_mut().zip(&mut self.lengths).zip(values) {
                *sum += x * x * residuals.squares;
                *length = step.rate(*sum) * x;
            }
            return;
        }
        self.dates.clear();
        self.dates.extend(cells(k + 1));
        self.penalties.resize(slots.len(), Penalty::default());
        let numbers = self.sums.iter_mut().zip(&mut self.lengths);
        let penalties = self.penalties.iter_mut().zip(&self.dates);
        for (((sum, length), (penalty, date)), x) in numbers.zip(penalties).zip(values) {
            *sum += x * x * residuals.squares;
            let rate = step.rate(*sum);
            *length = rate * x;
            *penalty = step.penalty(rate, now - date);
        }
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
