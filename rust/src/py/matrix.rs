//! `MatrixBuilder` for Python: documents in, the arrays of scikit-learn's matrix out.
//!
//! ```text
//! each thread:  work(source)
//!     for each block that is left, about 256 KB of text:
//!         its documents              columns: read in place; str: in place where they are ASCII
//!         hashed, made rows          (text/, rows/csr_rows.rs)
//!         placed                     (rows/placing.rs)
//! finish() → data, indices, indptr, or the error of the first document that has one
//! ```

use super::characters::table;
use super::options::{Dtype, csr_options, dtype_of};
use super::sources::{BLOCK_BYTES, Documents, TextSource, strings};
use super::strings::Text;
use super::text::Hasher;
use crate::rows::{CsrOptions, CsrRows, CsrSink, Float, Placing, Positions};
use crate::text::{self, Form, HashError};
use numpy::{Element, IntoPyArray};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyList, PyTuple};
use std::sync::{Mutex, PoisonError};

pub(super) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<MatrixBuilder>()
}

/// With more tokens than this the positions have 64 bits, as scikit-learn's have.
pub(super) const NARROW_TOKENS: usize = i32::MAX as usize;

/// Blocks that a thread may be ahead of the one that is missing.
const LOOK_AHEAD: usize = 16;

#[pyclass(frozen, module = "manymill._core")]
struct MatrixBuilder {
    hasher: text::Hasher,
    options: CsrOptions,
    alone: bool,
    n_documents: Option<usize>,
    /// Blocks given out, and the documents in them.
    given: Mutex<(usize, usize)>,
    failed: Mutex<Option<(usize, PyErr)>>,
    rows: Typed,
}

enum Typed {
    Float64(Placing<f64>),
    Float32(Placing<f32>),
}

#[pymethods]
impl MatrixBuilder {
    #[new]
    #[pyo3(signature = (hasher, n_features, *, alternate_sign, binary, norm, dtype, n_threads, n_documents = None))]
    #[allow(clippy::too_many_arguments)] // each has a name in Python
    fn new(
        hasher: &Bound<'_, Hasher>,
        n_features: u32,
        alternate_sign: bool,
        binary: bool,
        norm: Option<&str>,
        dtype: &str,
        n_threads: usize,
        n_documents: Option<usize>,
    ) -> PyResult<Self> {
        let look_ahead = LOOK_AHEAD.saturating_mul(n_threads);
        Ok(Self {
            hasher: hasher.get().0.clone(),
            options: csr_options(n_features, alternate_sign, binary, norm)?,
            alone: n_threads <= 1,
            n_documents,
            given: Mutex::default(),
            failed: Mutex::default(),
            rows: match dtype_of(dtype)? {
                Dtype::Float64 => Typed::Float64(Placing::new(look_ahead)),
                Dtype::Float32 => Typed::Float32(Placing::new(look_ahead)),
            },
        })
    }

    fn work(&self, py: Python<'_>, source: &Bound<'_, TextSource>) -> PyResult<bool> {
        match &self.rows {
            Typed::Float64(rows) => self.work_on(py, source.get(), rows),
            Typed::Float32(rows) => self.work_on(py, source.get(), rows),
        }
    }

    fn stop(&self, py: Python<'_>) {
        py.detach(|| match &self.rows {
            Typed::Float64(rows) => rows.end(0),
            Typed::Float32(rows) => rows.end(0),
        });
    }

    fn finish<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        let failed = self.failed.lock();
        if let Some((_, error)) = failed.unwrap_or_else(PoisonError::into_inner).take() {
            return Err(error);
        }
        match &self.rows {
            Typed::Float64(rows) => arrays(py, rows.take()),
            Typed::Float32(rows) => arrays(py, rows.take()),
        }
    }
}

/// A block that was given out: its number, and how many documents come before it.
#[derive(Debug, Clone, Copy)]
struct Block {
    number: usize,
    before: usize,
}

impl MatrixBuilder {
    /// Works on what is left of a source; false if it is over before its end.
    fn work_on<T: Float + Send>(
        &self,
        py: Python<'_>,
        source: &TextSource,
        rows: &Placing<T>,
    ) -> PyResult<bool> {
        match &source.documents {
            Documents::Columns(columns) => {
                let borrowed = TextSource::borrow(columns, py);
                let columns = borrowed.iter().map(|column| column.column());
                let columns = columns.collect::<PyResult<Vec<_>>>()?;
                py.detach(|| self.columns(source, &columns, rows))
            }
            Documents::Objects(items, decoded) => {
                self.objects(source, items.bind(py), decoded.bind(py), rows)
            }
        }
    }

    fn columns<T: Float>(
        &self,
        source: &TextSource,
        columns: &[text::Column<'_>],
        rows: &Placing<T>,
    ) -> PyResult<bool> {
        loop {
            if self.alone {
                Python::attach(|py| py.check_signals())?;
            }
            let mut place = source.place_detached();
            while columns
                .get(place.chunk)
                .is_some_and(|column| column.len() <= place.row)
            {
                place.chunk += 1;
                place.row = 0;
            }
            let (chunk, start) = (place.chunk, place.row);
            let Some(column) = columns.get(chunk) else {
                return Ok(true);
            };
            let end = column.block(start, BLOCK_BYTES);
            place.row = end;
            let block = self.give(end - start);
            drop(place);
            let documents = column.documents(chunk as u32, start..end);
            if !self.hash(block, rows, Form::Utf8, documents) {
                return Ok(false);
            }
        }
    }

    fn objects<T: Float + Send>(
        &self,
        source: &TextSource,
        items: &Bound<'_, PyList>,
        decoded: &Bound<'_, PyAny>,
        rows: &Placing<T>,
    ) -> PyResult<bool> {
        let py = items.py();
        loop {
            if self.alone {
                py.check_signals()?;
            }
            let mut place = source.place(py);
            let (strings, error) = strings(items, decoded, &mut place.row);
            if strings.is_empty() && error.is_none() {
                return Ok(true);
            }
            let block = self.give(strings.len());
            drop(place);
            let texts = strings.iter().map(Text::new).collect::<PyResult<Vec<_>>>();
            let hashed = texts.map(|texts| {
                let documents = texts.iter().map(|text| Ok(text.bytes()));
                py.detach(|| self.hash(block, rows, Form::Str, documents))
            });
            let error = match (hashed, error) {
                (Ok(true), None) => continue,
                (Ok(false), _) => return Ok(false),
                (Err(error), _) => error,
                (Ok(true), Some(error)) => {
                    let note = format!("document {}", block.before + strings.len());
                    error
                        .value(py)
                        .call_method1(intern!(py, "add_note"), (note,))?;
                    error
                }
            };
            py.detach(|| self.fail(block.number, error, rows));
            return Ok(false);
        }
    }

    /// The number of the next block, which has so many documents. For the one who holds the source's place.
    fn give(&self, documents: usize) -> Block {
        let mut given = self.given.lock().unwrap_or_else(PoisonError::into_inner);
        let block = Block {
            number: given.0,
            before: given.1,
        };
        *given = (given.0 + 1, given.1 + documents);
        block
    }

    /// Makes the rows of a block; false if it is over.
    fn hash<'a, T: Float>(
        &self,
        block: Block,
        rows: &Placing<T>,
        form: Form,
        documents: impl ExactSizeIterator<Item = Result<&'a [u8], HashError>>,
    ) -> bool {
        let result = if self.alone {
            rows.alone(|mut all| {
                // Twice the room that such documents took so far.
                let likely = 2 * all.data.len() / all.ends.len().max(1) * documents.len();
                if all
                    .make_room(likely, documents.len(), self.n_documents)
                    .is_err()
                {
                    return (all, Err(HashError::Memory));
                }
                self.append(all, form, documents)
            })
        } else {
            if !rows.admit(block.number) {
                return false;
            }
            let (made, result) = self.append(rows.spare(), form, documents);
            result.and_then(|()| {
                rows.place(block.number, made, self.n_documents)
                    .map_err(|_| HashError::Memory)
            })
        };
        match result {
            Ok(()) => true,
            Err(error) => {
                self.fail(block.number, error.after(block.before).into(), rows);
                false
            }
        }
    }

    /// Appends the rows of a block to others.
    fn append<'a, T: Float>(
        &self,
        rows: CsrRows<T>,
        form: Form,
        documents: impl Iterator<Item = Result<&'a [u8], HashError>>,
    ) -> (CsrRows<T>, Result<(), HashError>) {
        let mut sink = CsrSink::new(self.options, rows);
        let result = self.hasher.hash_into(&mut sink, form, documents, table);
        (sink.rows, result)
    }

    /// Keeps the error if no block before this one has one.
    fn fail<T: Float>(&self, number: usize, error: PyErr, rows: &Placing<T>) {
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        if failed.as_ref().is_none_or(|(first, _)| number < *first) {
            *failed = Some((number, error));
        }
        drop(failed);
        rows.end(number);
    }
}

/// The arrays of a matrix; no copy is made of values and features.
pub(super) fn arrays<T: Float + Element>(
    py: Python<'_>,
    rows: CsrRows<T>,
) -> PyResult<Bound<'_, PyTuple>> {
    let (data, positions) = py.detach(|| rows.finish(NARROW_TOKENS));
    let data = data.into_pyarray(py);
    match positions {
        Positions::Narrow(indices, indptr) => {
            (data, indices.into_pyarray(py), indptr.into_pyarray(py)).into_pyobject(py)
        }
        Positions::Wide(indices, indptr) => {
            (data, indices.into_pyarray(py), indptr.into_pyarray(py)).into_pyobject(py)
        }
    }
}
