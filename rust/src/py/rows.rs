//! Rows of features.

use crate::rows::Rows;
use numpy::{PyArray1, PyReadonlyArray1};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

/// Rows of features for the learner: sorted uint32 indices and float32 values.
#[pyclass(frozen, name = "Rows", module = "manymill._core")]
pub(super) struct PyRows(pub(super) Rows);

type Arrays<'py> = (
    Bound<'py, PyArray1<i64>>,
    Bound<'py, PyArray1<u32>>,
    Bound<'py, PyArray1<f32>>,
);

#[pymethods]
impl PyRows {
    #[staticmethod]
    fn from_arrays(
        py: Python<'_>,
        indptr: PyReadonlyArray1<'_, i64>,
        indices: PyReadonlyArray1<'_, u32>,
        values: PyReadonlyArray1<'_, f32>,
    ) -> PyResult<Self> {
        // Copied first: another thread may write to the caller's arrays while they are checked.
        let indptr: Vec<i64> = indptr.as_array().to_vec();
        let rows = Rows {
            indptr: Vec::new(),
            indices: indices.as_array().to_vec(),
            values: values.as_array().to_vec(),
        };
        py.detach(|| checked(&indptr, rows))
            .map(Self)
            .map_err(PyValueError::new_err)
    }

    fn arrays<'py>(&self, py: Python<'py>) -> Arrays<'py> {
        let indptr = self.0.indptr.iter().map(|&start| start as i64).collect();
        (
            PyArray1::from_vec(py, indptr),
            PyArray1::from_slice(py, &self.0.indices),
            PyArray1::from_slice(py, &self.0.values),
        )
    }

    fn __len__(&self) -> usize {
        self.0.len()
    }

    #[getter]
    fn nbytes(&self) -> usize {
        self.0.indptr.capacity() * size_of::<usize>()
            + self.0.indices.capacity() * size_of::<u32>()
            + self.0.values.capacity() * size_of::<f32>()
    }
}

/// The rows with `indptr`, if everything fits together.
fn checked(indptr: &[i64], mut rows: Rows) -> Result<Rows, String> {
    if rows.indices.len() != rows.values.len() {
        return Err(format!(
            "there are {} indices and {} values",
            rows.indices.len(),
            rows.values.len()
        ));
    }
    let ends = (indptr.first(), indptr.last());
    if ends != (Some(&0), Some(&(rows.indices.len() as i64))) || !indptr.is_sorted() {
        return Err(format!(
            "indptr does not ascend from 0 to {}",
            rows.indices.len()
        ));
    }
    rows.indptr = indptr.iter().map(|&start| start as usize).collect();
    let unsorted = |&i: &usize| !rows.row(i).0.is_sorted_by(|a, b| a < b);
    match (0..rows.len()).find(unsorted) {
        Some(i) => Err(format!("the indices of row {i} do not ascend")),
        None => Ok(rows),
    }
}

pub(super) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<PyRows>()
}
