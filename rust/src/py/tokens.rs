//! `TokenHasher` for Python.

use super::text::HashedBatch;
use crate::text;
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString};

pub(super) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<TokenHasher>()
}

#[pyclass(module = "manymill._core")]
struct TokenHasher(text::TokenHasher);

#[pymethods]
impl TokenHasher {
    #[new]
    fn new() -> Self {
        Self(text::TokenHasher::default())
    }

    #[pyo3(signature = (tokens, ngram_range = (1, 1)))]
    fn add(&mut self, tokens: &Bound<'_, PyAny>, ngram_range: (usize, usize)) -> PyResult<()> {
        self.0.forget();
        for token in tokens.try_iter()? {
            self.add_one(&token?, ngram_range.1 > 1)?;
        }
        if self.0.end_document(ngram_range.0, ngram_range.1)? {
            tokens.py().detach(|| self.0.hash());
        }
        Ok(())
    }

    fn take(&mut self, py: Python<'_>) -> HashedBatch {
        HashedBatch(py.detach(|| self.0.take()))
    }

    fn __len__(&self) -> usize {
        self.0.len()
    }

    #[getter]
    fn nbytes(&self) -> usize {
        self.0.nbytes()
    }
}

impl TokenHasher {
    /// Adds a token as scikit-learn does: `str` or `bytes`, which are not `joined` to n-grams. The bytes of a `str` are
    /// a copy: those that Python would give without one are kept with the string for as long as it lives.
    fn add_one(&mut self, token: &Bound<'_, PyAny>, joined: bool) -> PyResult<()> {
        if let Ok(token) = token.cast::<PyString>() {
            return Ok(self.0.token(token.encode_utf8()?.as_bytes())?);
        }
        match token.cast::<PyBytes>() {
            Ok(token) if !joined => Ok(self.0.token(token.as_bytes())?),
            _ => Err(PyTypeError::new_err("feature names must be strings")),
        }
    }
}
