//! The table of characters of the running Python.

use crate::text::{HashError, Table};
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use std::sync::OnceLock;

static TABLE: OnceLock<Table> = OnceLock::new();

/// The characters of the running Python, from the crate or asked of the interpreter.
pub(super) fn table() -> Result<&'static Table, HashError> {
    match TABLE.get() {
        Some(table) => Ok(table),
        // Two threads may read it at once: the first one's stays, and neither waits for the other inside Python.
        None => {
            let read = Python::attach(read_table)?;
            Ok(TABLE.get_or_init(|| read))
        }
    }
}

fn read_table(py: Python<'_>) -> Result<Table, HashError> {
    let failed = |error: PyErr| HashError::Table(error.to_string());
    let version = py
        .import("unicodedata")
        .and_then(|module| module.getattr("unidata_version"));
    let version: String = version
        .and_then(|version| version.extract())
        .map_err(failed)?;
    if let Some(file) = Table::file(&version) {
        return Table::decode(file);
    }
    let probe = py
        .import("manymill.text.characters")
        .and_then(|module| module.call_method0("character_table"));
    let bytes: PyBackedBytes = probe
        .and_then(|bytes| bytes.extract().map_err(Into::into))
        .map_err(failed)?;
    Table::decode(&bytes)
}
