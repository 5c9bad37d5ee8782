use numpy::{IntoPyArray, PyArray1, PyReadonlyArray1};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::read::{Columns, csv, fasttext, json, keys, reviews};

pub(super) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Parsed>()?;
    module.add_class::<CsvCutter>()?;
    module.add_function(wrap_pyfunction!(parse_json_lines, module)?)?;
    module.add_function(wrap_pyfunction!(parse_csv, module)?)?;
    module.add_function(wrap_pyfunction!(csv_header, module)?)?;
    module.add_function(wrap_pyfunction!(parse_fasttext, module)?)?;
    module.add_function(wrap_pyfunction!(parse_reviews, module)?)?;
    module.add_function(wrap_pyfunction!(text_keys, module)?)
}

/// What a parser made of a block.
#[pyclass(frozen, get_all)]
struct Parsed {
    data: Py<PyArray1<u8>>,
    offsets: Py<PyArray1<i64>>,
    codes: Py<PyArray1<i32>>,
    classes: Vec<String>,
    weight: Py<PyArray1<f32>>,
    position: Py<PyArray1<i64>>,
    bad: Vec<(i64, &'static str, String)>,
    bad_counts: Vec<(&'static str, u64)>,
    labels_are_integers: bool,
}

impl Parsed {
    fn new(py: Python<'_>, columns: Columns) -> Self {
        let bad = columns
            .bad
            .into_iter()
            .map(|bad| (bad.position, bad.reason.name(), bad.detail));
        let bad_counts = columns
            .bad_counts
            .iter()
            .map(|(reason, count)| (reason.name(), *count));
        Self {
            data: columns.data.into_pyarray(py).unbind(),
            offsets: columns.offsets.into_pyarray(py).unbind(),
            codes: columns.codes.into_pyarray(py).unbind(),
            classes: columns.classes,
            weight: columns.weight.into_pyarray(py).unbind(),
            position: columns.position.into_pyarray(py).unbind(),
            bad: bad.collect(),
            bad_counts: bad_counts.collect(),
            labels_are_integers: columns.labels_are_integers,
        }
    }
}

/// The bytes of a block: read in place, whichever they are.
#[derive(FromPyObject)]
enum Block<'py> {
    Bytes(Bound<'py, PyBytes>),
    Array(PyReadonlyArray1<'py, u8>),
}

impl Block<'_> {
    fn bytes(&self) -> PyResult<&[u8]> {
        match self {
            Self::Bytes(bytes) => Ok(bytes.as_bytes()),
            Self::Array(array) => array
                .as_slice()
                .map_err(|error| PyValueError::new_err(error.to_string())),
        }
    }
}

#[pyfunction]
#[pyo3(signature = (block, position, max_record_bytes, *, text, label=None, weight=None))]
fn parse_json_lines(
    py: Python<'_>,
    block: Block<'_>,
    position: i64,
    max_record_bytes: usize,
    text: String,
    label: Option<String>,
    weight: Option<String>,
) -> PyResult<Parsed> {
    let bytes = block.bytes()?;
    let wanted = json::Wanted {
        text,
        label,
        weight,
    };
    Ok(Parsed::new(
        py,
        py.detach(|| json::parse(bytes, position, max_record_bytes, &wanted)),
    ))
}

#[pyfunction]
#[allow(clippy::too_many_arguments)] // each is a keyword in Python
#[pyo3(signature = (block, position, max_record_bytes, *, delimiter, n_columns, text, label=None, weight=None))]
fn parse_csv(
    py: Python<'_>,
    block: Block<'_>,
    position: i64,
    max_record_bytes: usize,
    delimiter: u8,
    n_columns: usize,
    text: usize,
    label: Option<usize>,
    weight: Option<usize>,
) -> PyResult<Parsed> {
    let bytes = block.bytes()?;
    if [Some(text), label, weight]
        .into_iter()
        .flatten()
        .any(|column| column >= n_columns)
    {
        return Err(PyValueError::new_err(format!(
            "a column is not below {n_columns}"
        )));
    }
    let wanted = csv::Wanted {
        text,
        label,
        weight,
        n_columns,
        max_record_bytes,
    };
    Ok(Parsed::new(
        py,
        py.detach(|| csv::parse(bytes, position, delimiter, wanted)),
    ))
}

#[pyfunction]
#[pyo3(signature = (block, *, delimiter))]
fn csv_header<'py>(block: &Bound<'py, PyBytes>, delimiter: u8) -> Vec<Bound<'py, PyBytes>> {
    let fields = csv::first_record(block.as_bytes(), delimiter);
    fields
        .iter()
        .map(|field| PyBytes::new(block.py(), field))
        .collect()
}

#[pyfunction]
#[pyo3(signature = (block, position, max_record_bytes, *, labelled))]
fn parse_fasttext(
    py: Python<'_>,
    block: Block<'_>,
    position: i64,
    max_record_bytes: usize,
    labelled: bool,
) -> PyResult<Parsed> {
    let bytes = block.bytes()?;
    Ok(Parsed::new(
        py,
        py.detach(|| fasttext::parse(bytes, position, max_record_bytes, labelled)),
    ))
}

#[pyfunction]
#[pyo3(signature = (block, position, max_record_bytes, *, labelled))]
fn parse_reviews(
    py: Python<'_>,
    block: Block<'_>,
    position: i64,
    max_record_bytes: usize,
    labelled: bool,
) -> PyResult<Parsed> {
    let bytes = block.bytes()?;
    Ok(Parsed::new(
        py,
        py.detach(|| reviews::parse(bytes, position, max_record_bytes, labelled)),
    ))
}

/// Finds the record ends of a CSV stream that arrives in pieces.
#[pyclass]
struct CsvCutter(csv::Cutter);

#[pymethods]
impl CsvCutter {
    #[new]
    #[pyo3(signature = (*, delimiter))]
    fn new(delimiter: u8) -> Self {
        Self(csv::Cutter::new(delimiter))
    }

    fn feed(&mut self, piece: &Bound<'_, PyBytes>) -> Option<(usize, usize)> {
        let bytes = piece.as_bytes();
        let cutter = &mut self.0;
        piece.py().detach(|| cutter.feed(bytes))
    }

    #[getter]
    fn in_quotes(&self) -> bool {
        self.0.in_quotes()
    }
}

#[pyfunction]
#[pyo3(signature = (data, offsets, *, seed))]
fn text_keys<'py>(
    py: Python<'py>,
    data: PyReadonlyArray1<'py, u8>,
    offsets: PyReadonlyArray1<'py, i64>,
    seed: u64,
) -> PyResult<Bound<'py, PyArray1<u64>>> {
    let data = data
        .as_slice()
        .map_err(|error| PyValueError::new_err(error.to_string()))?;
    let offsets = offsets
        .as_slice()
        .map_err(|error| PyValueError::new_err(error.to_string()))?;
    let keys = py.detach(|| keys::text_keys(data, offsets, seed));
    Ok(keys
        .ok_or_else(|| PyValueError::new_err("an offset lies outside"))?
        .into_pyarray(py))
}
