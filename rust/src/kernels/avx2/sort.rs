pub use crate::kernels::portable::sort;
