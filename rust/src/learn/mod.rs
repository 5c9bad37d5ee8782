//! The learner: rows to weights.
