//! `Hasher`, `HashedBatch` and `Rows` for Python.

use super::rows::PyRows;
use crate::kernels::Within;
use crate::rows::{self, CsrOptions, Float, Norm, RowOptions, RowWriter, Value};
use crate::text::{self, Analyzer, Chunk, Form, HashError, Sizes, StopWords, Table, pick};
use numpy::{Element, IntoPyArray, PyArray1, PyArrayMethods, PyReadonlyArray1};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::sync::PyOnceLock;
use pyo3::types::{IntoPyDict, PyBytes, PyList, PyString, PyTuple};

pub(super) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Hasher>()?;
    module.add_class::<HashedBatch>()
}

impl From<HashError> for PyErr {
    fn from(error: HashError) -> Self {
        match &error {
            HashError::Surrogate(gram) => encode_error(gram),
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

fn value_error(what: impl Into<String>) -> PyErr {
    PyValueError::new_err(what.into())
}

#[pyclass(frozen, module = "manymill._core")]
struct Hasher(text::Hasher);

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
        let analyzer = match analyzer {
            "word" => Analyzer::Words(stop_words_of(&stop_words)),
            "char" => Analyzer::Characters(Within::Text),
            "char_wb" => Analyzer::Characters(Within::Words),
            _ => {
                return Err(value_error(format!(
                    "analyzer must be 'word', 'char' or 'char_wb', got {analyzer:?}"
                )));
            }
        };
        let sizes = Sizes::new(ngram_range.0, ngram_range.1)?;
        Ok(Self(text::Hasher::new(analyzer, sizes, lowercase)))
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

/// Words with lone surrogates are left out: surrogates separate words, so that no word has one.
fn stop_words_of(words: &[Bound<'_, PyString>]) -> StopWords {
    StopWords::new(
        words
            .iter()
            .filter_map(|word| word.to_str().ok())
            .map(str::as_bytes),
    )
}

/// The bytes and the offsets of a column of text.
type ArrowColumn<'py> = (PyReadonlyArray1<'py, u8>, PyReadonlyArray1<'py, i64>);

fn columns<'a>(chunks: &'a [ArrowColumn<'_>]) -> PyResult<Vec<Chunk<'a>>> {
    let columns = chunks.iter().map(|(data, offsets)| {
        Ok(Chunk {
            data: slice(data)?,
            offsets: slice(offsets)?,
        })
    });
    columns.collect()
}

/// The elements of an array, which must lie side by side.
fn slice<'a, T: Element>(array: &'a PyReadonlyArray1<'_, T>) -> PyResult<&'a [T]> {
    array
        .as_slice()
        .map_err(|_| value_error("arrays must be contiguous"))
}

fn string<'py>(i: usize, item: Bound<'py, PyAny>) -> PyResult<Bound<'py, PyString>> {
    item.cast_into().map_err(|error| {
        let found = error.into_inner().get_type();
        PyTypeError::new_err(format!("document {i} is no str but {found}"))
    })
}

/// The UTF-8 of a `str`: its own memory where it is ASCII, else a copy. (Python would keep that copy with the
/// string for as long as the string lives.)
enum Text<'a> {
    Own(&'a str),
    Copy(PyBackedBytes),
}

impl<'a> Text<'a> {
    fn new(string: &'a Bound<'_, PyString>) -> PyResult<Self> {
        let py = string.py();
        if string.call_method0(intern!(py, "isascii"))?.is_truthy()? {
            return Ok(Self::Own(string.to_str()?));
        }
        // Lone surrogates separate words; this is the one encoding that carries them as far as that.
        let encoded = string.call_method1(intern!(py, "encode"), ("utf-8", "surrogatepass"))?;
        Ok(Self::Copy(encoded.extract()?))
    }

    fn bytes(&self) -> &[u8] {
        match self {
            Self::Own(text) => text.as_bytes(),
            Self::Copy(bytes) => bytes,
        }
    }
}

static TABLE: PyOnceLock<Table> = PyOnceLock::new();

/// The characters of the running Python, from the crate or asked of the interpreter.
fn table() -> Result<&'static Table, HashError> {
    Python::attach(|py| TABLE.get_or_try_init(py, || read_table(py)))
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

#[pyclass(frozen, module = "manymill._core")]
pub(super) struct HashedBatch(text::HashedBatch);

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
        let n_features = features(n_features)?;
        let options = CsrOptions {
            n_features,
            alternate_sign,
            binary,
            norm: norm_of(norm)?,
        };
        match dtype {
            "float64" => csr::<f64>(py, &self.0, &options),
            "float32" => csr::<f32>(py, &self.0, &options),
            _ => Err(value_error(format!(
                "dtype must be 'float64' or 'float32', got {dtype:?}"
            ))),
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

fn row_options(n_features: u32, value: &str, norm: Option<&str>) -> PyResult<RowOptions> {
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

fn features(n_features: u32) -> PyResult<u32> {
    if (1..=1 << 31).contains(&n_features) {
        return Ok(n_features);
    }
    Err(value_error(format!(
        "n_features must be 1 to 2^31, got {n_features}"
    )))
}

fn norm_of(norm: Option<&str>) -> PyResult<Option<Norm>> {
    match norm {
        None => Ok(None),
        Some("l1") => Ok(Some(Norm::L1)),
        Some("l2") => Ok(Some(Norm::L2)),
        Some(other) => Err(value_error(format!(
            "norm must be 'l1', 'l2' or None, got {other:?}"
        ))),
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

/// Arrays as long as there are hashes, of which only the used part is ever touched, cut to that.
fn csr<'py, T: Float + Element + Default>(
    py: Python<'py>,
    batch: &text::HashedBatch,
    options: &CsrOptions,
) -> PyResult<Bound<'py, PyTuple>> {
    let most = batch.hashes().len();
    let data = PyArray1::<T>::zeros(py, most, false);
    let indices = PyArray1::<i32>::zeros(py, most, false);
    let indptr = {
        let (mut data, mut indices) = (data.readwrite(), indices.readwrite());
        let (data, indices) = (data.as_slice_mut()?, indices.as_slice_mut()?);
        py.detach(|| rows::write_csr(batch, options, data, indices))
    };
    let used = indptr.last().copied().unwrap_or(0);
    let (data, indices) = (cut(data.into_any(), used)?, cut(indices.into_any(), used)?);
    if i32::try_from(most).is_ok() {
        let indptr = PyArray1::from_iter(py, indptr.iter().map(|&end| end as i32));
        return (data, indices, indptr).into_pyobject(py);
    }
    let indices = indices.call_method1(intern!(py, "astype"), ("int64",))?;
    (data, indices, indptr.into_pyarray(py)).into_pyobject(py)
}

/// The array shortened in place, which gives the memory behind back.
fn cut<'py>(array: Bound<'py, PyAny>, length: i64) -> PyResult<Bound<'py, PyAny>> {
    let py = array.py();
    // Nobody else has seen the array yet, whatever its count of references looks like.
    let unchecked = [(intern!(py, "refcheck"), false)].into_py_dict(py)?;
    array.call_method(intern!(py, "resize"), (length,), Some(&unchecked))?;
    Ok(array)
}
