//! Counts to the table of features in use, each with a weight.
//!
//! ```text
//! n_c, n    rows of class c with the feature, rows of all classes with it
//! N_c, N    rows of class c, all rows;   D_c: features of the rows of class c
//! idf       = ln((1 + N) / (1 + n)) + 1
//! nb        two classes:  |ln(p_1 / p_0)|,  p_c = (n_c + 2·d_c) / d_c,  d_c = D_c / (D_0 + D_1)
//!           more:         sqrt(Σ_c p_c · ln(p_c / q_c)),  q_c = N_c / N,  p_c = (n_c + a·q_c) / (n + a),
//!                         a = 1
//! nb-idf    = sqrt(nb · idf)
//! ```
//!
//! Two rows are added to those with a feature, in the shares that the classes have of all features: as many of each class
//! (Wang and Manning 2012, who add one of each) only if the classes are equally large. A feature whose rows are of the
//! classes in their usual shares then weighs 0 whatever these are.
//!
//! Of a class without rows with the feature p_c is s·q_c with s = a / (n + a): all of them together add
//! (Σ q_c) · s · ln(s) to the sum, so that a feature costs time in proportion to the classes it occurs in. Terms are added
//! in the order of the classes, and logarithms are libm's: weights have the same bits on every machine.

use super::FeatureCounts;
use crate::learn::LearnError;
use crate::rows::FeatureTable;

/// Which weights a table gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TableKind {
    /// The geometric mean of both others.
    NbIdf,
    /// How well a feature separates the classes.
    Nb,
    /// Inverse document frequencies.
    Idf,
}

/// Smoothing rows of two classes together.
const SMOOTHING: f64 = 2.0;

/// Smoothing rows of all classes together, with more than two. More would hide what features in few rows tell, the more
/// so the more classes there are.
const ADDED: f64 = 1.0;

impl FeatureCounts {
    /// The features in at least `min_rows` rows, each with its weight.
    ///
    /// # Errors
    /// If the kind needs counts by class and there are none, `min_rows` is 0, or there is no memory.
    pub fn table(&self, kind: TableKind, min_rows: usize) -> Result<FeatureTable, LearnError> {
        if min_rows == 0 {
            return LearnError::invalid("min_rows is invalid: expected 1 or more".into());
        }
        if kind != TableKind::Idf && !self.by_class {
            return LearnError::invalid(
                "kind is invalid: expected 'idf', because rows are not counted by class".into(),
            );
        }
        let separation = Separation::of(self, kind);
        let n_rows = self.rows.iter().sum::<u64>() as f64;
        let weight = |n: u64, pairs: &[(u32, u32)]| {
            let n = n as f64;
            let idf = libm::log((1.0 + n_rows) / (1.0 + n)) + 1.0;
            let nb = || separation.weight(pairs, n);
            let weight = match kind {
                TableKind::NbIdf => (nb() * idf).sqrt(),
                TableKind::Nb => nb(),
                TableKind::Idf => idf,
            };
            weight as f32
        };
        let mut known = Known::new();
        let (mut features, mut weights) = (Vec::new(), Vec::new());
        self.counts.for_each_feature(|feature, pairs| {
            let n: u64 = pairs.iter().map(|&(_, count)| u64::from(count)).sum();
            if n >= min_rows as u64 {
                features.push(feature);
                weights.push(known.weight(pairs, || weight(n, pairs)));
            }
        });
        Ok(FeatureTable::from_parts(
            self.n_features(),
            &features,
            Some(&weights),
        )?)
    }
}

impl FeatureCounts {
    /// How many features are in how many rows: entry `n` counts those in `n` rows, the last entry also those in more.
    ///
    /// # Errors
    /// If `most` is 0.
    pub fn frequencies(&self, most: usize) -> Result<Vec<u64>, LearnError> {
        if most == 0 {
            return LearnError::invalid("most is invalid: expected 1 or more".into());
        }
        let mut found = vec![0; most + 1];
        self.counts.for_each_feature(|_, pairs| {
            let n: u64 = pairs.iter().map(|&(_, count)| u64::from(count)).sum();
            found[usize::try_from(n).map_or(most, |n| n.min(most))] += 1;
        });
        Ok(found)
    }
}

/// Weights of small counts, which most features have: each of them is computed once.
struct Known(Vec<Option<f32>>);

/// Counts below are small.
const SMALL: usize = 64;

/// Classes that small counts are known of.
const CLASSES: usize = 256;

impl Known {
    fn new() -> Self {
        Self(vec![None; (CLASSES + SMALL) * SMALL])
    }

    /// The weight of features with these counts by class, computed if it is not known.
    fn weight(&mut self, pairs: &[(u32, u32)], compute: impl FnOnce() -> f32) -> f32 {
        let cell = match *pairs {
            [(class, count)] => Self::cell(class as usize, CLASSES, count),
            [(0, first), (1, second)] => {
                let cell = Self::cell(first as usize, SMALL, second);
                cell.map(|cell| CLASSES * SMALL + cell)
            }
            _ => None,
        };
        match cell {
            Some(cell) => *self.0[cell].get_or_insert_with(compute),
            None => compute(),
        }
    }

    fn cell(row: usize, n_rows: usize, count: u32) -> Option<usize> {
        let is_small = row < n_rows && (count as usize) < SMALL;
        is_small.then_some(row * SMALL + count as usize)
    }
}

/// How well a feature separates the classes.
enum Separation {
    /// No weight needs it.
    None,
    /// Two classes: the share of each in the features of all rows.
    Ratio([f64; 2]),
    /// More classes.
    Divergence {
        /// The share of each class in all rows.
        prior: Vec<f64>,
    },
}

impl Separation {
    fn of(counts: &FeatureCounts, kind: TableKind) -> Self {
        if kind == TableKind::Idf {
            return Self::None;
        }
        if let [first, second] = counts.distinct[..] {
            let total = (first + second) as f64;
            return Self::Ratio([first, second].map(|distinct| distinct as f64 / total));
        }
        let n_rows = counts.rows.iter().sum::<u64>() as f64;
        Self::Divergence {
            prior: counts.rows.iter().map(|&n| n as f64 / n_rows).collect(),
        }
    }

    /// The weight of a feature that is in `n` rows, and in which of each class.
    fn weight(&self, pairs: &[(u32, u32)], n: f64) -> f64 {
        match self {
            Self::None => 0.0,
            Self::Ratio(shares) => {
                // A class without rows separates nothing.
                if shares.contains(&0.0) {
                    return 0.0;
                }
                let mut smoothed = shares.map(|share| SMOOTHING * share);
                for &(class, count) in pairs {
                    smoothed[class as usize] += f64::from(count);
                }
                let [first, second] = [0, 1].map(|class| smoothed[class] / shares[class]);
                libm::log(second / first).abs()
            }
            Self::Divergence { prior } => {
                let (mut divergence, mut absent) = (0.0, 1.0);
                for &(class, count) in pairs {
                    let (count, prior) = (f64::from(count), prior[class as usize]);
                    let share = (count + ADDED * prior) / (n + ADDED);
                    divergence += share * libm::log(share / prior);
                    absent -= prior;
                }
                let scale = ADDED / (n + ADDED);
                // Rounding may make the shares of no class, or the divergence of equal shares, slightly negative.
                divergence += absent.max(0.0) * scale * libm::log(scale);
                divergence.max(0.0).sqrt()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{CLASSES, FeatureCounts, Known, SMALL, TableKind};
    use crate::rows::Rows;

    fn counts(n_classes: usize) -> FeatureCounts {
        let indices = vec![1, 3, 1, 2, 1, 3];
        let rows = Rows::from_parts(vec![0, 2, 3, 4, 6], indices, vec![1.0; 6]).expect("fit");
        let mut counts = FeatureCounts::new(9, n_classes, true).expect("memory");
        counts.add(&rows, &[0, 0, 1, 1], None).expect("valid");
        counts
    }

    #[test]
    fn a_table_has_the_features_in_enough_rows() {
        for n_classes in [2, 3, 40] {
            let table = |min_rows| {
                let table = counts(n_classes).table(TableKind::NbIdf, min_rows);
                table.expect("valid").features()
            };
            assert_eq!(table(1), [1, 2, 3]);
            assert_eq!(table(2), [1, 3]);
            assert_eq!(table(3), [1]);
            assert!(table(usize::MAX).is_empty());
        }
    }

    #[test]
    fn two_classes_are_smoothed_in_their_shares() {
        let table = counts(2).table(TableKind::Nb, 1).expect("valid");
        // Feature 2: 0 and 1 rows; 3 features of each class.
        let ratio = (1.0f64 + 1.0) / 1.0;
        assert_eq!(table.weights().expect("weights")[1], ratio.ln() as f32);
    }

    #[test]
    fn weights_of_small_counts_are_those_that_are_computed_each_time() {
        let (mut known, mut computed) = (Known::new(), 0);
        // Features of one class, of two, of a class and of a count beyond those that are known.
        let cases = [
            vec![(0, 3)],
            vec![(1, 3)],
            vec![(0, 3), (1, 1)],
            vec![(0, 1), (1, 3)],
            vec![(0, 3), (2, 1)],
            vec![(CLASSES as u32, 3)],
            vec![(0, SMALL as u32)],
            vec![(0, SMALL as u32), (1, 0)],
        ];
        for round in 0..2 {
            for (number, pairs) in cases.iter().enumerate() {
                let weight = known.weight(pairs, || {
                    computed += 1;
                    number as f32
                });
                assert_eq!(weight, number as f32, "round {round}");
            }
        }
        assert_eq!(computed, 2 * cases.len() - 4);
    }

    #[test]
    fn a_weight_of_0_stays_in_the_table() {
        let table = counts(2).table(TableKind::NbIdf, 1).expect("valid");
        // Feature 3: 1 row of each class.
        assert_eq!(table.weights().expect("weights")[2], 0.0);
    }

    #[test]
    fn invalid_parameters_are_refused() {
        assert!(counts(2).table(TableKind::Idf, 0).is_err());
        let together = FeatureCounts::new(9, 2, false).expect("memory");
        assert!(together.table(TableKind::Nb, 1).is_err());
        assert!(together.table(TableKind::Idf, 1).is_ok());
    }
}
