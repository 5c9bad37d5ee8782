//! Rows to weights.

use super::access::{alone, matrix, shared, size};
use super::options::memory_error;
use super::rows::PyRows;
use crate::learn::{
    Changes, LearnError, LearnStats, Learner, Loss, Settings, Shares, score_rows as score,
};
use numpy::{PyArray1, PyArray2, PyReadonlyArray1, PyReadonlyArray2, PyUntypedArrayMethods};
use pyo3::exceptions::{PyFloatingPointError, PyValueError};
use pyo3::prelude::*;
use std::borrow::Cow;

type Matrix<'py> = PyResult<Bound<'py, PyArray2<f32>>>;

pub(super) fn turned(error: LearnError) -> PyErr {
    let message = error.to_string();
    match error {
        LearnError::Invalid(_) => PyValueError::new_err(message),
        LearnError::Memory { .. } => memory_error(&message),
        LearnError::Diverged { .. } => PyFloatingPointError::new_err(message),
    }
}

/// Features, how far their weights, their sums and the intercept state moved.
type Changed<'py> = (
    Bound<'py, PyArray1<u32>>,
    Bound<'py, PyArray2<f32>>,
    Bound<'py, PyArray1<f32>>,
    Bound<'py, PyArray2<f32>>,
);

/// Weights and sums of features.
type Gathered<'py> = (Bound<'py, PyArray2<f32>>, Bound<'py, PyArray1<f32>>);

fn changed(py: Python<'_>, changes: Changes) -> PyResult<Changed<'_>> {
    let k = changes.intercept.len() / 2;
    Ok((
        PyArray1::from_vec(py, changes.features),
        matrix(py, changes.weights, k)?,
        PyArray1::from_vec(py, changes.sums),
        matrix(py, changes.intercept, k)?,
    ))
}

/// What one call of learn saw before learning from each row.
#[pyclass(frozen, name = "LearnStats", module = "manymill._core")]
struct PyLearnStats(LearnStats);

#[pymethods]
impl PyLearnStats {
    #[getter]
    fn n_rows(&self) -> u64 {
        self.0.n_rows
    }

    #[getter]
    fn weight_sum(&self) -> f64 {
        self.0.weight_sum
    }

    #[getter]
    fn loss_sum(&self) -> f64 {
        self.0.loss_sum
    }

    #[getter]
    fn n_correct(&self) -> u64 {
        self.0.n_correct
    }

    fn __repr__(&self) -> String {
        let LearnStats {
            n_rows,
            weight_sum,
            loss_sum,
            n_correct,
        } = self.0;
        format!(
            "LearnStats(n_rows={n_rows}, weight_sum={weight_sum}, loss_sum={loss_sum}, n_correct={n_correct})"
        )
    }
}

/// A linear model that learns rows one after the other.
#[pyclass(name = "Learner", module = "manymill._core")]
pub(super) struct PyLearner(pub(super) Learner);

/// The numbers of an array, copied only where they do not lie side by side.
pub(super) fn in_place<'a, T: numpy::Element + Copy>(
    array: &'a PyReadonlyArray1<'_, T>,
) -> Cow<'a, [T]> {
    array.as_slice().map_or_else(
        |_| Cow::Owned(array.as_array().iter().copied().collect()),
        Cow::Borrowed,
    )
}

/// The numbers of a matrix row by row, copied only where they do not lie so.
fn rows_in_place<'a>(matrix: &'a PyReadonlyArray2<'_, f32>) -> Cow<'a, [f32]> {
    match matrix.as_slice() {
        // `as_slice` alone would take Fortran order as well, and read it as another matrix.
        Ok(numbers) if matrix.is_c_contiguous() => Cow::Borrowed(numbers),
        _ => Cow::Owned(matrix.as_array().iter().copied().collect()),
    }
}

#[pymethods]
impl PyLearner {
    #[new]
    #[pyo3(signature = (n_features, n_classes, *, loss = "log", l1 = 0.0, l2 = 0.0, learning_rate = 0.5, initial_g = 0.0, fit_intercept = true))]
    #[expect(
        clippy::too_many_arguments,
        reason = "they are keywords on the other side"
    )]
    fn new(
        py: Python<'_>,
        n_features: i64,
        n_classes: i64,
        loss: &str,
        l1: f32,
        l2: f32,
        learning_rate: f32,
        initial_g: f32,
        fit_intercept: bool,
    ) -> PyResult<Self> {
        let Some(loss) = Loss::from_name(loss) else {
            return Err(PyValueError::new_err(format!(
                "there is no loss {loss:?}. Hint: take log, hinge, squared_hinge, modified_huber or squared_error"
            )));
        };
        let settings = Settings {
            loss,
            l1,
            l2,
            learning_rate,
            initial_g,
            fit_intercept,
        };
        py.detach(|| Learner::new(size(n_features), size(n_classes), settings))
            .map(Self)
            .map_err(turned)
    }

    #[getter]
    fn n_features(slf: &Bound<'_, Self>) -> PyResult<usize> {
        Ok(shared(slf)?.0.n_features())
    }

    #[getter]
    fn n_classes(slf: &Bound<'_, Self>) -> PyResult<usize> {
        Ok(shared(slf)?.0.n_classes())
    }

    #[getter]
    fn n_outputs(slf: &Bound<'_, Self>) -> PyResult<usize> {
        Ok(shared(slf)?.0.n_outputs())
    }

    #[getter]
    fn n_rows_seen(slf: &Bound<'_, Self>) -> PyResult<u64> {
        Ok(shared(slf)?.0.n_rows_seen())
    }

    #[pyo3(signature = (rows, classes, weights = None))]
    fn learn(
        slf: &Bound<'_, Self>,
        rows: &PyRows,
        classes: PyReadonlyArray1<'_, i32>,
        weights: Option<PyReadonlyArray1<'_, f32>>,
    ) -> PyResult<PyLearnStats> {
        let mut guard = alone(slf)?;
        let learner = &mut guard.0;
        // Copied: another thread may write to the caller's arrays after they were checked.
        let classes = classes.as_array().to_vec();
        let weights = weights.map(|weights| weights.as_array().to_vec());
        slf.py()
            .detach(|| learner.learn(&rows.0, &classes, weights.as_deref()))
            .map(PyLearnStats)
            .map_err(turned)
    }

    fn scores<'py>(slf: &Bound<'py, Self>, rows: &PyRows) -> Matrix<'py> {
        let guard = shared(slf)?;
        let learner = &guard.0;
        let scores = slf
            .py()
            .detach(|| learner.scores(&rows.0))
            .map_err(turned)?;
        matrix(slf.py(), scores, learner.n_outputs())
    }

    fn settle(slf: &Bound<'_, Self>) -> PyResult<()> {
        let mut guard = alone(slf)?;
        let learner = &mut guard.0;
        slf.py().detach(|| learner.settle());
        Ok(())
    }

    fn decay(slf: &Bound<'_, Self>, n_rows: u64, n_lanes: u32, is_part: bool) -> PyResult<()> {
        let mut guard = alone(slf)?;
        let learner = &mut guard.0;
        if n_lanes == 0 {
            return Err(PyValueError::new_err("n_lanes is 0, not 1 or more"));
        }
        let shares = Shares {
            n_lanes: n_lanes as f32,
            is_part,
        };
        slf.py().detach(|| learner.decay(n_rows, shares));
        Ok(())
    }

    fn grow(slf: &Bound<'_, Self>, n_classes: i64) -> PyResult<()> {
        let mut guard = alone(slf)?;
        let learner = &mut guard.0;
        slf.py()
            .detach(|| learner.grow(size(n_classes)))
            .map_err(turned)
    }

    fn weights<'py>(slf: &Bound<'py, Self>, start: usize, stop: usize) -> Matrix<'py> {
        let guard = shared(slf)?;
        let learner = &guard.0;
        let weights = slf
            .py()
            .detach(|| learner.weights(start, stop))
            .map_err(turned)?;
        matrix(slf.py(), weights, learner.n_outputs())
    }

    fn accumulators<'py>(
        slf: &Bound<'py, Self>,
        start: usize,
        stop: usize,
    ) -> PyResult<Bound<'py, PyArray1<f32>>> {
        let guard = shared(slf)?;
        let learner = &guard.0;
        let sums = slf
            .py()
            .detach(|| learner.accumulators(start, stop))
            .map_err(turned)?;
        Ok(PyArray1::from_vec(slf.py(), sums))
    }

    fn intercept<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyArray1<f32>>> {
        Ok(PyArray1::from_slice(slf.py(), shared(slf)?.0.intercept()))
    }

    fn set_state(
        slf: &Bound<'_, Self>,
        start: usize,
        weights: PyReadonlyArray2<'_, f32>,
        accumulators: PyReadonlyArray1<'_, f32>,
    ) -> PyResult<()> {
        let mut guard = alone(slf)?;
        let learner = &mut guard.0;
        let (k, n) = (learner.n_outputs(), accumulators.len());
        if weights.shape() != [n, k] {
            return Err(PyValueError::new_err(format!(
                "weights are of shape {:?}, not ({n}, {k}): as many rows as accumulators",
                weights.shape()
            )));
        }
        let weights = rows_in_place(&weights);
        let sums = in_place(&accumulators);
        slf.py()
            .detach(|| learner.set_state(start, &weights, &sums))
            .map_err(turned)
    }

    fn begin_changes(slf: &Bound<'_, Self>) -> PyResult<()> {
        let mut guard = alone(slf)?;
        let learner = &mut guard.0;
        slf.py().detach(|| learner.begin_changes()).map_err(turned)
    }

    fn take_changes<'py>(slf: &Bound<'py, Self>) -> PyResult<Changed<'py>> {
        let mut guard = alone(slf)?;
        let learner = &mut guard.0;
        let changes = slf.py().detach(|| learner.take_changes()).map_err(turned)?;
        changed(slf.py(), changes)
    }

    fn gather<'py>(
        slf: &Bound<'py, Self>,
        features: PyReadonlyArray1<'py, u32>,
    ) -> PyResult<Gathered<'py>> {
        let guard = shared(slf)?;
        let learner = &guard.0;
        let features = in_place(&features);
        let (weights, sums) = slf
            .py()
            .detach(|| learner.gather(&features))
            .map_err(turned)?;
        let weights = matrix(slf.py(), weights, learner.n_outputs())?;
        Ok((weights, PyArray1::from_vec(slf.py(), sums)))
    }

    fn scatter(
        slf: &Bound<'_, Self>,
        features: PyReadonlyArray1<'_, u32>,
        weights: PyReadonlyArray2<'_, f32>,
        accumulators: PyReadonlyArray1<'_, f32>,
    ) -> PyResult<()> {
        let mut guard = alone(slf)?;
        let learner = &mut guard.0;
        let (k, n) = (learner.n_outputs(), features.len());
        if weights.shape() != [n, k] {
            return Err(PyValueError::new_err(format!(
                "weights are of shape {:?}, not ({n}, {k})",
                weights.shape()
            )));
        }
        // In place where it may be: a copy of a wide state takes longer than all that follows.
        let features = in_place(&features);
        let weights = rows_in_place(&weights);
        let sums = in_place(&accumulators);
        slf.py()
            .detach(|| learner.scatter(&features, &weights, &sums))
            .map_err(turned)
    }

    fn met<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyArray1<u32>>> {
        let guard = shared(slf)?;
        let learner = &guard.0;
        let features = slf.py().detach(|| learner.met());
        Ok(PyArray1::from_vec(slf.py(), features))
    }

    fn intercept_state<'py>(slf: &Bound<'py, Self>) -> Matrix<'py> {
        let guard = shared(slf)?;
        matrix(
            slf.py(),
            guard.0.intercept_state().to_vec(),
            guard.0.n_outputs(),
        )
    }

    fn set_intercept_state(
        slf: &Bound<'_, Self>,
        state: PyReadonlyArray2<'_, f32>,
        n_rows_seen: u64,
    ) -> PyResult<()> {
        let mut guard = alone(slf)?;
        let k = guard.0.n_outputs();
        if state.shape() != [2, k] {
            return Err(PyValueError::new_err(format!(
                "the intercept state is of shape {:?}, not (2, {k})",
                state.shape()
            )));
        }
        let state: Vec<f32> = state.as_array().iter().copied().collect();
        guard
            .0
            .set_intercept_state(&state, n_rows_seen)
            .map_err(turned)
    }
}

#[pyfunction]
fn score_rows<'py>(
    py: Python<'py>,
    rows: &PyRows,
    weights: PyReadonlyArray2<'py, f32>,
    intercept: PyReadonlyArray1<'py, f32>,
) -> Matrix<'py> {
    let intercept = intercept.as_array().to_vec();
    let k = intercept.len();
    if weights.shape()[1] != k {
        return Err(PyValueError::new_err(format!(
            "weights have {} columns, and there are {k} intercepts",
            weights.shape()[1]
        )));
    }
    // `as_slice` alone would take Fortran order as well, and read it as another matrix.
    if !weights.is_c_contiguous() {
        return Err(PyValueError::new_err("weights are not C-contiguous"));
    }
    // In place: the weights may be a file of many gigabytes.
    let weights = weights.as_slice()?;
    let scores = py
        .detach(|| score(&rows.0, weights, &intercept))
        .map_err(turned)?;
    matrix(py, scores, k)
}

pub(super) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<PyLearner>()?;
    module.add_class::<PyLearnStats>()?;
    module.add_function(wrap_pyfunction!(score_rows, module)?)
}
