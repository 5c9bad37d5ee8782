//! Sums of lanes and of sums, added in the order given: a fixed tree has one result, whoever works it out.
//!
//! ```text
//! for each span of features:
//!     which of them any part has, in order                  one place each
//!     part after part:  sums[place of j] += part[j]         in float64
//! ```
//!
//! What one lane changed stays in float32, half as much to write and to send; its sums follow from it as they are added.

use super::LearnError;
use super::changes::Changes;
use super::merging::{INTERCEPT_KINDS, Kept, MAX_LANES, MergeSums};
use super::table::are_finite;
use super::union::{SPAN, Union};
use crate::kernels::memory::roomy;
use crate::kernels::widest::{self, Work};
use std::borrow::Cow;
use std::ops::Range;

/// What one lane changed.
#[derive(Debug, Clone, PartialEq)]
pub struct LaneSums {
    /// Feature by feature.
    pub changes: Changes,
    /// Rows that it learnt.
    pub n_rows: u64,
    /// The sums that will be needed.
    pub kept: Kept,
}

/// What is combined.
#[derive(Debug, Clone, PartialEq)]
pub enum Part {
    /// What one lane changed.
    Lane(LaneSums),
    /// Sums over several.
    Sums(MergeSums),
}

impl LaneSums {
    /// What a lane changed, if it may be.
    ///
    /// # Errors
    /// If the sums serve no rule, the changes do not fit together, features are not ascending, or a number is impossible.
    pub fn of(changes: Changes, n_rows: u64, kept: Kept) -> Result<Self, LearnError> {
        kept.check()?;
        let k = changes.intercept.len() / 2;
        let m = changes.features.len();
        if k == 0
            || changes.intercept.len() != 2 * k
            || Some(changes.weights.len()) != m.checked_mul(k)
            || changes.sums.len() != m
        {
            return LearnError::invalid("the arrays of changes do not fit together".into());
        }
        if changes.features.windows(2).any(|pair| pair[0] >= pair[1]) {
            return LearnError::invalid("features are not in ascending order".into());
        }
        if changes.sums.iter().any(|&sum| sum < 0.0) {
            return LearnError::invalid("a sum of squares is impossible".into());
        }
        let numbers = [&changes.weights, &changes.sums, &changes.intercept];
        if !numbers.iter().all(|all| are_finite(all)) {
            return LearnError::invalid("a number is not finite".into());
        }
        Ok(Self {
            changes,
            n_rows,
            kept,
        })
    }
}

impl Part {
    /// The features that it has, ascending.
    #[must_use]
    pub fn features(&self) -> &[u32] {
        match self {
            Self::Lane(lane) => &lane.changes.features,
            Self::Sums(sums) => &sums.features,
        }
    }

    /// Lanes and rows.
    #[must_use]
    pub fn counts(&self) -> (u64, u64) {
        match self {
            Self::Lane(lane) => (1, lane.n_rows),
            Self::Sums(sums) => (sums.n_lanes, sums.n_rows),
        }
    }

    /// Bytes of the arrays.
    #[must_use]
    pub fn n_bytes(&self) -> usize {
        match self {
            Self::Lane(LaneSums { changes, .. }) => {
                let numbers = [&changes.weights, &changes.sums, &changes.intercept];
                size_of_val(&changes.features[..])
                    + numbers
                        .map(|all| size_of_val(&all[..]))
                        .iter()
                        .sum::<usize>()
            }
            Self::Sums(sums) => sums.n_bytes(),
        }
    }

    /// The sums.
    ///
    /// # Errors
    /// None: those of one part are of one kind.
    pub fn sums(&self) -> Result<Cow<'_, MergeSums>, LearnError> {
        match self {
            Self::Lane(_) => Self::combine(&[self]).map(Cow::Owned),
            Self::Sums(sums) => Ok(Cow::Borrowed(sums)),
        }
    }

    /// Outputs, and which sums there are. Sums without features have room for all.
    fn kind(&self) -> (usize, Option<Kept>) {
        match self {
            Self::Lane(lane) => (lane.changes.intercept.len() / 2, Some(lane.kept)),
            Self::Sums(sums) => (sums.n_outputs, sums.kept()),
        }
    }

    /// The sums of several parts, added in the order given.
    ///
    /// # Errors
    /// If there is none, they are not of the same kind, or their lanes or rows are too many.
    pub fn combine(parts: &[&Self]) -> Result<MergeSums, LearnError> {
        let Some(first) = parts.first() else {
            return LearnError::invalid("there are no sums to combine".into());
        };
        let k = first.kind().0;
        let mut kinds = parts.iter().filter_map(|part| part.kind().1);
        let kept = kinds.next().unwrap_or(Kept::of(&[]));
        if kinds.any(|other| other != kept) || parts.iter().any(|part| part.kind().0 != k) {
            return LearnError::invalid("sums of different kinds cannot be combined".into());
        }
        let counts = parts.iter().try_fold((0u64, 0u64), |(lanes, rows), part| {
            let (more_lanes, more_rows) = part.counts();
            Some((lanes.checked_add(more_lanes)?, rows.checked_add(more_rows)?))
        });
        if counts.is_none_or(|(lanes, _)| lanes > MAX_LANES) {
            return LearnError::invalid("there are more lanes or rows than can be counted".into());
        }
        let most = parts.iter().map(|part| part.features().len()).sum();
        let mut sums = MergeSums::empty(k, most, kept);
        for part in parts {
            sums.add_counts(part);
        }
        let mut heads = vec![0; parts.len()];
        let mut spans = Vec::new();
        let mut union = Union::default();
        let next = |heads: &[usize]| {
            let ahead = parts.iter().zip(heads);
            ahead
                .filter_map(|(part, &head)| part.features().get(head))
                .min()
                .copied()
        };
        // Spans in which no part has a feature are left out.
        while let Some(j) = next(&heads) {
            let first = j as usize / SPAN * SPAN;
            // Where the features of this span lie in each part.
            spans.clear();
            spans.extend(parts.iter().zip(&mut heads).map(|(part, head)| {
                let (start, rest) = (*head, &part.features()[*head..]);
                let rest = &rest[..rest.len().min(SPAN)];
                *head += rest.partition_point(|&j| (j as usize) < first + SPAN);
                &part.features()[start..*head]
            }));
            widest::run(Span {
                first: first as u32,
                parts: (parts, &spans, &heads),
                union: &mut union,
                sums: &mut sums,
                kept,
            });
        }
        Ok(sums)
    }
}

/// The features of a span added up, part after part.
struct Span<'a> {
    first: u32,
    /// What is combined, the features of the span in each, and where they end there.
    parts: (&'a [&'a Part], &'a [&'a [u32]], &'a [usize]),
    union: &'a mut Union,
    sums: &'a mut MergeSums,
    kept: Kept,
}

impl Work for Span<'_> {
    type Output = ();

    #[inline(always)]
    fn run<const LANES: usize>(self) {
        let (parts, spans, ends) = self.parts;
        self.union.find(self.first, spans, &mut self.sums.features);
        self.sums.stretch(self.kept);
        for ((part, span), end) in parts.iter().zip(spans).zip(ends) {
            self.union.places_of(self.first, span);
            let at = end - span.len()..*end;
            self.sums.add(part, at, &self.union.places);
        }
    }
}

impl MergeSums {
    /// Sums without lanes, with room for so many features.
    fn empty(n_outputs: usize, n_features: usize, kept: Kept) -> Self {
        let cells = |wanted: bool| roomy(if wanted { n_features * n_outputs } else { 0 });
        let [plain, by_mass, magnitude, by_magnitude] = kept.kinds().map(cells);
        Self {
            n_outputs,
            n_lanes: 0,
            n_rows: 0,
            features: roomy(n_features),
            support: roomy(n_features),
            mass: roomy(n_features),
            plain,
            by_mass,
            magnitude,
            by_magnitude,
            intercept: vec![0.0; INTERCEPT_KINDS * n_outputs],
        }
    }

    /// Makes the arrays as long as there are features.
    #[inline(always)]
    fn stretch(&mut self, kept: Kept) {
        let (m, k) = (self.features.len(), self.n_outputs);
        self.support.resize(m, 0);
        self.mass.resize(m, 0.0);
        for (sums, is_kept) in self.kinds_mut().into_iter().zip(kept.kinds()) {
            sums.resize(if is_kept { m * k } else { 0 }, 0.0);
        }
    }

    /// Adds all that is not of features.
    fn add_counts(&mut self, part: &Part) {
        let (n_lanes, n_rows) = part.counts();
        self.n_lanes += n_lanes;
        self.n_rows += n_rows;
        match part {
            Part::Lane(lane) => {
                let k = self.n_outputs;
                let (moved, squares) = lane.changes.intercept.split_at(k);
                for o in 0..k {
                    let (w, square) = (f64::from(moved[o]), f64::from(squares[o]));
                    let numbers = [square, w, square * w, w.abs(), w.abs() * w];
                    for (kind, number) in numbers.into_iter().enumerate() {
                        self.intercept[kind * k + o] += number;
                    }
                }
            }
            Part::Sums(sums) => {
                for (sum, number) in self.intercept.iter_mut().zip(&sums.intercept) {
                    *sum += number;
                }
            }
        }
    }

    /// Adds the features of a part that are `at` there, each at its place here.
    #[inline(always)]
    fn add(&mut self, part: &Part, at: Range<usize>, places: &[u32]) {
        let k = self.n_outputs;
        let cells = at.start * k..at.end * k;
        match part {
            Part::Lane(lane) => {
                let masses = &lane.changes.sums[at];
                let moved = &lane.changes.weights[cells];
                for (&to, &mass) in places.iter().zip(masses) {
                    self.support[to as usize] += 1;
                    self.mass[to as usize] += f64::from(mass);
                }
                if lane.kept.plain {
                    add(&mut self.plain, k, places, moved, |_, w| f64::from(w));
                }
                if lane.kept.by_mass {
                    add(&mut self.by_mass, k, places, moved, |i, w| {
                        f64::from(masses[i]) * f64::from(w)
                    });
                }
                if lane.kept.by_magnitude {
                    let magnitude = |w: f32| f64::from(w.abs());
                    add(&mut self.magnitude, k, places, moved, |_, w| magnitude(w));
                    add(&mut self.by_magnitude, k, places, moved, |_, w| {
                        magnitude(w) * f64::from(w)
                    });
                }
            }
            Part::Sums(sums) => {
                let masses = sums.support[at.clone()].iter().zip(&sums.mass[at]);
                for (&to, (support, mass)) in places.iter().zip(masses) {
                    self.support[to as usize] += support;
                    self.mass[to as usize] += mass;
                }
                for (all, more) in self.kinds_mut().into_iter().zip(sums.kinds()) {
                    if !more.is_empty() {
                        add(all, k, places, &more[cells.clone()], |_, w| w);
                    }
                }
            }
        }
    }
}

/// Adds rows of `k` numbers, each to the row at its place; `weighted` has the number of the row as well.
#[inline(always)]
fn add<T: Copy>(
    sums: &mut [f64],
    k: usize,
    places: &[u32],
    numbers: &[T],
    weighted: impl Fn(usize, T) -> f64,
) {
    if k == 1 {
        for (i, (&to, &number)) in places.iter().zip(numbers).enumerate() {
            sums[to as usize] += weighted(i, number);
        }
        return;
    }
    for (i, (&to, row)) in places.iter().zip(numbers.chunks_exact(k)).enumerate() {
        for (sum, &number) in sums[to as usize * k..][..k].iter_mut().zip(row) {
            *sum += weighted(i, number);
        }
    }
}

#[cfg(test)]
mod tests;
