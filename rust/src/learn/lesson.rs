//! One lesson: rows learnt one after the other, compiled for the registers of the machine.

use super::fetched::Fetched;
use super::learner::LearnStats;
use super::step::UpdateRoom;
use super::sums::sum_of_squares;
use super::{LearnError, Learner};
use crate::kernels::widest::Work;
use crate::rows::Rows;

// Squared gradients above this would soon add up to infinity in float32.
const GRADIENT_LIMIT: f32 = 1e37;

/// Rows to learn from that have been checked.
pub(super) struct Lesson<'a> {
    pub(super) learner: &'a mut Learner,
    pub(super) rows: &'a Rows,
    pub(super) classes: &'a [i32],
    pub(super) weights: Option<&'a [f32]>,
}

impl Work for Lesson<'_> {
    type Output = Result<LearnStats, LearnError>;

    #[inline(always)]
    fn run<const LANES: usize>(self) -> Self::Output {
        let Self {
            learner,
            rows,
            classes,
            weights,
        } = self;
        let mut stats = LearnStats::default();
        let mut room = Room::new(learner.table.width());
        let k = learner.n_outputs();
        if !rows.is_empty() {
            learner.table.take(rows.row(0), &mut room.next)?;
        }
        for (i, &class) in classes.iter().enumerate() {
            std::mem::swap(&mut room.slots, &mut room.next);
            learner.fetch_ahead(rows, i, &mut room.next)?;
            let weight = weights.map_or(1.0, |weights| weights[i]);
            if weight == 0.0 {
                continue;
            }
            let row = (&room.slots[..], rows.row(i).1);
            learner.look::<LANES>(row, &mut room.fetched, &mut room.margins);
            let (margins, residuals) = (&room.margins[..k], &mut room.residuals[..k]);
            let correct = prediction(margins) == class as usize;
            let loss = learner
                .settings
                .loss
                .residuals(class as usize, margins, residuals);
            for residual in &mut *residuals {
                *residual *= weight;
            }
            let reach = largest(row.1);
            let squares = sum_of_squares(residuals);
            // Not `>=`: NaN must fail as well.
            let tame = largest(margins) < f32::INFINITY && squares * reach * reach < GRADIENT_LIMIT;
            if !(tame && squares < GRADIENT_LIMIT) {
                return Err(LearnError::Diverged { row: i });
            }
            learner.step::<LANES>(rows.row(i).1, &mut room, squares);
            stats.n_rows += 1;
            stats.weight_sum += f64::from(weight);
            stats.loss_sum += f64::from(weight) * loss;
            stats.n_correct += u64::from(correct);
        }
        Ok(stats)
    }
}

/// Room for what is computed per row.
pub(super) struct Room {
    /// One an output, and room for as many as a block of the table has numbers.
    margins: Vec<f32>,
    /// One an output, and zeros behind them.
    pub(super) residuals: Vec<f32>,
    pub(super) update: UpdateRoom,
    pub(super) fetched: Fetched,
    /// The slots of the row that is learnt, and of the one after it.
    pub(super) slots: Vec<u32>,
    next: Vec<u32>,
}

impl Room {
    fn new(width: usize) -> Self {
        Self {
            margins: vec![0.0; width],
            residuals: vec![0.0; width],
            update: UpdateRoom::default(),
            fetched: Fetched::default(),
            slots: Vec::new(),
            next: Vec::new(),
        }
    }
}

/// The class that margins stand for: the sign of a single one, else the first of the greatest.
#[inline(always)]
fn prediction(margins: &[f32]) -> usize {
    if let &[margin] = margins {
        return usize::from(margin > 0.0);
    }
    let mut best = 0;
    for (k, &margin) in margins.iter().enumerate() {
        if margin > margins[best] {
            best = k;
        }
    }
    best
}

/// The largest magnitude; NaN counts as larger than infinity. On bits, since those vectorise.
#[inline(always)]
fn largest(numbers: &[f32]) -> f32 {
    f32::from_bits(
        numbers
            .iter()
            .fold(0, |most, x| most.max(x.to_bits() & 0x7fff_ffff)),
    )
}
