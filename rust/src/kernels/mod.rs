//! The only `unsafe` code of the crate; each kernel has a scalar twin that the tests compare it with.
