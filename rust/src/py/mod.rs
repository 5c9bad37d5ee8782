//! The boundary: NumPy arrays, `bytes` and `str` in, NumPy arrays out, the GIL released, errors turned.
//! `src/manymill/_core.pyi` is the contract of everything here.

mod access;
mod characters;
mod columns;
mod counts;
mod feature_table;
mod kernels;
mod learn;
mod matrix;
mod merging;
mod options;
mod read;
mod rows;
mod sources;
mod strings;
mod svmlight;
mod text;
mod tokens;

use pyo3::prelude::*;

#[pymodule(gil_used = false)]
fn _core(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    kernels::register(module)?;
    text::register(module)?;
    tokens::register(module)?;
    columns::register(module)?;
    sources::register(module)?;
    matrix::register(module)?;
    svmlight::register(module)?;
    read::register(module)?;
    rows::register(module)?;
    feature_table::register(module)?;
    learn::register(module)?;
    merging::register(module)?;
    counts::register(module)
}
