//! Changes of several lanes added up, and what rules make of the sums.
//!
//! ```text
//! for each feature j, over the lanes p that changed it:      (all in float64)
//!     support[j] = how many                    mass[j] = Σ dG_p[j]
//!     plain[j]   = Σ dW_p[j]                   by_mass[j] = Σ dG_p[j]·dW_p[j]
//!     magnitude[j] = Σ |dW_p[j]|               by_magnitude[j] = Σ |dW_p[j]|·dW_p[j]
//!
//! uniform   plain / P              mass      by_mass / mass
//! support   plain / support        damped    plain · min(support^¼, 2) / support
//!                                  magnitude by_magnitude / magnitude · √moving · min(moving^¼, 2) · pace
//!                                            moving = magnitude² / |by_magnitude|, from 1 to support
//!                                            pace   = √((G0 + G/P + mass/support) / (G0 + G + mass))
//! ```
//!
//! A feature that one lane alone has met is not divided by all of them (support: as the scaling of Konečný et al.
//! 2016), and a lane that has learnt more of a feature counts for more (mass). Lanes that share a feature start from
//! the same weight and go much the same way; one learner that had had all their rows would have gone further than any
//! of them, about √support times as far since AdaGrad's steps fall with the root of its sums. `damped` goes a part of
//! that way, the mean lengthened by support^¼, and never more than doubled: lanes that all correct the same fault
//! overshoot together in the first rounds.
//!
//! All these weigh the lanes of a feature, for all of its outputs alike. With many classes a feature is met by all lanes
//! while its class is in one or two, whose move is then divided by all. `magnitude` weighs each lane's move of each
//! output by its own length, so that lanes that left an output as it was do not count there: `moving` is 1 where one lane
//! alone moved an output, and the number of lanes where all moved it alike. Times `moving` it is the sum of the moves.
//! Its steps are too long by what `pace` takes from them: each lane began with a part of G and has seen its own part of
//! the mass alone, so the rate of its last step is 1/pace times that of one learner that has seen all rows. In the first
//! round pace is 1/√support; later, for features that few lanes meet in a round, it comes near 1/√P, and without it
//! these go further in each pass than their rows demand. Where several lanes move an output alike they correct the same
//! fault: the sum is divided by √moving and lengthened as by `damped`.

use super::{LearnError, Learner};

/// How sums become a direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MergeRule {
    /// The mean over all lanes.
    Uniform,
    /// The mean over the lanes that changed the feature.
    Support,
    /// The same, lengthened where many lanes did.
    Damped,
    /// The mean weighted by the squared gradients that each lane saw.
    Mass,
    /// The moves of each weight weighted by how far each lane moved it, at the pace of one learner.
    Magnitude,
}

impl MergeRule {
    /// The rule of a name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "uniform" => Self::Uniform,
            "support" => Self::Support,
            "damped" => Self::Damped,
            "mass" => Self::Mass,
            "magnitude" => Self::Magnitude,
            _ => return None,
        })
    }
}

/// Which sums over changes of weights are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kept {
    /// The changes.
    pub plain: bool,
    /// Weighted by squared gradients.
    pub by_mass: bool,
    /// Magnitudes, and the changes weighted by them.
    pub by_magnitude: bool,
}

impl Kept {
    /// What rules need; without a rule the changes alone.
    #[must_use]
    pub fn of(rules: &[MergeRule]) -> Self {
        let by_mass = rules.contains(&MergeRule::Mass);
        let by_magnitude = rules.contains(&MergeRule::Magnitude);
        let plain = rules.is_empty() || rules.iter().any(|rule| *rule != MergeRule::Magnitude);
        Self {
            plain,
            by_mass,
            by_magnitude,
        }
    }

    /// # Errors
    /// If they serve no rule.
    pub(super) fn check(self) -> Result<(), LearnError> {
        // Features without squared gradients are merged by mass as they are by support.
        let is_served = self.plain || self.by_magnitude && !self.by_mass;
        if !is_served {
            return LearnError::invalid("the sums serve no rule".into());
        }
        Ok(())
    }

    /// By kind of sum, in the order of [`MergeSums::kinds`].
    pub(super) fn kinds(self) -> [bool; 4] {
        let Self {
            plain,
            by_mass,
            by_magnitude,
        } = self;
        [plain, by_mass, by_magnitude, by_magnitude]
    }
}

/// Sums over lanes.
#[derive(Debug, Clone, PartialEq)]
pub struct MergeSums {
    /// Weights of a feature.
    pub n_outputs: usize,
    /// Lanes that learnt any row.
    pub n_lanes: u64,
    /// Rows that they learnt.
    pub n_rows: u64,
    /// Ascending.
    pub features: Vec<u32>,
    /// Lanes that changed each feature.
    pub support: Vec<u32>,
    /// Squared gradients that they saw.
    pub mass: Vec<f64>,
    /// Sums of changes, `n_outputs` a feature; like those that follow, empty if no rule needs it.
    pub plain: Vec<f64>,
    /// The same weighted by squared gradients.
    pub by_mass: Vec<f64>,
    /// Sums of the magnitudes of changes.
    pub magnitude: Vec<f64>,
    /// Sums of changes weighted by their magnitudes.
    pub by_magnitude: Vec<f64>,
    /// Of the intercepts: squared gradients, then the four sums; `n_outputs` each.
    pub intercept: Vec<f64>,
}

/// Lanes that can be counted: no support is larger, so that all of them fit as long as that number fits.
pub(super) const MAX_LANES: u64 = u32::MAX as u64;

/// The length that `damped` and `magnitude` give the mean of so many lanes, relative to it.
fn lengthened(support: f64) -> f64 {
    // Two square roots have the same bits everywhere, a power has not.
    support.sqrt().sqrt().min(2.0)
}

/// Kinds of sums of an intercept.
pub(super) const INTERCEPT_KINDS: usize = 5;

/// The move of an output before its pace. `sum` is that of moves times magnitudes; at most all lanes that changed the
/// feature have moved it.
fn by_own_length(sum: f64, magnitude: f64, support: f64) -> f64 {
    // A mean of nothing is nothing.
    if magnitude > 0.0 && sum != 0.0 {
        let moving = (magnitude / sum.abs() * magnitude).clamp(1.0, support);
        sum / magnitude * moving.sqrt() * lengthened(moving)
    } else {
        0.0
    }
}

impl MergeSums {
    /// All sums over changes of weights.
    pub(super) fn kinds(&self) -> [&Vec<f64>; 4] {
        [
            &self.plain,
            &self.by_mass,
            &self.magnitude,
            &self.by_magnitude,
        ]
    }

    /// The same, to be changed.
    pub(super) fn kinds_mut(&mut self) -> [&mut Vec<f64>; 4] {
        [
            &mut self.plain,
            &mut self.by_mass,
            &mut self.magnitude,
            &mut self.by_magnitude,
        ]
    }

    /// Which sums were kept; without features that cannot be said.
    pub(super) fn kept(&self) -> Option<Kept> {
        (!self.features.is_empty()).then_some(Kept {
            plain: !self.plain.is_empty(),
            by_mass: !self.by_mass.is_empty(),
            by_magnitude: !self.magnitude.is_empty(),
        })
    }

    /// The sums of those features alone that are marked.
    ///
    /// # Errors
    /// If a feature has no mark.
    pub fn part(&self, marks: &[bool]) -> Result<Self, LearnError> {
        if self
            .features
            .last()
            .is_some_and(|&j| j as usize >= marks.len())
        {
            return LearnError::invalid("there are fewer marks than features".into());
        }
        let k = self.n_outputs;
        let kept: Vec<usize> = (0..self.features.len())
            .filter(|&i| marks[self.features[i] as usize])
            .collect();
        let cells = |all: &Vec<f64>| -> Vec<f64> {
            let rows = kept.iter().filter(|_| !all.is_empty());
            rows.flat_map(|i| &all[i * k..][..k]).copied().collect()
        };
        Ok(Self {
            features: kept.iter().map(|&i| self.features[i]).collect(),
            support: kept.iter().map(|&i| self.support[i]).collect(),
            mass: kept.iter().map(|&i| self.mass[i]).collect(),
            plain: cells(&self.plain),
            by_mass: cells(&self.by_mass),
            magnitude: cells(&self.magnitude),
            by_magnitude: cells(&self.by_magnitude),
            intercept: self.intercept.clone(),
            ..*self
        })
    }

    /// The sums, if they may be.
    ///
    /// # Errors
    /// If arrays do not fit together, features are not ascending, or a number is impossible.
    pub fn checked(self) -> Result<Self, LearnError> {
        let (m, k) = (self.features.len(), self.n_outputs);
        let cells = m.checked_mul(k);
        let fits = |numbers: &Vec<f64>| numbers.is_empty() || Some(numbers.len()) == cells;
        if k == 0
            || self.support.len() != m
            || self.mass.len() != m
            || !self.kinds().into_iter().all(fits)
            || self.magnitude.len() != self.by_magnitude.len()
            || self.intercept.len() != INTERCEPT_KINDS * k
        {
            return LearnError::invalid("the arrays of the sums do not fit together".into());
        }
        if let Some(kept) = self.kept() {
            kept.check()?;
        }
        if self.features.windows(2).any(|pair| pair[0] >= pair[1]) {
            return LearnError::invalid("features are not in ascending order".into());
        }
        let impossible = |n: &f64| !(*n >= 0.0 && n.is_finite());
        let lanes = 1..=self.n_lanes.min(MAX_LANES);
        if !lanes.contains(&self.n_lanes)
            || !self.support.iter().all(|&n| lanes.contains(&u64::from(n)))
            || self.mass.iter().chain(&self.magnitude).any(impossible)
        {
            return LearnError::invalid("a count or a sum of squares is impossible".into());
        }
        let [plain, by_mass, _, by_magnitude] = self.kinds();
        let numbers = [plain, by_mass, by_magnitude, &self.intercept];
        if !numbers.iter().all(|all| all.iter().all(|n| n.is_finite())) {
            return LearnError::invalid("a sum is not finite".into());
        }
        Ok(self)
    }

    /// Bytes of the arrays.
    #[must_use]
    pub fn n_bytes(&self) -> usize {
        size_of_val(&self.features[..])
            + size_of_val(&self.support[..])
            + [&self.mass, &self.intercept]
                .into_iter()
                .chain(self.kinds())
                .map(|all| size_of_val(&all[..]))
                .sum::<usize>()
    }

    /// Whether the sums that a rule needs were kept.
    fn has(&self, rule: MergeRule) -> bool {
        self.kept().is_none_or(|kept| match rule {
            MergeRule::Mass => kept.by_mass,
            MergeRule::Magnitude => kept.by_magnitude,
            MergeRule::Uniform | MergeRule::Support | MergeRule::Damped => kept.plain,
        })
    }

    /// How far a rule moves each weight of a feature: numbers and what to multiply them by; for `Magnitude` the
    /// magnitudes as well, see [`by_own_length`].
    fn moved(&self, here: usize, rule: MergeRule) -> (&[f64], Option<&[f64]>, f64) {
        let (support, mass) = (f64::from(self.support[here]), self.mass[here]);
        let (numbers, magnitudes, factor) = match rule {
            MergeRule::Uniform => (&self.plain, None, 1.0 / self.n_lanes as f64),
            MergeRule::Damped => (&self.plain, None, lengthened(support) / support),
            MergeRule::Magnitude => (&self.by_magnitude, Some(&self.magnitude), 1.0),
            MergeRule::Mass if mass > 0.0 => (&self.by_mass, None, 1.0 / mass),
            MergeRule::Support | MergeRule::Mass => (&self.plain, None, 1.0 / support),
        };
        let cells = here * self.n_outputs..(here + 1) * self.n_outputs;
        let magnitudes = magnitudes.map(|all| &all[cells.clone()]);
        (&numbers[cells.clone()], magnitudes, factor)
    }

    /// The rate of one learner's steps relative to that of the lanes, for a feature whose squared gradients were
    /// `before`, and those at which all start.
    fn pace(&self, here: usize, before: f32, initial_g: f32) -> f64 {
        let (support, mass) = (f64::from(self.support[here]), self.mass[here]);
        let (before, initial_g) = (f64::from(before), f64::from(initial_g));
        let whole = initial_g + before + mass;
        if whole > 0.0 {
            ((initial_g + before / self.n_lanes as f64 + mass / support) / whole).sqrt()
        } else {
            1.0 / support.sqrt()
        }
    }

    /// How far a rule moves the intercept of an output.
    fn moved_intercept(&self, output: usize, rule: MergeRule) -> f64 {
        let of = |kind: usize| self.intercept[kind * self.n_outputs + output];
        let lanes = self.n_lanes as f64;
        match rule {
            MergeRule::Mass if of(0) > 0.0 => of(2) / of(0),
            MergeRule::Magnitude => by_own_length(of(4), of(3), lanes) / lanes.sqrt(),
            MergeRule::Damped => of(1) * lengthened(lanes) / lanes,
            MergeRule::Uniform | MergeRule::Support | MergeRule::Mass => of(1) / lanes,
        }
    }
}

impl Learner {
    /// Moves the state from which the lanes began by `step` along the direction of a rule; the sums of squared gradients
    /// grow by all that the lanes saw. What was being noted is forgotten.
    ///
    /// # Errors
    /// If the sums are of another shape or do not serve the rule (nothing is changed then), or weights grew without
    /// bound.
    pub fn merge(
        &mut self,
        sums: &MergeSums,
        rule: MergeRule,
        step: f64,
    ) -> Result<(), LearnError> {
        let k = self.n_outputs();
        if sums.n_outputs != k
            || sums
                .features
                .last()
                .is_some_and(|&j| j as usize >= self.n_features())
        {
            return LearnError::invalid("the sums are of a learner of another shape".into());
        }
        if !sums.has(rule) {
            return LearnError::invalid("the sums that this rule needs were not kept".into());
        }
        let Some(n_rows_seen) = self.n_rows_seen.checked_add(sums.n_rows) else {
            return LearnError::invalid("there are more rows than can be counted".into());
        };
        self.table.reserve(sums.features.len())?;
        self.settle();
        self.forget_changes();
        let mut sane = true;
        let initial_g = self.settings.initial_g;
        for (here, &j) in sums.features.iter().enumerate() {
            let (moved, magnitudes, factor) = sums.moved(here, rule);
            let support = f64::from(sums.support[here]);
            let slot = self.table.take_one(j);
            let block = self.table.block_of_slot(slot);
            let factor = match rule {
                MergeRule::Magnitude => factor * sums.pace(here, block[k], initial_g),
                _ => factor,
            };
            for (o, (w, &moved)) in block.iter_mut().zip(moved).enumerate() {
                let moved = magnitudes.map_or(moved, |all| by_own_length(moved, all[o], support));
                *w += (step * factor * moved) as f32;
                sane &= w.is_finite();
            }
            block[k] += sums.mass[here] as f32;
            sane &= block[k].is_finite();
        }
        for o in 0..k {
            self.intercept[o] += (step * sums.moved_intercept(o, rule)) as f32;
            self.intercept[k + o] += sums.intercept[o].max(0.0) as f32;
            sane &= self.intercept[o].is_finite() && self.intercept[k + o].is_finite();
        }
        self.n_rows_seen = n_rows_seen;
        if sane {
            Ok(())
        } else {
            Err(LearnError::Diverged { row: 0 })
        }
    }
}
