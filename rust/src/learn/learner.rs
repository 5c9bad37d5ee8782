//! The learner itself: rows in, state changed.

use super::fetched::Fetched;
use super::margins::{check_rows, margins, score_table};
use super::regularise::Arrears;
use super::settings::{check_shape, n_outputs};
use super::step::{Residuals, Step, move_all, update, update_penalised};
use super::sums::{dot, sum_of_squares};
use super::table::Table;
use super::{LearnError, Settings};
use crate::kernels::memory::prefetch;
use crate::rows::Rows;

// Squared gradients above this would soon add up to infinity in float32.
const GRADIENT_LIMIT: f32 = 1e37;

// Rows between the one whose cells are asked for and the one that is learnt: one row's work hides the wait.
const AHEAD: usize = 1;

// Cells of a cache line of 64 bytes, and how many cells of a feature are asked for: the processor guesses the rest.
const CELLS_OF_A_LINE: usize = 16;
const FETCHED_CELLS: usize = 64;

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
    /// A block like a feature's: the intercepts belong to a feature that every row has with the value 1.
    pub(super) intercept: Vec<f32>,
    pub(super) arrears: Option<Arrears>,
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
        let table = Table::new(n_features, n_outputs(n_classes))?;
        let arrears = settings
            .is_regularised()
            .then(|| Arrears::new(n_features))
            .transpose()?;
        let intercept = vec![0.0; table.width()];
        Ok(Self {
            settings,
            n_classes,
            n_rows_seen: 0,
            table,
            intercept,
            arrears,
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
    /// the model blew up.
    pub fn learn(
        &mut self,
        rows: &Rows,
        classes: &[i32],
        weights: Option<&[f32]>,
    ) -> Result<LearnStats, LearnError> {
        check_rows(rows, self.n_features())?;
        self.check_targets(rows.len(), classes, weights)?;
        let mut stats = LearnStats::default();
        let mut room = Room::new(self.n_outputs());
        for (i, &class) in classes.iter().enumerate() {
            let weight = weights.map_or(1.0, |weights| weights[i]);
            if weight == 0.0 {
                continue;
            }
            if !self.fetches() && i + AHEAD < rows.len() {
                self.warm(rows.row(i + AHEAD).0);
            }
            self.look(rows.row(i), &mut room);
            let correct = prediction(&room.margins) == class as usize;
            let loss =
                self.settings
                    .loss
                    .residuals(class as usize, &room.margins, &mut room.residuals);
            for residual in &mut room.residuals {
                *residual *= weight;
            }
            let reach = largest(rows.row(i).1);
            let squares = sum_of_squares(&room.residuals);
            // Not `>=`: NaN must fail as well.
            let tame =
                largest(&room.margins) < f32::INFINITY && squares * reach * reach < GRADIENT_LIMIT;
            if !(tame && squares < GRADIENT_LIMIT) {
                return Err(LearnError::Diverged { row: i });
            }
            self.step(rows.row(i), &mut room, squares);
            stats.n_rows += 1;
            stats.weight_sum += f64::from(weight);
            stats.loss_sum += f64::from(weight) * loss;
            stats.n_correct += u64::from(correct);
        }
        Ok(stats)
    }

    /// Asks for the cells of a row that comes soon.
    fn warm(&self, indices: &[u32]) {
        let width = self.table.width();
        for &j in indices {
            for at in (0..width.min(FETCHED_CELLS)).step_by(CELLS_OF_A_LINE) {
                prefetch(&self.table.cells, j as usize * width + at);
            }
        }
    }

    /// Computes the margins of one row.
    fn look(&self, row: (&[u32], &[f32]), room: &mut Room) {
        let cells = &self.table.cells;
        if self.fetches() {
            room.fetched.fetch(cells, row.0);
            room.margins[0] = dot(room.fetched.weights(), row.1) + self.intercept[0];
        } else {
            margins(
                row,
                cells,
                self.table.width(),
                self.intercept(),
                &mut room.margins,
            );
        }
    }

    /// Whether rows are fetched: one output, no regularisation.
    fn fetches(&self) -> bool {
        self.n_outputs() == 1 && self.arrears.is_none()
    }

    /// Moves the weights against the residuals of one row, whose squares add up to `squares`.
    fn step(&mut self, row: (&[u32], &[f32]), room: &mut Room, squares: f32) {
        self.n_rows_seen += 1;
        if let Some(arrears) = &mut self.arrears {
            arrears.advance();
        }
        if room.residuals.iter().all(|&r| r == 0.0) {
            return;
        }
        let (step, fetches) = (self.step_of(), self.fetches());
        let residuals = Residuals {
            all: &room.residuals,
            squares,
        };
        if let Some(arrears) = &mut self.arrears {
            update_penalised(&mut self.table, arrears, step, row, &residuals);
        } else if fetches {
            room.fetched
                .update(&mut self.table.cells, step, row, &residuals);
        } else {
            update(&mut self.table, step, row, &residuals, &mut room.moving);
        }
        if self.settings.fit_intercept {
            move_all(&mut self.intercept, step, 1.0, &residuals);
        }
    }

    pub(super) fn step_of(&self) -> Step {
        let Settings {
            l1,
            l2,
            learning_rate,
            ..
        } = self.settings;
        Step {
            eta: learning_rate,
            l1,
            l2,
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
        score_table(
            rows,
            &self.table.cells,
            self.table.width(),
            self.intercept(),
        )
    }
}

/// Room for what is computed per row.
struct Room {
    margins: Vec<f32>,
    residuals: Vec<f32>,
    moving: Vec<(usize, f32)>,
    fetched: Fetched,
}

impl Room {
    fn new(n_outputs: usize) -> Self {
        let moving = Vec::with_capacity(n_outputs);
        Self {
            margins: vec![0.0; n_outputs],
            residuals: vec![0.0; n_outputs],
            moving,
            fetched: Fetched::default(),
        }
    }
}

/// The class that margins stand for: the sign of a single one, else the first of the greatest.
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
fn largest(numbers: &[f32]) -> f32 {
    f32::from_bits(
        numbers
            .iter()
            .fold(0, |most, x| most.max(x.to_bits() & 0x7fff_ffff)),
    )
}
