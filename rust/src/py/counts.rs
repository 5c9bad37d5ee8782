//! Rows to counts and sums by feature.

use super::access::{alone, matrix, shared, size};
use super::feature_table::PyFeatureTable;
use super::learn::turned;
use super::options::table_kind;
use super::rows::PyRows;
use crate::learn::{FeatureCounts, FeatureSums, LearnError, SparseCounts, SparseSums};
use numpy::{PyArray1, PyArray2, PyReadonlyArray1, PyReadonlyArray2, PyUntypedArrayMethods};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

/// In how many rows each feature is.
#[pyclass(name = "FeatureCounts", module = "manymill._core")]
struct PyFeatureCounts(FeatureCounts);

/// Sums of the values of each feature, by class.
#[pyclass(name = "FeatureSums", module = "manymill._core")]
struct PyFeatureSums(FeatureSums);

type CountArrays<'py> = (
    Bound<'py, PyArray1<u32>>,
    Bound<'py, PyArray1<u32>>,
    Bound<'py, PyArray1<u32>>,
    Bound<'py, PyArray1<u64>>,
    Bound<'py, PyArray1<u64>>,
);

type CountReduced<'py> = (
    Bound<'py, PyAny>,
    (
        usize,
        Bound<'py, PyArray1<u32>>,
        Bound<'py, PyArray1<u32>>,
        Bound<'py, PyArray1<u32>>,
        Bound<'py, PyArray1<u64>>,
        Bound<'py, PyArray1<u64>>,
        bool,
    ),
);

type SumArrays<'py> = (
    Bound<'py, PyArray1<u32>>,
    Bound<'py, PyArray2<u64>>,
    Bound<'py, PyArray1<u64>>,
    u64,
);

/// A call on rows with classes and weights, copied: another thread may write to the caller's arrays meanwhile.
fn add(
    py: Python<'_>,
    classes: &PyReadonlyArray1<'_, i32>,
    weights: Option<&PyReadonlyArray1<'_, f32>>,
    add: impl Send + FnOnce(&[i32], Option<&[f32]>) -> Result<(), LearnError>,
) -> PyResult<()> {
    let classes = classes.as_array().to_vec();
    let weights = weights.map(|weights| weights.as_array().to_vec());
    py.detach(|| add(&classes, weights.as_deref()))
        .map_err(turned)
}

/// The numbers of a matrix with so many rows.
fn numbers<T: numpy::Element + Copy>(
    matrix: &PyReadonlyArray2<'_, T>,
    n_rows: usize,
    n_columns: usize,
) -> PyResult<Vec<T>> {
    if matrix.shape() != [n_rows, n_columns] {
        return Err(PyValueError::new_err(format!(
            "the numbers are of shape {:?}, not ({n_rows}, {n_columns})",
            matrix.shape()
        )));
    }
    Ok(matrix.as_array().iter().copied().collect())
}

#[pymethods]
impl PyFeatureCounts {
    #[new]
    #[pyo3(signature = (n_features, n_classes, *, by_class))]
    fn new(py: Python<'_>, n_features: i64, n_classes: i64, by_class: bool) -> PyResult<Self> {
        py.detach(|| FeatureCounts::new(size(n_features), size(n_classes), by_class))
            .map(Self)
            .map_err(turned)
    }

    #[staticmethod]
    #[pyo3(signature = (n_features, features, classes, counts, rows, distinct, by_class))]
    #[allow(clippy::too_many_arguments)] // each has a name in Python
    fn from_arrays(
        py: Python<'_>,
        n_features: i64,
        features: PyReadonlyArray1<'_, u32>,
        classes: PyReadonlyArray1<'_, u32>,
        counts: PyReadonlyArray1<'_, u32>,
        rows: PyReadonlyArray1<'_, u64>,
        distinct: PyReadonlyArray1<'_, u64>,
        by_class: bool,
    ) -> PyResult<Self> {
        let sparse = SparseCounts {
            features: features.as_array().to_vec(),
            classes: classes.as_array().to_vec(),
            counts: counts.as_array().to_vec(),
            rows: rows.as_array().to_vec(),
            distinct: distinct.as_array().to_vec(),
        };
        py.detach(|| FeatureCounts::from_sparse(size(n_features), by_class, &sparse))
            .map(Self)
            .map_err(turned)
    }

    #[pyo3(signature = (rows, classes, weights = None))]
    fn add(
        slf: &Bound<'_, Self>,
        rows: &PyRows,
        classes: PyReadonlyArray1<'_, i32>,
        weights: Option<PyReadonlyArray1<'_, f32>>,
    ) -> PyResult<()> {
        let mut guard = alone(slf)?;
        let counts = &mut guard.0;
        add(slf.py(), &classes, weights.as_ref(), |classes, weights| {
            counts.add(&rows.0, classes, weights)
        })
    }

    fn merge(slf: &Bound<'_, Self>, other: &Bound<'_, Self>) -> PyResult<()> {
        let (mut guard, other) = (alone(slf)?, shared(other)?);
        let (counts, other) = (&mut guard.0, &other.0);
        slf.py().detach(|| counts.merge(other)).map_err(turned)
    }

    fn grow(slf: &Bound<'_, Self>, n_classes: i64) -> PyResult<()> {
        let mut guard = alone(slf)?;
        let counts = &mut guard.0;
        slf.py()
            .detach(|| counts.grow(size(n_classes)))
            .map_err(turned)
    }

    fn to_arrays<'py>(slf: &Bound<'py, Self>) -> PyResult<CountArrays<'py>> {
        let guard = shared(slf)?;
        let (py, counts) = (slf.py(), &guard.0);
        let sparse = py.detach(|| counts.sparse());
        Ok((
            PyArray1::from_vec(py, sparse.features),
            PyArray1::from_vec(py, sparse.classes),
            PyArray1::from_vec(py, sparse.counts),
            PyArray1::from_vec(py, sparse.rows),
            PyArray1::from_vec(py, sparse.distinct),
        ))
    }

    /// For pickle: counts travel between processes as their arrays.
    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<CountReduced<'py>> {
        let (features, classes, counts, rows, distinct) = Self::to_arrays(slf)?;
        let guard = shared(slf)?;
        let (n_features, by_class) = (guard.0.n_features(), guard.0.is_by_class());
        let make = slf.get_type().getattr("from_arrays")?;
        Ok((
            make,
            (
                n_features, features, classes, counts, rows, distinct, by_class,
            ),
        ))
    }

    fn frequencies<'py>(slf: &Bound<'py, Self>, most: u32) -> PyResult<Bound<'py, PyArray1<u64>>> {
        let guard = shared(slf)?;
        let counts = &guard.0;
        let found = slf.py().detach(|| counts.frequencies(most as usize));
        Ok(PyArray1::from_vec(slf.py(), found.map_err(turned)?))
    }

    #[pyo3(signature = (kind, *, min_rows = 1))]
    fn table(slf: &Bound<'_, Self>, kind: &str, min_rows: i64) -> PyResult<PyFeatureTable> {
        let guard = shared(slf)?;
        let (counts, kind) = (&guard.0, table_kind(kind)?);
        slf.py()
            .detach(|| counts.table(kind, size(min_rows)))
            .map(PyFeatureTable)
            .map_err(turned)
    }

    #[getter]
    fn n_features(slf: &Bound<'_, Self>) -> PyResult<usize> {
        Ok(shared(slf)?.0.n_features())
    }

    #[getter]
    fn rows<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyArray1<u64>>> {
        Ok(PyArray1::from_slice(slf.py(), shared(slf)?.0.rows()))
    }

    #[getter]
    fn distinct<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyArray1<u64>>> {
        Ok(PyArray1::from_slice(slf.py(), shared(slf)?.0.distinct()))
    }

    #[getter]
    fn nbytes(slf: &Bound<'_, Self>) -> PyResult<usize> {
        Ok(shared(slf)?.0.nbytes())
    }
}

#[pymethods]
impl PyFeatureSums {
    #[new]
    fn new(py: Python<'_>, n_features: i64, n_classes: i64) -> PyResult<Self> {
        py.detach(|| FeatureSums::new(size(n_features), size(n_classes)))
            .map(Self)
            .map_err(turned)
    }

    #[staticmethod]
    fn from_arrays(
        py: Python<'_>,
        n_features: i64,
        features: PyReadonlyArray1<'_, u32>,
        sums: PyReadonlyArray2<'_, u64>,
        rows: PyReadonlyArray1<'_, u64>,
        bound: u64,
    ) -> PyResult<Self> {
        let sparse = SparseSums {
            features: features.as_array().to_vec(),
            sums: numbers(&sums, features.len(), rows.len())?,
            rows: rows.as_array().to_vec(),
            bound,
        };
        py.detach(|| FeatureSums::from_sparse(size(n_features), &sparse))
            .map(Self)
            .map_err(turned)
    }

    #[pyo3(signature = (rows, classes, weights = None))]
    fn add(
        slf: &Bound<'_, Self>,
        rows: &PyRows,
        classes: PyReadonlyArray1<'_, i32>,
        weights: Option<PyReadonlyArray1<'_, f32>>,
    ) -> PyResult<()> {
        let mut guard = alone(slf)?;
        let sums = &mut guard.0;
        add(slf.py(), &classes, weights.as_ref(), |classes, weights| {
            sums.add(&rows.0, classes, weights)
        })
    }

    fn merge(slf: &Bound<'_, Self>, other: &Bound<'_, Self>) -> PyResult<()> {
        let (mut guard, other) = (alone(slf)?, shared(other)?);
        let (sums, other) = (&mut guard.0, &other.0);
        slf.py().detach(|| sums.merge(other)).map_err(turned)
    }

    fn grow(slf: &Bound<'_, Self>, n_classes: i64) -> PyResult<()> {
        let mut guard = alone(slf)?;
        let sums = &mut guard.0;
        slf.py()
            .detach(|| sums.grow(size(n_classes)))
            .map_err(turned)
    }

    fn to_arrays<'py>(slf: &Bound<'py, Self>) -> PyResult<SumArrays<'py>> {
        let guard = shared(slf)?;
        let (py, sums) = (slf.py(), &guard.0);
        let sparse = py.detach(|| sums.sparse());
        let n_classes = sparse.rows.len();
        Ok((
            PyArray1::from_vec(py, sparse.features),
            matrix(py, sparse.sums, n_classes)?,
            PyArray1::from_vec(py, sparse.rows),
            sparse.bound,
        ))
    }

    #[getter]
    fn n_features(slf: &Bound<'_, Self>) -> PyResult<usize> {
        Ok(shared(slf)?.0.n_features())
    }

    #[getter]
    fn rows<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyArray1<u64>>> {
        Ok(PyArray1::from_slice(slf.py(), shared(slf)?.0.rows()))
    }

    #[getter]
    fn nbytes(slf: &Bound<'_, Self>) -> PyResult<usize> {
        Ok(shared(slf)?.0.nbytes())
    }
}

pub(super) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<PyFeatureCounts>()?;
    module.add_class::<PyFeatureSums>()
}
