//! The learner itself: rows in, state changed.

use super::changes::Noted;
use super::fetched::Fetched;
use super::lesson::{Lesson, Room};
use super::margins::{Model, check_rows, margins, score};
use super::rounds::Rounds;
use super::settings::{check_shape, n_outputs};
use super::step::{Residuals, Step, rate, update};
use super::sums::dot;
use super::table::Table;
use super::{LearnError, Settings};
use crate::kernels::widest::{self, Work};
use crate::rows::Rows;

/// Rows after which dates are too large for float32, which holds them beside the weights.
const MAX_DATE: f32 = (1 << f32::MANTISSA_DIGITS) as f32;

/// What one call of [`Learner::learn`] saw before learning from each row.
#[derive(Debug, Default, Clone, Copy, PartialEq)]
pub struct LearnStats {
    /// Rows learnt from; a row of weight 0 is none.
    pub n_rows: u64,
    /// Sum of the rows' weights.
    pub weight_sum: f64,
    /// Sum of weight times loss.
    pub loss_sum: f64,
    /// Rows whose class was predicted.
    pub n_correct: u64,
}

/// A linear model that learns one row after the other.
#[derive(Debug)]
pub struct Learner {
    pub(super) settings: Settings,
    pub(super) n_classes: usize,
    pub(super) n_rows_seen: u64,
    pub(super) table: Table,
    /// Intercepts, then the sum of squared gradients of each.
    pub(super) intercept: Vec<f32>,
    /// Rows since the last settling, with regularisation: the date of the next row, less one. Between the rounds of
    /// lanes: rounds.
    pub(super) now: f32,
    pub(super) rounds: Rounds,
    pub(super) noted: Noted,
}

impl Learner {
    /// A learner that knows nothing yet.
    ///
    /// # Errors
    /// If a number is out of range, or the state does not fit in memory.
    pub fn new(
        n_features: usize,
        n_classes: usize,
        settings: Settings,
    ) -> Result<Self, LearnError> {
        settings.check()?;
        check_shape(n_features, n_classes)?;
        let table = Table::new(n_features, n_outputs(n_classes), settings.is_regularised())?;
        let intercept = vec![0.0; 2 * table.n_outputs];
        Ok(Self {
            settings,
            n_classes,
            n_rows_seen: 0,
            table,
            intercept,
            now: 0.0,
            rounds: Rounds::default(),
            noted: Noted::default(),
        })
    }

    /// The number of features.
    #[must_use]
    pub fn n_features(&self) -> usize {
        self.table.n_features
    }

    /// The number of classes.
    #[must_use]
    pub fn n_classes(&self) -> usize {
        self.n_classes
    }

    /// 1 for two classes, else their number.
    #[must_use]
    pub fn n_outputs(&self) -> usize {
        self.table.n_outputs
    }

    /// Rows learnt from since the beginning, over all passes.
    #[must_use]
    pub fn n_rows_seen(&self) -> u64 {
        self.n_rows_seen
    }

    /// Learns the rows in order; `weights` of `None` are all 1.
    ///
    /// # Errors
    /// [`LearnError::Invalid`] if something does not fit (nothing is learnt then), [`LearnError::Diverged`] if
    /// the model blew up, [`LearnError::Memory`] if there is none for a further feature (the rows before it are learnt).
    pub fn learn(
        &mut self,
        rows: &Rows,
        classes: &[i32],
        weights: Option<&[f32]>,
    ) -> Result<LearnStats, LearnError> {
        check_rows(rows, self.n_features())?;
        self.check_targets(rows.len(), classes, weights)?;
        if self.n_rows_seen.checked_add(rows.len() as u64).is_none() {
            return LearnError::invalid("there are more rows than can be counted".into());
        }
        self.note(rows)?;
        let lesson = Lesson {
            learner: self,
            rows,
            classes,
            weights,
        };
        // One output alone has nothing to put side by side but what it fetched.
        if lesson.learner.fetches() {
            lesson.run::<1>()
        } else {
            widest::run(lesson)
        }
    }

    /// Computes the margins of one row.
    #[inline(always)]
    pub(super) fn look<const LANES: usize>(
        &self,
        row: (&[u32], &[f32]),
        fetched: &mut Fetched,
        z: &mut [f32],
    ) {
        let cells = self.table.cells();
        if self.fetches() {
            fetched.fetch(cells, row.0, self.table.is_dated);
            z[0] = dot(fetched.weights(), row.1) + self.intercept[0];
        } else {
            self.margins::<LANES>(row, z);
        }
    }

    /// Computes the margins of one row without fetching it.
    #[inline(always)]
    fn margins<const LANES: usize>(&self, row: (&[u32], &[f32]), z: &mut [f32]) {
        let table = &self.table;
        margins::<LANES>(row, table.cells(), table.width(), self.intercept(), z);
    }

    /// Takes the slots of the row after this one and asks for their cells; asks for the slots of the row after that.
    ///
    /// # Errors
    /// If memory is lacking.
    #[inline(always)]
    pub(super) fn fetch_ahead(
        &mut self,
        rows: &Rows,
        i: usize,
        slots: &mut Vec<u32>,
    ) -> Result<(), LearnError> {
        if i + 1 < rows.len() {
            self.table.take(rows.row(i + 1), slots)?;
        }
        // What is fetched in a loop of its own needs no asking: that waits for many lines at once.
        if self.fetches() {
            return Ok(());
        }
        self.table.warm_cells(slots);
        if i + 2 < rows.len() {
            self.table.warm_slots(rows.row(i + 2).0);
        }
        Ok(())
    }

    /// Whether rows are fetched.
    pub(super) fn fetches(&self) -> bool {
        self.table.is_direct()
    }

    /// Moves the weights against the residuals of one row, whose squares add up to `squares`.
    #[inline(always)]
    pub(super) fn step<const LANES: usize>(
        &mut self,
        values: &[f32],
        room: &mut Room,
        squares: f32,
    ) {
        let row = (&room.slots[..], values);
        self.n_rows_seen += 1;
        let pays = self.table.is_dated && !self.noted.is_noting;
        if pays {
            self.now += 1.0;
        }
        let (all, padded) = (&room.residuals[..self.n_outputs()], &room.residuals[..]);
        if all.iter().all(|&r| r == 0.0) {
            return self.settle_in_time();
        }
        let step = Step::new(&self.settings);
        let step = if pays { step } else { step.without_penalty() };
        let now = self.now;
        let residuals = Residuals {
            all,
            padded,
            squares,
        };
        match (self.fetches(), self.table.is_dated) {
            (true, false) => room
                .fetched
                .update(self.table.cells_mut(), step, row, &residuals),
            (true, true) => {
                room.fetched
                    .update_penalised(self.table.cells_mut(), (step, now), row, &residuals)
            }
            (false, _) => update::<LANES>(
                &mut self.table,
                (step, now),
                row,
                &residuals,
                &mut room.update,
            ),
        }
        if self.settings.fit_intercept {
            let (intercepts, sums) = self.intercept.split_at_mut(residuals.all.len());
            for ((b, sum), r) in intercepts.iter_mut().zip(sums).zip(residuals.all) {
                *sum += r * r;
                *b -= rate(step.eta, *sum) * r;
            }
        }
        self.settle_in_time();
    }

    /// Settles after as many rows as float32 counts exactly.
    #[inline(always)]
    pub(super) fn settle_in_time(&mut self) {
        if self.now >= MAX_DATE {
            self.settle();
        }
    }

    fn check_targets(
        &self,
        n_rows: usize,
        classes: &[i32],
        weights: Option<&[f32]>,
    ) -> Result<(), LearnError> {
        if classes.len() != n_rows || weights.is_some_and(|weights| weights.len() != n_rows) {
            return LearnError::invalid(format!(
                "there are {n_rows} rows, {} classes and {} weights",
                classes.len(),
                weights.map_or(n_rows, <[f32]>::len)
            ));
        }
        let known = 0..self.n_classes as i64;
        if let Some(row) = classes
            .iter()
            .position(|&class| !known.contains(&i64::from(class)))
        {
            return LearnError::invalid(format!(
                "row {row} has class {}, not 0 to {}",
                classes[row],
                self.n_classes - 1
            ));
        }
        let wrong = |&w: &f32| !(w >= 0.0 && w.is_finite());
        if let Some(row) = weights.and_then(|weights| weights.iter().position(wrong)) {
            return LearnError::invalid(format!(
                "row {row} has a weight that is negative or not finite"
            ));
        }
        Ok(())
    }

    /// Decision values, shape `(n_rows, n_outputs)` flattened.
    ///
    /// # Errors
    /// If a row has a feature that the learner has not, or the result does not fit in memory.
    pub fn scores(&self, rows: &Rows) -> Result<Vec<f32>, LearnError> {
        check_rows(rows, self.n_features())?;
        let known = Known {
            learner: self,
            slots: Vec::new(),
            padded: vec![0.0; self.table.width()],
        };
        score(rows, self.n_outputs(), known)
    }
}

/// What a learner knows, to score rows with.
struct Known<'a> {
    learner: &'a Learner,
    slots: Vec<u32>,
    padded: Vec<f32>,
}

impl Model for Known<'_> {
    #[inline(always)]
    fn margins<const LANES: usize>(&mut self, (features, values): (&[u32], &[f32]), z: &mut [f32]) {
        let Self {
            learner,
            slots,
            padded,
        } = self;
        if learner.table.is_direct() {
            return learner.margins::<LANES>((features, values), z);
        }
        learner.table.find(features, slots);
        learner.margins::<LANES>((slots, values), padded);
        z.copy_from_slice(&padded[..z.len()]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::learn::Loss;

    const SETTINGS: Settings = Settings {
        loss: Loss::Log,
        l1: 0.0,
        l2: 1e-3,
        learning_rate: 0.5,
        initial_g: 0.0,
        fit_intercept: true,
    };

    fn row(feature: u32) -> Rows {
        Rows {
            indptr: vec![0, 2],
            indices: vec![feature, 9],
            values: vec![1.0, 0.5],
        }
    }

    #[test]
    fn as_many_rows_as_float32_counts_are_settled() {
        let new = || Learner::new(10, 2, SETTINGS).expect("the settings are in range");
        let (mut counted, mut settled) = (new(), new());
        counted.now = MAX_DATE - 2.0;
        let nothing = [0.0; 10];
        counted
            .set_state(0, &nothing, &nothing)
            .expect("they are of its shape");
        for (i, class) in [(3, 0), (4, 1), (3, 1)] {
            for learner in [&mut counted, &mut settled] {
                learner
                    .learn(&row(i), &[class], None)
                    .expect("values are small");
            }
            if i == 4 {
                assert!(counted.now == 0.0 && settled.now == 2.0);
                settled.settle();
            }
        }
        assert_eq!(counted.weights(0, 10), settled.weights(0, 10));
    }

    #[test]
    fn a_value_of_0_takes_no_memory_of_a_wide_table() {
        let mut learner = Learner::new(10, 3, SETTINGS).expect("the settings are in range");
        let rows = Rows {
            values: vec![0.0, 0.5],
            ..row(3)
        };
        learner.learn(&rows, &[2], None).expect("values are small");
        assert_eq!((learner.table.slot(3), learner.table.slot(9)), (0, 1));
    }

    #[test]
    fn learning_refuses_more_rows_than_can_be_counted_and_changes_nothing() {
        let settings = Settings {
            loss: Loss::Log,
            l1: 0.0,
            l2: 0.0,
            learning_rate: 0.5,
            initial_g: 0.0,
            fit_intercept: true,
        };
        let mut learner = Learner::new(4, 2, settings).expect("the settings are in range");
        learner
            .set_intercept_state(&[0.0; 2], u64::MAX - 1)
            .expect("it is a state");
        let rows = Rows {
            indptr: vec![0, 1, 2],
            indices: vec![0, 1],
            values: vec![1.0, 1.0],
        };
        assert!(matches!(
            learner.learn(&rows, &[0, 1], None),
            Err(LearnError::Invalid(_))
        ));
        assert_eq!(learner.n_rows_seen(), u64::MAX - 1);
        assert_eq!(learner.weights(0, 4).expect("in range"), [0.0; 4]);
    }
}
