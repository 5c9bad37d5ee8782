//! Rows of a matrix as lines of the SVMlight format, for Python.

use super::columns::slice;
use super::options::value_error;
use crate::rows;
use numpy::PyReadonlyArray1;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

pub(super) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(svmlight_lines, module)?)
}

/// The values of either type.
#[derive(FromPyObject)]
enum Values<'py> {
    Float64(PyReadonlyArray1<'py, f64>),
    Float32(PyReadonlyArray1<'py, f32>),
}

#[pyfunction]
fn svmlight_lines<'py>(
    py: Python<'py>,
    data: Values<'py>,
    indices: PyReadonlyArray1<'py, i32>,
    indptr: PyReadonlyArray1<'py, i64>,
    labels: PyReadonlyArray1<'py, i64>,
) -> PyResult<Bound<'py, PyBytes>> {
    let (indices, indptr, labels) = (slice(&indices)?, slice(&indptr)?, slice(&labels)?);
    let lines = match &data {
        Values::Float64(data) => {
            let data = slice(data)?;
            py.detach(|| rows::svmlight_lines(data, indices, indptr, labels))
        }
        Values::Float32(data) => {
            let data = slice(data)?;
            py.detach(|| rows::svmlight_lines(data, indices, indptr, labels))
        }
    };
    Ok(PyBytes::new(py, lines.map_err(value_error)?.as_bytes()))
}
