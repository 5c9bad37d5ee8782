//! `Hasher`, `HashedBatch` and `Rows` for Python.

use super::characters::table;
use super::columns::{ArrowColumn, columns, slice};
use super::matrix::arrays;
use super::options::{Dtype, csr_options, dtype_of, memory_error, row_options, value_error};
use super::rows::PyRows;
use super::strings::Text;
use crate::kernels::Within;
use crate::rows::{self, CsrOptions, Float, RowWriter};
use crate::text::{
    self, Analyzer, Form, HashError, Sizes, StopWords, TokenRule, WordGrams, count_unspaced, pick,
};
use numpy::{Element, PyArray1, PyReadonlyArray1};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList, PyString, PyTuple};

pub(super) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Hasher>()?;
    module.add_class::<HashedBatch>()?;
    module.add_function(wrap_pyfunction!(unspaced_characters, module)?)
}

impl From<HashError> for PyErr {
    fn from(error: HashError) -> Self {
        match &error {
            HashError::Surrogate(gram) => encode_error(gram),
            HashError::Memory => memory_error(&error.to_string()),
            _ => PyValueError::new_err(error.to_string()),
        }
    }
}

/// The error that Python raises where it encodes this n-gram.
fn encode_error(gram: &[u8]) -> PyErr {
    Python::attach(|py| {
        let encoded = PyBytes::new(py, gram)
            .call_method1(intern!(py, "decode"), ("utf-8", "surrogatepass"))
            .and_then(|gram| gram.call_method1(intern!(py, "encode"), ("utf-8",)));
        encoded.map_or_else(|error| error, |_| value_error("an n-gram has no UTF-8"))
    })
}

#[pyclass(frozen, module = "manymill._core")]
pub(super) struct Hasher(pub(super) text::Hasher);

#[pymethods]
impl Hasher {
    #[new]
    #[pyo3(signature = (*, analyzer = "word", ngram_range = (1, 1), lowercase = true, stop_words = Vec::new()))]
    fn new(
        analyzer: &str,
        ngram_range: (usize, usize),
        lowercase: bool,
        stop_words: Vec<Bound<'_, PyString>>,
    ) -> PyResult<Self> {
        let sizes = Sizes::new(ngram_range.0, ngram_range.1)?;
        let analyzer = match analyzer {
            "word" => Analyzer::words(stop_words_of(&stop_words), sizes),
            _ => match within_of(analyzer) {
                Some(within) => Analyzer::characters(within, sizes),
                None => {
                    return Err(value_error(format!(
                        "analyzer must be 'word', 'char' or 'char_wb', got {analyzer:?}"
                    )));
                }
            },
        };
        Ok(Self(text::Hasher::new(analyzer, lowercase)))
    }

    #[staticmethod]
    #[pyo3(signature = (
        *, ngram_range, char_ngram_range, char_analyzer = "char_wb", token_rule = "unicode", lowercase = true,
        stop_words = Vec::new(),
    ))]
    fn of_features(
        ngram_range: Option<(usize, usize)>,
        char_ngram_range: Option<(usize, usize)>,
        char_analyzer: &str,
        token_rule: &str,
        lowercase: bool,
        stop_words: Vec<Bound<'_, PyString>>,
    ) -> PyResult<Self> {
        let sizes = |range: Option<(usize, usize)>| {
            range
                .map(|(least, greatest)| Sizes::new(least, greatest))
                .transpose()
        };
        let within = within_of(char_analyzer).ok_or_else(|| {
            value_error(format!(
                "char_analyzer must be 'char' or 'char_wb', got {char_analyzer:?}"
            ))
        })?;
        let rule = match token_rule {
            "unicode" => TokenRule::Unicode,
            "scikit-learn" => TokenRule::TwoOrMore,
            _ => {
                return Err(value_error(format!(
                    "token_rule must be 'unicode' or 'scikit-learn', got {token_rule:?}"
                )));
            }
        };
        let words = sizes(ngram_range)?.map(|sizes| WordGrams {
            rule,
            stop_words: stop_words_of(&stop_words),
            sizes,
        });
        let characters = sizes(char_ngram_range)?.map(|sizes| (within, sizes));
        if words.is_none() && characters.is_none() {
            return Err(value_error(
                "ngram_range and char_ngram_range must not both be None",
            ));
        }
        let analyzer = Analyzer::of_learner(words, characters);
        Ok(Self(text::Hasher::new(analyzer, lowercase)))
    }

    fn hash_strings(&self, py: Python<'_>, documents: &Bound<'_, PyList>) -> PyResult<HashedBatch> {
        let strings = documents
            .iter()
            .enumerate()
            .map(|(i, item)| string(i, item))
            .collect::<PyResult<Vec<_>>>()?;
        let texts = strings
            .iter()
            .map(Text::new)
            .collect::<PyResult<Vec<_>>>()?;
        py.detach(|| {
            Ok(HashedBatch(self.0.hash(
                Form::Str,
                texts.iter().map(|text| Ok(text.bytes())),
                table,
            )?))
        })
    }

    fn hash_utf8(
        &self,
        py: Python<'_>,
        chunks: Vec<ArrowColumn<'_>>,
        chunk_of: PyReadonlyArray1<'_, u32>,
        row_of: PyReadonlyArray1<'_, u32>,
    ) -> PyResult<HashedBatch> {
        let columns = columns(&chunks)?;
        let (chunk_of, row_of) = (slice(&chunk_of)?, slice(&row_of)?);
        py.detach(|| {
            Ok(HashedBatch(self.0.hash(
                Form::Utf8,
                pick(&columns, chunk_of, row_of)?,
                table,
            )?))
        })
    }

    #[pyo3(signature = (chunks, chunk_of, row_of, n_features, *, value, norm))]
    #[allow(clippy::too_many_arguments)] // each has a name in Python
    fn rows_utf8(
        &self,
        py: Python<'_>,
        chunks: Vec<ArrowColumn<'_>>,
        chunk_of: PyReadonlyArray1<'_, u32>,
        row_of: PyReadonlyArray1<'_, u32>,
        n_features: u32,
        value: &str,
        norm: Option<&str>,
    ) -> PyResult<PyRows> {
        let options = row_options(n_features, value, norm)?;
        let columns = columns(&chunks)?;
        let (chunk_of, row_of) = (slice(&chunk_of)?, slice(&row_of)?);
        py.detach(|| {
            let documents = pick(&columns, chunk_of, row_of)?;
            let mut writer = RowWriter::new(options, documents.len());
            self.0
                .hash_into(&mut writer, Form::Utf8, documents, table)?;
            Ok(PyRows(writer.finish()))
        })
    }
}

/// What the n-grams of an analyzer of characters do not cross.
fn within_of(analyzer: &str) -> Option<Within> {
    match analyzer {
        "char" => Some(Within::Text),
        "char_wb" => Some(Within::Words),
        _ => None,
    }
}

#[pyfunction]
fn unspaced_characters(
    py: Python<'_>,
    chunks: Vec<ArrowColumn<'_>>,
    chunk_of: PyReadonlyArray1<'_, u32>,
    row_of: PyReadonlyArray1<'_, u32>,
) -> PyResult<(u64, u64)> {
    let columns = columns(&chunks)?;
    let (chunk_of, row_of) = (slice(&chunk_of)?, slice(&row_of)?);
    py.detach(|| {
        let table = table()?;
        let (mut unspaced, mut all) = (0, 0);
        for document in pick(&columns, chunk_of, row_of)? {
            let here = count_unspaced(document?, table);
            unspaced += here[0];
            all += here[1];
        }
        Ok((unspaced, all))
    })
}

/// Words with lone surrogates are left out: surrogates separate words, so that no word has one.
fn stop_words_of(words: &[Bound<'_, PyString>]) -> StopWords {
    StopWords::new(
        words
            .iter()
            .filter_map(|word| word.to_str().ok())
            .map(str::as_bytes),
    )
}

fn string<'py>(i: usize, item: Bound<'py, PyAny>) -> PyResult<Bound<'py, PyString>> {
    item.cast_into().map_err(|error| {
        let found = error.into_inner().get_type();
        PyTypeError::new_err(format!("document {i} is no str but {found}"))
    })
}

#[pyclass(frozen, module = "manymill._core")]
pub(super) struct HashedBatch(pub(super) text::HashedBatch);

#[pymethods]
impl HashedBatch {
    #[staticmethod]
    fn from_arrays(
        hashes: PyReadonlyArray1<'_, u32>,
        indptr: PyReadonlyArray1<'_, i64>,
    ) -> PyResult<Self> {
        let hashes = hashes.as_array().to_vec();
        Ok(Self(text::HashedBatch::from_parts(
            hashes,
            positions(&indptr)?,
        )?))
    }

    fn hashes<'py>(&self, py: Python<'py>) -> Bound<'py, PyArray1<u32>> {
        PyArray1::from_slice(py, self.0.hashes())
    }

    fn indptr<'py>(&self, py: Python<'py>) -> Bound<'py, PyArray1<i64>> {
        PyArray1::from_iter(py, self.0.indptr().iter().map(|&end| end as i64))
    }

    fn __len__(&self) -> usize {
        self.0.len()
    }

    #[pyo3(signature = (n_features, *, alternate_sign, binary, norm, dtype))]
    fn to_csr<'py>(
        &self,
        py: Python<'py>,
        n_features: u32,
        alternate_sign: bool,
        binary: bool,
        norm: Option<&str>,
        dtype: &str,
    ) -> PyResult<Bound<'py, PyTuple>> {
        let options = csr_options(n_features, alternate_sign, binary, norm)?;
        match dtype_of(dtype)? {
            Dtype::Float64 => csr::<f64>(py, &self.0, options),
            Dtype::Float32 => csr::<f32>(py, &self.0, options),
        }
    }

    #[pyo3(signature = (n_features, *, value, norm))]
    fn to_rows(
        &self,
        py: Python<'_>,
        n_features: u32,
        value: &str,
        norm: Option<&str>,
    ) -> PyResult<PyRows> {
        let options = row_options(n_features, value, norm)?;
        Ok(PyRows(py.detach(|| rows::learner_rows(&self.0, options))))
    }
}

/// Row pointers as addresses.
fn positions(indptr: &PyReadonlyArray1<'_, i64>) -> PyResult<Vec<usize>> {
    let ends = indptr
        .as_array()
        .iter()
        .map(|&end| usize::try_from(end))
        .collect::<Result<_, _>>();
    ends.map_err(|_| value_error("indptr must not be negative"))
}

fn csr<'py, T: Float + Element + Send>(
    py: Python<'py>,
    batch: &text::HashedBatch,
    options: CsrOptions,
) -> PyResult<Bound<'py, PyTuple>> {
    let rows = py.detach(|| rows::csr_rows::<T>(batch, options));
    arrays(py, rows.map_err(|_| HashError::Memory)?)
}
