//! Which kernels are in use.

use crate::kernels;
use pyo3::prelude::*;

/// The tier in use.
#[pyfunction]
fn kernel_tier() -> &'static str {
    kernels::best().name
}

/// The tiers that this processor can run.
#[pyfunction]
fn kernel_tiers() -> Vec<&'static str> {
    kernels::available().map(|kernels| kernels.name).collect()
}

pub(super) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(kernel_tier, module)?)?;
    module.add_function(wrap_pyfunction!(kernel_tiers, module)?)
}
