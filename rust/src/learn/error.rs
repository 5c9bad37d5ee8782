//! What can go wrong in the learner.

use crate::rows::FeatureTableError;
use std::fmt;

/// Why a learner could not be made, or refused a call.
#[derive(Debug, Clone, PartialEq)]
pub enum LearnError {
    /// A parameter or an input is out of range; nothing was changed.
    Invalid(String),
    /// The state does not fit in memory.
    Memory {
        /// Bytes asked for; `None` if the number itself does not fit in a machine word.
        bytes: Option<usize>,
    },
    /// A margin or a gradient became NaN or infinite: the model is of no use any more.
    Diverged {
        /// The row, counted from 0 in the call, that showed it.
        row: usize,
    },
}

impl LearnError {
    pub(super) fn invalid<T>(message: String) -> Result<T, Self> {
        Err(Self::Invalid(message))
    }
}

impl fmt::Display for LearnError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invalid(message) => f.write_str(message),
            Self::Memory { bytes: Some(bytes) } => write!(
                f,
                "the learner's state needs {bytes} bytes, which the system does not give. \
                 Hint: use a smaller n_features (--n-features), or fewer classes (classes, --classes)"
            ),
            Self::Memory { bytes: None } => write!(
                f,
                "the learner's state needs more bytes than this machine can count. \
                 Hint: use a smaller n_features (--n-features), or fewer classes (classes, --classes)"
            ),
            Self::Diverged { row } => write!(
                f,
                "the model became NaN or infinite at row {row} of this call. \
                 Hint: take a smaller learning_rate, smaller row weights, or rows of unit norm"
            ),
        }
    }
}

impl std::error::Error for LearnError {}

impl From<FeatureTableError> for LearnError {
    fn from(error: FeatureTableError) -> Self {
        match error {
            FeatureTableError::Invalid(message) => Self::Invalid(message),
            FeatureTableError::Memory { bytes } => Self::Memory { bytes: Some(bytes) },
        }
    }
}
