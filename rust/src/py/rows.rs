//! Rows of features.

use super::columns::slice;
use super::feature_table::PyFeatureTable;
use super::options::{norm_of, row_options};
use crate::rows::{HashedChunk, Rows, picked_rows};
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

/// Hashes, and where each document starts and ends in them.
type HashedArrays<'py> = (
    PyReadonlyArray1<'py, u32>,
    PyReadonlyArray1<'py, i64>,
    PyReadonlyArray1<'py, i64>,
);

#[pymethods]
impl PyRows {
    #[staticmethod]
    #[pyo3(signature = (chunks, chunk_of, row_of, n_features, *, value, norm))]
    #[allow(clippy::too_many_arguments)] // each has a name in Python
    fn of_hashes(
        py: Python<'_>,
        chunks: Vec<HashedArrays<'_>>,
        chunk_of: PyReadonlyArray1<'_, u32>,
        row_of: PyReadonlyArray1<'_, u32>,
        n_features: u32,
        value: &str,
        norm: Option<&str>,
    ) -> PyResult<Self> {
        let options = row_options(n_features, value, norm)?;
        let chunks = chunks
            .iter()
            .map(|(hashes, starts, ends)| {
                Ok(HashedChunk {
                    hashes: slice(hashes)?,
                    starts: slice(starts)?,
                    ends: slice(ends)?,
                })
            })
            .collect::<PyResult<Vec<_>>>()?;
        let (chunk_of, row_of) = (slice(&chunk_of)?, slice(&row_of)?);
        let rows = py.detach(|| picked_rows(&chunks, chunk_of, row_of, options))?;
        Ok(Self(rows))
    }

    #[staticmethod]
    fn from_arrays(
        py: Python<'_>,
        indptr: PyReadonlyArray1<'_, i64>,
        indices: PyReadonlyArray1<'_, u32>,
        values: PyReadonlyArray1<'_, f32>,
    ) -> PyResult<Self> {
        // Copied first: another thread may write to the caller's arrays while they are checked.
        let indptr: Vec<i64> = indptr.as_array().to_vec();
        let (indices, values) = (indices.as_array().to_vec(), values.as_array().to_vec());
        py.detach(|| {
            let ends = indptr.into_iter().map(usize::try_from);
            let ends = ends
                .collect::<Result<_, _>>()
                .map_err(|_| "indptr must not be negative".to_owned())?;
            Rows::from_parts(ends, indices, values).map_err(Into::into)
        })
        .map(Self)
        .map_err(PyValueError::new_err::<String>)
    }

    fn arrays<'py>(&self, py: Python<'py>) -> Arrays<'py> {
        let indptr = self.0.indptr.iter().map(|&start| start as i64).collect();
        (
            PyArray1::from_vec(py, indptr),
            PyArray1::from_slice(py, &self.0.indices),
            PyArray1::from_slice(py, &self.0.values),
        )
    }

    /// For pickle: rows travel between processes as their arrays.
    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<(Bound<'py, PyAny>, Arrays<'py>)> {
        let make = slf.get_type().getattr("from_arrays")?;
        Ok((make, slf.get().arrays(slf.py())))
    }

    fn take(&self, py: Python<'_>, order: PyReadonlyArray1<'_, u32>) -> PyResult<Self> {
        let order: Vec<u32> = order.as_array().to_vec();
        py.detach(|| self.0.take(&order))
            .map(Self)
            .ok_or_else(|| PyValueError::new_err(format!("a row is not below {}", self.0.len())))
    }

    fn weighted(
        &self,
        py: Python<'_>,
        weights: PyReadonlyArray1<'_, f32>,
        norm: Option<&str>,
    ) -> PyResult<Self> {
        let norm = norm_of(norm)?;
        // In place: a copy for each call would take longer than the call.
        let weights = weights.as_slice()?;
        py.detach(|| self.0.weighted(weights, norm))
            .map(Self)
            .map_err(PyValueError::new_err)
    }

    fn mapped(
        &self,
        py: Python<'_>,
        table: &Bound<'_, PyFeatureTable>,
        norm: Option<&str>,
    ) -> PyResult<Self> {
        let (table, norm) = (&table.get().0, norm_of(norm)?);
        py.detach(|| self.0.mapped(table, norm))
            .map(Self)
            .map_err(PyValueError::new_err)
    }

    fn __len__(&self) -> usize {
        self.0.len()
    }

    #[getter]
    fn nbytes(&self) -> usize {
        size_of_val(&self.0.indptr[..])
            + size_of_val(&self.0.indices[..])
            + size_of_val(&self.0.values[..])
    }
}

pub(super) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<PyRows>()
}
