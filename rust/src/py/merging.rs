//! Changes of several lanes, added up.

use super::access::alone;
use super::learn::{PyLearner, in_place, turned};
use crate::learn::{Changes, Kept, LaneSums, MergeRule, MergeSums, Part};
use numpy::{PyArray1, PyReadonlyArray1};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

/// Sums over lanes of what they changed.
#[pyclass(frozen, name = "MergeSums", module = "manymill._core")]
struct PyMergeSums(Part);

type Counts = (usize, u64, u64);

/// Rows of a lane, and the sums that will be needed.
type LaneCounts = (u64, bool, bool, bool);

fn named(name: &str) -> PyResult<MergeRule> {
    MergeRule::from_name(name).ok_or_else(|| {
        PyValueError::new_err(format!(
            "there is no rule {name:?}. Hint: take uniform, support, damped, mass or magnitude"
        ))
    })
}

#[pymethods]
impl PyMergeSums {
    #[staticmethod]
    fn of(
        py: Python<'_>,
        learner: &Bound<'_, PyLearner>,
        n_rows: u64,
        rules: Vec<String>,
    ) -> PyResult<Self> {
        let rules = rules
            .iter()
            .map(|name| named(name))
            .collect::<PyResult<Vec<_>>>()?;
        let mut guard = alone(learner)?;
        let learner = &mut guard.0;
        py.detach(|| LaneSums::of(learner.take_changes()?, n_rows, Kept::of(&rules)))
            .map(|lane| Self(Part::Lane(lane)))
            .map_err(turned)
    }

    #[staticmethod]
    fn combine(py: Python<'_>, parts: Vec<Bound<'_, Self>>) -> PyResult<Self> {
        let parts: Vec<&Part> = parts.iter().map(|part| &part.get().0).collect();
        py.detach(|| Part::combine(&parts))
            .map(|sums| Self(Part::Sums(sums)))
            .map_err(turned)
    }

    #[staticmethod]
    #[expect(clippy::too_many_arguments, reason = "they are the arrays of a pickle")]
    fn from_arrays(
        counts: Counts,
        features: PyReadonlyArray1<'_, u32>,
        support: PyReadonlyArray1<'_, u32>,
        mass: PyReadonlyArray1<'_, f64>,
        plain: PyReadonlyArray1<'_, f64>,
        by_mass: PyReadonlyArray1<'_, f64>,
        magnitude: PyReadonlyArray1<'_, f64>,
        by_magnitude: PyReadonlyArray1<'_, f64>,
        intercept: PyReadonlyArray1<'_, f64>,
    ) -> PyResult<Self> {
        let (n_outputs, n_lanes, n_rows) = counts;
        let numbers = |array: &PyReadonlyArray1<'_, f64>| array.as_array().to_vec();
        MergeSums {
            n_outputs,
            n_lanes,
            n_rows,
            features: features.as_array().to_vec(),
            support: support.as_array().to_vec(),
            mass: numbers(&mass),
            plain: numbers(&plain),
            by_mass: numbers(&by_mass),
            magnitude: numbers(&magnitude),
            by_magnitude: numbers(&by_magnitude),
            intercept: numbers(&intercept),
        }
        .checked()
        .map(|sums| Self(Part::Sums(sums)))
        .map_err(turned)
    }

    #[staticmethod]
    fn from_changes(
        counts: LaneCounts,
        features: PyReadonlyArray1<'_, u32>,
        weights: PyReadonlyArray1<'_, f32>,
        accumulators: PyReadonlyArray1<'_, f32>,
        intercept: PyReadonlyArray1<'_, f32>,
    ) -> PyResult<Self> {
        let (n_rows, plain, by_mass, by_magnitude) = counts;
        let numbers = |array: &PyReadonlyArray1<'_, f32>| array.as_array().to_vec();
        let changes = Changes {
            features: features.as_array().to_vec(),
            weights: numbers(&weights),
            sums: numbers(&accumulators),
            intercept: numbers(&intercept),
        };
        let kept = Kept {
            plain,
            by_mass,
            by_magnitude,
        };
        let lane = LaneSums::of(changes, n_rows, kept).map_err(turned)?;
        Ok(Self(Part::Lane(lane)))
    }

    fn __reduce__<'py>(
        slf: &Bound<'py, Self>,
    ) -> PyResult<(Bound<'py, PyAny>, Bound<'py, pyo3::types::PyTuple>)> {
        let py = slf.py();
        let sums = match &slf.get().0 {
            Part::Sums(sums) => sums,
            Part::Lane(lane) => {
                let Kept {
                    plain,
                    by_mass,
                    by_magnitude,
                } = lane.kept;
                let counts: LaneCounts = (lane.n_rows, plain, by_mass, by_magnitude);
                let arguments = (
                    counts,
                    PyArray1::from_slice(py, &lane.changes.features),
                    PyArray1::from_slice(py, &lane.changes.weights),
                    PyArray1::from_slice(py, &lane.changes.sums),
                    PyArray1::from_slice(py, &lane.changes.intercept),
                );
                let make = slf.get_type().getattr("from_changes")?;
                return Ok((make, arguments.into_pyobject(py)?));
            }
        };
        let counts: Counts = (sums.n_outputs, sums.n_lanes, sums.n_rows);
        let numbers = |all: &[f64]| PyArray1::from_slice(py, all);
        let arguments = (
            counts,
            PyArray1::from_slice(py, &sums.features),
            PyArray1::from_slice(py, &sums.support),
            numbers(&sums.mass),
            numbers(&sums.plain),
            numbers(&sums.by_mass),
            numbers(&sums.magnitude),
            numbers(&sums.by_magnitude),
            numbers(&sums.intercept),
        );
        let make = slf.get_type().getattr("from_arrays")?;
        Ok((make, arguments.into_pyobject(py)?))
    }

    fn features<'py>(&self, py: Python<'py>) -> Bound<'py, PyArray1<u32>> {
        PyArray1::from_slice(py, self.0.features())
    }

    fn merge_into(
        &self,
        py: Python<'_>,
        learner: &Bound<'_, PyLearner>,
        rule: &str,
        step: f64,
    ) -> PyResult<()> {
        let rule = named(rule)?;
        let mut guard = alone(learner)?;
        let learner = &mut guard.0;
        py.detach(|| learner.merge(&*self.0.sums()?, rule, step))
            .map_err(turned)
    }

    fn part(&self, py: Python<'_>, marks: PyReadonlyArray1<'_, bool>) -> PyResult<Self> {
        let marks = in_place(&marks);
        py.detach(|| self.0.sums()?.part(&marks))
            .map(|sums| Self(Part::Sums(sums)))
            .map_err(turned)
    }

    #[getter]
    fn n_lanes(&self) -> u64 {
        self.0.counts().0
    }

    #[getter]
    fn n_rows(&self) -> u64 {
        self.0.counts().1
    }

    #[getter]
    fn nbytes(&self) -> usize {
        self.0.n_bytes()
    }
}

pub(super) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<PyMergeSums>()
}
