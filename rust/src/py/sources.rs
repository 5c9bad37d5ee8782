//! Where the documents of a matrix come from, taken block by block by any number of threads.

use super::columns::{Borrowed, TextColumn};
use super::options::value_error;
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyIterator, PyList, PyString};
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};

pub(super) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<TextSource>()?;
    module.add_function(wrap_pyfunction!(take_items, module)?)
}

/// Text of a block: what is made of it stays in the second-level cache.
pub(super) const BLOCK_BYTES: usize = 256 << 10;

/// Columns, or a list of Python's objects; each document is given once.
#[pyclass(frozen, module = "manymill._core")]
pub(super) struct TextSource {
    pub(super) documents: Documents,
    place: Mutex<Place>,
}

pub(super) enum Documents {
    Columns(Vec<Py<TextColumn>>),
    Objects(Py<PyList>, Py<PyAny>),
}

/// Where the next block starts: a chunk and a row of it, or an item.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Place {
    pub(super) chunk: usize,
    pub(super) row: usize,
}

#[pymethods]
impl TextSource {
    #[staticmethod]
    fn of_columns(columns: Vec<Py<TextColumn>>) -> PyResult<Self> {
        u32::try_from(columns.len()).map_err(|_| value_error("there are more than 2^32 chunks"))?;
        Ok(Self::new(Documents::Columns(columns)))
    }

    #[staticmethod]
    fn of_items(items: Py<PyList>, decoded: Py<PyAny>) -> Self {
        Self::new(Documents::Objects(items, decoded))
    }
}

impl TextSource {
    fn new(documents: Documents) -> Self {
        Self {
            documents,
            place: Mutex::default(),
        }
    }

    /// The place of the next block, for one thread at a time. To wait for it with Python in one's hands would be a
    /// deadlock: who has it may be waiting for Python.
    pub(super) fn place(&self, py: Python<'_>) -> MutexGuard<'_, Place> {
        loop {
            match self.place.try_lock() {
                Ok(place) => return place,
                Err(TryLockError::Poisoned(place)) => return place.into_inner(),
                Err(TryLockError::WouldBlock) => {
                    py.detach(|| drop(self.place_detached()));
                }
            }
        }
    }

    /// The same for a thread that is not attached to Python.
    pub(super) fn place_detached(&self) -> MutexGuard<'_, Place> {
        self.place.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn borrow<'py>(columns: &[Py<TextColumn>], py: Python<'py>) -> Vec<Borrowed<'py>> {
        columns
            .iter()
            .map(|column| column.get().borrow(py))
            .collect()
    }
}

/// The next items of a list as strings, about [`BLOCK_BYTES`] of them; and the error at the item behind them.
pub(super) fn strings<'py>(
    items: &Bound<'py, PyList>,
    decoded: &Bound<'py, PyAny>,
    next: &mut usize,
) -> (Vec<Bound<'py, PyString>>, Option<PyErr>) {
    let (mut strings, mut taken) = (Vec::new(), 0);
    while taken < BLOCK_BYTES {
        // The list may be shorter by now than it was: what is not there any more is not asked for.
        let Ok(item) = items.get_item(*next) else {
            break;
        };
        *next += 1;
        let string = item
            .cast_into_exact::<PyString>()
            .or_else(|error| string(decoded, error.into_inner()));
        match string {
            Ok(string) => {
                taken += string.code_point_len().unwrap_or(0).max(8);
                strings.push(string);
            }
            Err(error) => return (strings, Some(error)),
        }
    }
    (strings, None)
}

/// What the caller makes of an item that is no plain `str`.
fn string<'py>(
    decoded: &Bound<'py, PyAny>,
    item: Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyString>> {
    decoded.call1((item,))?.cast_into().map_err(|error| {
        let found = error.into_inner().get_type();
        PyTypeError::new_err(format!("a document was decoded to {found}, not to str"))
    })
}

/// The next items of an iterator, about so many bytes of text, and its error if it failed.
#[pyfunction]
fn take_items<'py>(
    iterator: &Bound<'py, PyIterator>,
    most_bytes: usize,
) -> PyResult<(Bound<'py, PyList>, Option<PyErr>)> {
    let py = iterator.py();
    let (items, mut taken) = (PyList::empty(py), 0usize);
    let mut iterator = iterator.clone();
    while taken < most_bytes {
        match iterator.next() {
            None => break,
            Some(Err(error)) => return Ok((items, Some(error))),
            Some(Ok(item)) => {
                // What has no length is an error later on.
                taken = taken.saturating_add(item.len().unwrap_or(0).max(64));
                items.append(item)?;
            }
        }
    }
    Ok((items, None))
}
