//! What the classes of the boundary share: one call at a time on an object, sizes in, matrices out.

use numpy::{Element, PyArray1, PyArray2, PyArrayMethods};
use pyo3::PyClass;
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::pyclass::boolean_struct::False;

/// The object for a call that changes it.
pub(super) fn alone<'py, T: PyClass<Frozen = False>>(
    object: &Bound<'py, T>,
) -> PyResult<PyRefMut<'py, T>> {
    object.try_borrow_mut().map_err(|_| busy(object.as_any()))
}

/// The object for a call that only reads it.
pub(super) fn shared<'py, T: PyClass>(object: &Bound<'py, T>) -> PyResult<PyRef<'py, T>> {
    object.try_borrow().map_err(|_| busy(object.as_any()))
}

fn busy(object: &Bound<'_, PyAny>) -> PyErr {
    match object.get_type().name() {
        Ok(kind) => PyRuntimeError::new_err(format!(
            "another thread uses this {kind}. Hint: one {kind} serves one call at a time"
        )),
        Err(error) => error,
    }
}

/// A size from outside: what is negative is out of range, as 0 is.
pub(super) fn size(n: i64) -> usize {
    usize::try_from(n).unwrap_or(0)
}

/// Numbers, row after row, as a matrix with so many columns.
pub(super) fn matrix<T: Element>(
    py: Python<'_>,
    numbers: Vec<T>,
    n_columns: usize,
) -> PyResult<Bound<'_, PyArray2<T>>> {
    let n_rows = numbers.len() / n_columns;
    PyArray1::from_vec(py, numbers).reshape([n_rows, n_columns])
}
