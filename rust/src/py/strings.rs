//! Python's strings as bytes: in place where they are ASCII, else encoded for as long as a block takes.

use crate::kernels::strings::IsAscii;
use pyo3::exceptions::PyUnicodeEncodeError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyString;

/// The UTF-8 of a `str`: its own memory where it is ASCII, else a copy. (Python would keep that copy with the
/// string for as long as the string lives.)
pub(super) enum Text<'a> {
    Own(&'a str),
    Copy(PyBackedBytes),
}

static IS_ASCII: PyOnceLock<IsAscii> = PyOnceLock::new();

impl<'a> Text<'a> {
    pub(super) fn new(string: &'a Bound<'_, PyString>) -> PyResult<Self> {
        let py = string.py();
        let is_ascii = IS_ASCII.get_or_try_init(py, || IsAscii::new(py))?;
        if let Some(text) = is_ascii.text(string)? {
            return Ok(Self::Own(text));
        }
        let encoded = match string.encode_utf8() {
            // Lone surrogates separate words; this is the one encoding that carries them as far as that.
            Err(error) if error.is_instance_of::<PyUnicodeEncodeError>(py) => {
                let encode = intern!(py, "encode");
                string.call_method1(encode, ("utf-8", "surrogatepass"))?
            }
            encoded => encoded?.into_any(),
        };
        Ok(Self::Copy(encoded.extract()?))
    }

    pub(super) fn bytes(&self) -> &[u8] {
        match self {
            Self::Own(text) => text.as_bytes(),
            Self::Copy(bytes) => bytes,
        }
    }
}
