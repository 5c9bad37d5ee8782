//! The table of the features in use.

use super::access::size;
use super::learn::turned;
use crate::rows::FeatureTable;
use numpy::{PyArray1, PyReadonlyArray1};
use pyo3::prelude::*;

/// The hashed features in use, with their columns and weights.
#[pyclass(frozen, name = "FeatureTable", module = "manymill._core")]
pub(super) struct PyFeatureTable(pub(super) FeatureTable);

type Weights<'py> = Option<Bound<'py, PyArray1<f32>>>;

type Reduced<'py> = (
    Bound<'py, PyAny>,
    (usize, Bound<'py, PyArray1<u32>>, Weights<'py>),
);

#[pymethods]
impl PyFeatureTable {
    #[staticmethod]
    fn from_arrays(
        py: Python<'_>,
        n_hashed: i64,
        features: PyReadonlyArray1<'_, u32>,
        weights: Option<PyReadonlyArray1<'_, f32>>,
    ) -> PyResult<Self> {
        // Copied first: another thread may write to the caller's arrays while they are checked.
        let features: Vec<u32> = features.as_array().to_vec();
        let weights = weights.map(|weights| weights.as_array().to_vec());
        py.detach(|| FeatureTable::from_parts(size(n_hashed), &features, weights.as_deref()))
            .map(Self)
            .map_err(|error| turned(error.into()))
    }

    #[getter]
    fn n_hashed(&self) -> usize {
        self.0.n_hashed()
    }

    #[getter]
    fn features<'py>(&self, py: Python<'py>) -> Bound<'py, PyArray1<u32>> {
        let features = py.detach(|| self.0.features());
        PyArray1::from_vec(py, features)
    }

    #[getter]
    fn weights<'py>(&self, py: Python<'py>) -> Weights<'py> {
        let weights = self.0.weights()?;
        Some(PyArray1::from_slice(py, weights))
    }

    #[getter]
    fn nbytes(&self) -> usize {
        self.0.nbytes()
    }

    fn __len__(&self) -> usize {
        self.0.len()
    }

    /// For pickle: a table travels between processes as its arrays.
    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<Reduced<'py>> {
        let make = slf.get_type().getattr("from_arrays")?;
        let (py, table) = (slf.py(), slf.get());
        let arrays = (table.n_hashed(), table.features(py), table.weights(py));
        Ok((make, arrays))
    }
}

pub(super) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<PyFeatureTable>()
}
