//! The text of a Python string where it lies, if it is ASCII.
//!
//! Python keeps an ASCII string as its own UTF-8. Of any other string the stable ABI gives the UTF-8 only by storing it
//! with the string for as long as that lives, so one has to know before one asks. `str.isascii` knows, but calling it
//! as a method costs 40 ns, a tenth of what hashing a short post costs; the C function behind it costs 2 ns.

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyString;

/// The C function behind `str.isascii`.
#[derive(Debug, Clone, Copy)]
pub struct IsAscii(Option<ffi::PyCFunction>);

impl IsAscii {
    /// The function of the running Python.
    ///
    /// # Errors
    /// If `str` has no such method.
    pub fn new(py: Python<'_>) -> PyResult<Self> {
        let bound = PyString::new(py, "").getattr("isascii")?;
        // SAFETY: the object lives through the three calls, and the latter two are made only for what the first has
        // found to be a built-in function.
        let function = unsafe {
            let bound = bound.as_ptr();
            let plain = ffi::PyCFunction_Check(bound) != 0
                && ffi::PyCFunction_GetFlags(bound) == ffi::METH_NOARGS;
            if plain {
                ffi::PyCFunction_GetFunction(bound)
            } else {
                None
            }
        };
        Ok(Self(function))
    }

    /// The text of the string, if it is ASCII.
    ///
    /// # Errors
    /// Those of `str.isascii`, which has none.
    pub fn text<'a>(self, string: &'a Bound<'_, PyString>) -> PyResult<Option<&'a str>> {
        let ascii = match self.0 {
            // SAFETY: a function of METH_NOARGS takes its object and NULL, and gives a new reference or NULL with an
            // exception set. `function` is a method of `str`, and `string` is a `str`, or of a class derived from it.
            Some(function) => unsafe {
                let answer = function(string.as_ptr(), std::ptr::null_mut());
                Bound::from_owned_ptr_or_err(string.py(), answer)?
            },
            None => string.call_method0("isascii")?,
        };
        if ascii.is_truthy()? {
            string.to_str().map(Some)
        } else {
            Ok(None)
        }
    }
}
