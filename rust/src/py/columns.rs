//! Columns of text in Arrow's layouts, whose memory NumPy arrays hold.

use super::options::value_error;
use crate::text::Column;
use numpy::{Element, PyArray1, PyArrayMethods, PyReadonlyArray1};
use pyo3::prelude::*;

pub(super) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<TextColumn>()
}

/// The bytes and the offsets of a column of text.
pub(super) type ArrowColumn<'py> = (PyReadonlyArray1<'py, u8>, PyReadonlyArray1<'py, i64>);

pub(super) fn columns<'a>(chunks: &'a [ArrowColumn<'_>]) -> PyResult<Vec<Column<'a>>> {
    let columns = chunks
        .iter()
        .map(|(data, offsets)| Ok(Column::Offsets64(slice(data)?, slice(offsets)?)));
    columns.collect()
}

/// The elements of an array, which must lie side by side.
pub(super) fn slice<'a, T: Element>(array: &'a PyReadonlyArray1<'_, T>) -> PyResult<&'a [T]> {
    array
        .as_slice()
        .map_err(|_| value_error("arrays must be contiguous"))
}

type Bytes = Py<PyArray1<u8>>;

/// A column of text, whose arrays are kept.
#[pyclass(frozen, module = "manymill._core")]
pub(super) struct TextColumn(Layout);

enum Layout {
    Offsets32(Bytes, Py<PyArray1<i32>>),
    Offsets64(Bytes, Py<PyArray1<i64>>),
    Views(Bytes, Vec<Bytes>),
    Taken(Py<PyArray1<u32>>, Py<TextColumn>),
}

#[pymethods]
impl TextColumn {
    #[staticmethod]
    fn with_offsets(data: Bytes, offsets: Offsets) -> Self {
        Self(match offsets {
            Offsets::Narrow(offsets) => Layout::Offsets32(data, offsets),
            Offsets::Wide(offsets) => Layout::Offsets64(data, offsets),
        })
    }

    #[staticmethod]
    fn of_views(views: Bytes, buffers: Vec<Bytes>) -> Self {
        Self(Layout::Views(views, buffers))
    }

    fn taken(column: Py<Self>, rows: Py<PyArray1<u32>>) -> Self {
        Self(Layout::Taken(rows, column))
    }

    fn __len__(&self, py: Python<'_>) -> PyResult<usize> {
        Ok(self.borrow(py).column()?.len())
    }
}

#[derive(FromPyObject)]
enum Offsets {
    Narrow(Py<PyArray1<i32>>),
    Wide(Py<PyArray1<i64>>),
}

impl TextColumn {
    /// The column's arrays, borrowed for reading.
    pub(super) fn borrow<'py>(&self, py: Python<'py>) -> Borrowed<'py> {
        match &self.0 {
            Layout::Offsets32(data, offsets) => {
                Borrowed::Offsets32(data.bind(py).readonly(), offsets.bind(py).readonly())
            }
            Layout::Offsets64(data, offsets) => {
                Borrowed::Offsets64(data.bind(py).readonly(), offsets.bind(py).readonly())
            }
            Layout::Views(views, buffers) => {
                let buffers = buffers.iter().map(|buffer| buffer.bind(py).readonly());
                Borrowed::Views(views.bind(py).readonly(), buffers.collect())
            }
            Layout::Taken(rows, of) => {
                Borrowed::Taken(rows.bind(py).readonly(), Box::new(of.get().borrow(py)))
            }
        }
    }
}

/// The arrays of a column while they are read.
pub(super) enum Borrowed<'py> {
    Offsets32(PyReadonlyArray1<'py, u8>, PyReadonlyArray1<'py, i32>),
    Offsets64(PyReadonlyArray1<'py, u8>, PyReadonlyArray1<'py, i64>),
    Views(PyReadonlyArray1<'py, u8>, Vec<PyReadonlyArray1<'py, u8>>),
    Taken(PyReadonlyArray1<'py, u32>, Box<Borrowed<'py>>),
}

impl Borrowed<'_> {
    /// The column as the core reads it.
    pub(super) fn column(&self) -> PyResult<Column<'_>> {
        Ok(match self {
            Self::Offsets32(data, offsets) => Column::Offsets32(slice(data)?, slice(offsets)?),
            Self::Offsets64(data, offsets) => Column::Offsets64(slice(data)?, slice(offsets)?),
            Self::Views(views, buffers) => {
                let buffers = buffers.iter().map(slice).collect::<PyResult<_>>()?;
                Column::Views(slice(views)?, buffers)
            }
            Self::Taken(rows, of) => Column::Taken(slice(rows)?, Box::new(of.column()?)),
        })
    }
}
