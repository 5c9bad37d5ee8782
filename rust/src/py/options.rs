//! What callers choose, checked.

use crate::learn::TableKind;
use crate::rows::{CsrOptions, Norm, RowOptions, Value};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

pub(super) fn value_error(what: impl Into<String>) -> PyErr {
    PyValueError::new_err(what.into())
}

/// The package's own error of memory that is lacking, which is a `MemoryError` as well; after `Hint:` the way out.
pub(super) fn memory_error(message: &str) -> PyErr {
    let (what, hint) = message.split_once(". Hint: ").unwrap_or((message, ""));
    Python::attach(|py| {
        let made = py
            .import("manymill.errors")
            .and_then(|errors| errors.getattr("MemoryLimitError"))
            .and_then(|kind| kind.call1((what, hint)));
        made.map_or_else(|error| error, PyErr::from_value)
    })
}

pub(super) fn row_options(
    n_features: u32,
    value: &str,
    norm: Option<&str>,
) -> PyResult<RowOptions> {
    Ok(RowOptions {
        n_features: features(n_features)?,
        norm: norm_of(norm)?,
        value: match value {
            "count" => Value::Count,
            "log" => Value::Log,
            "binary" => Value::Binary,
            _ => {
                return Err(value_error(format!(
                    "value must be 'count', 'log' or 'binary', got {value:?}"
                )));
            }
        },
    })
}

pub(super) fn features(n_features: u32) -> PyResult<u32> {
    if (1..=1 << 31).contains(&n_features) {
        return Ok(n_features);
    }
    Err(value_error(format!(
        "n_features must be 1 to 2^31, got {n_features}"
    )))
}

pub(super) fn norm_of(norm: Option<&str>) -> PyResult<Option<Norm>> {
    match norm {
        None => Ok(None),
        Some("l1") => Ok(Some(Norm::L1)),
        Some("l2") => Ok(Some(Norm::L2)),
        Some(other) => Err(value_error(format!(
            "norm must be 'l1', 'l2' or None, got {other:?}"
        ))),
    }
}

pub(super) fn csr_options(
    n_features: u32,
    alternate_sign: bool,
    binary: bool,
    norm: Option<&str>,
) -> PyResult<CsrOptions> {
    Ok(CsrOptions {
        n_features: features(n_features)?,
        alternate_sign,
        binary,
        norm: norm_of(norm)?,
    })
}

pub(super) fn table_kind(kind: &str) -> PyResult<TableKind> {
    match kind {
        "nb-idf" => Ok(TableKind::NbIdf),
        "nb" => Ok(TableKind::Nb),
        "idf" => Ok(TableKind::Idf),
        _ => Err(value_error(format!(
            "kind={kind:?} is invalid: expected 'nb-idf', 'nb' or 'idf'"
        ))),
    }
}

/// A type of values by NumPy's name of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dtype {
    Float64,
    Float32,
}

pub(super) fn dtype_of(dtype: &str) -> PyResult<Dtype> {
    match dtype {
        "float64" => Ok(Dtype::Float64),
        "float32" => Ok(Dtype::Float32),
        _ => Err(value_error(format!(
            "dtype must be 'float64' or 'float32', got {dtype:?}"
        ))),
    }
}
