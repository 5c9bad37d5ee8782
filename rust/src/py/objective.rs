//! Rows to losses and gradients.

use super::learn::turned;
use super::rows::PyRows;
use crate::learn::{Gradient, Judged, Loss, Point, losses_along as along};
use numpy::{
    PyArray1, PyArray2, PyArrayMethods, PyReadonlyArray1, PyReadonlyArray2, PyUntypedArrayMethods,
};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

/// Sums of losses and gradients over rows.
#[pyclass(frozen, name = "Gradient", module = "manymill._core")]
struct PyGradient(Gradient);

type Weights<'py> = PyReadonlyArray2<'py, f32>;
type Numbers<'py> = PyReadonlyArray1<'py, f32>;

/// The weights in place: they may take gigabytes.
fn dense<'a>(weights: &'a Weights<'_>, intercept: &[f32]) -> PyResult<&'a [f32]> {
    // `as_slice` alone would take Fortran order as well, and read it as another matrix.
    if weights.shape()[1] != intercept.len() || !weights.is_c_contiguous() {
        return Err(PyValueError::new_err(format!(
            "weights are not a C-contiguous matrix of {} columns, the intercept's",
            intercept.len()
        )));
    }
    Ok(weights.as_slice()?)
}

type Reduced<'py> = (
    Bound<'py, PyAny>,
    (
        f64,
        f64,
        Bound<'py, PyArray1<u32>>,
        Bound<'py, PyArray2<f64>>,
        Bound<'py, PyArray1<f64>>,
    ),
);

#[pymethods]
impl PyGradient {
    #[staticmethod]
    #[pyo3(signature = (rows, classes, row_weights, weights, intercept))]
    fn at(
        py: Python<'_>,
        rows: &PyRows,
        classes: PyReadonlyArray1<'_, i32>,
        row_weights: Option<Numbers<'_>>,
        weights: Weights<'_>,
        intercept: Numbers<'_>,
    ) -> PyResult<Self> {
        let classes = classes.as_array().to_vec();
        let row_weights = row_weights.map(|numbers| numbers.as_array().to_vec());
        let intercept = intercept.as_array().to_vec();
        let weights = dense(&weights, &intercept)?;
        py.detach(|| {
            let judged = Judged {
                rows: &rows.0,
                classes: &classes,
                weights: row_weights.as_deref(),
            };
            let intercept = &intercept[..];
            Gradient::at(judged, Point { weights, intercept }, Loss::Log)
        })
        .map(Self)
        .map_err(turned)
    }

    #[staticmethod]
    fn combine(py: Python<'_>, parts: Vec<PyRef<'_, Self>>) -> PyResult<Self> {
        let parts: Vec<&Gradient> = parts.iter().map(|part| &part.0).collect();
        py.detach(|| Gradient::combine(&parts))
            .map(Self)
            .map_err(turned)
    }

    #[staticmethod]
    fn from_arrays(
        loss_sum: f64,
        weight_sum: f64,
        features: PyReadonlyArray1<'_, u32>,
        sums: PyReadonlyArray2<'_, f64>,
        intercept: PyReadonlyArray1<'_, f64>,
    ) -> PyResult<Self> {
        let features = features.as_array().to_vec();
        let intercept = intercept.as_array().to_vec();
        let ascend = features.is_sorted_by(|a, b| a < b);
        if intercept.is_empty() || !ascend || sums.shape() != [features.len(), intercept.len()] {
            return Err(PyValueError::new_err(
                "features must ascend strictly, and sums be of shape (features, outputs)",
            ));
        }
        Ok(Self(Gradient {
            loss: loss_sum,
            weight: weight_sum,
            features,
            sums: sums.as_array().iter().copied().collect(),
            intercept,
        }))
    }

    /// For pickle: gradients travel between processes as their arrays.
    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<Reduced<'py>> {
        let (py, gradient) = (slf.py(), slf.get());
        let arrays = (
            gradient.0.loss,
            gradient.0.weight,
            gradient.features(py),
            gradient.sums(py)?,
            gradient.intercept(py),
        );
        Ok((slf.get_type().getattr("from_arrays")?, arrays))
    }

    #[getter]
    fn loss_sum(&self) -> f64 {
        self.0.loss
    }

    #[getter]
    fn weight_sum(&self) -> f64 {
        self.0.weight
    }

    #[getter]
    fn features<'py>(&self, py: Python<'py>) -> Bound<'py, PyArray1<u32>> {
        PyArray1::from_slice(py, &self.0.features)
    }

    #[getter]
    fn sums<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyArray2<f64>>> {
        let shape = [self.0.features.len(), self.0.intercept.len()];
        PyArray1::from_slice(py, &self.0.sums).reshape(shape)
    }

    #[getter]
    fn intercept<'py>(&self, py: Python<'py>) -> Bound<'py, PyArray1<f64>> {
        PyArray1::from_slice(py, &self.0.intercept)
    }
}

#[pyfunction]
#[expect(
    clippy::too_many_arguments,
    reason = "two points are two arrays each, and rows are three"
)]
fn losses_along<'py>(
    py: Python<'py>,
    rows: &PyRows,
    classes: PyReadonlyArray1<'py, i32>,
    row_weights: Option<Numbers<'py>>,
    weights: Weights<'py>,
    intercept: Numbers<'py>,
    direction: Weights<'py>,
    direction_intercept: Numbers<'py>,
    steps: PyReadonlyArray1<'py, f64>,
) -> PyResult<Bound<'py, PyArray1<f64>>> {
    let classes = classes.as_array().to_vec();
    let row_weights = row_weights.map(|numbers| numbers.as_array().to_vec());
    let (start, slope) = (
        intercept.as_array().to_vec(),
        direction_intercept.as_array().to_vec(),
    );
    let steps = steps.as_array().to_vec();
    let (weights, direction) = (dense(&weights, &start)?, dense(&direction, &slope)?);
    let sums = py
        .detach(|| {
            let judged = Judged {
                rows: &rows.0,
                classes: &classes,
                weights: row_weights.as_deref(),
            };
            let at = |weights, intercept| Point { weights, intercept };
            let (point, line) = (at(weights, &start[..]), at(direction, &slope[..]));
            along(judged, point, line, &steps, Loss::Log)
        })
        .map_err(turned)?;
    Ok(PyArray1::from_vec(py, sums))
}

pub(super) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<PyGradient>()?;
    module.add_function(wrap_pyfunction!(losses_along, module)?)
}
