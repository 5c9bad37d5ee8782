//! Changes of lanes, as arrays, combined, and put into a learner.

use super::draw::Draw;
use super::learner::{State, made};
use super::{ascend, near, same, taken};
use _core::learn::{Changes, Kept, LaneSums, LearnError, MergeRule, MergeSums, Part};
use std::collections::BTreeMap;

const RULES: [MergeRule; 5] = [
    MergeRule::Uniform,
    MergeRule::Support,
    MergeRule::Damped,
    MergeRule::Mass,
    MergeRule::Magnitude,
];

pub fn merging(draw: &mut Draw<'_>) -> Result<(), String> {
    let k = draw.below(4);
    let kept = Kept {
        plain: !draw.seldom(),
        by_mass: draw.below(2) == 0,
        by_magnitude: draw.below(2) == 0,
    };
    let mut parts = Vec::new();
    for _ in 0..draw.below(5) {
        let part = if draw.below(3) == 0 {
            sums(draw, k, kept)?
        } else {
            lane(draw, k, kept)?
        };
        parts.extend(part);
    }
    let all: Vec<&Part> = parts.iter().collect();
    // Of several kinds, or none at all.
    let mut kinds = all.iter().filter_map(|part| kind(part));
    let first = kinds.next();
    let alike = kinds.all(|other| Some(other) == first);
    let outputs = |part: &&Part| match part {
        Part::Lane(lane) => lane.changes.intercept.len() / 2,
        Part::Sums(sums) => sums.n_outputs,
    };
    let same_outputs = all.iter().all(|part| outputs(part) == outputs(&all[0]));
    let n_lanes: u128 = all.iter().map(|part| u128::from(part.counts().0)).sum();
    let n_rows: u128 = all.iter().map(|part| u128::from(part.counts().1)).sum();
    let countable = n_lanes <= u128::from(u32::MAX) && n_rows <= u128::from(u64::MAX);
    let valid = !all.is_empty() && alike && same_outputs && countable;
    let Some(whole) = taken("parts", Part::combine(&all), valid)? else {
        return Ok(());
    };
    let k = whole.n_outputs;
    same("features ascend", &ascend(&whole.features), &true)?;
    compare(&whole, &all, k)?;
    grouped(draw, &parts, &whole)?;
    marked(draw, &whole)?;
    into_learner(draw, &whole)
}

/// Which sums a part has; without features it does not say.
fn kind(part: &Part) -> Option<Kept> {
    match part {
        Part::Lane(lane) => Some(lane.kept),
        Part::Sums(sums) if sums.features.is_empty() => None,
        Part::Sums(sums) => Some(Kept {
            plain: !sums.plain.is_empty(),
            by_mass: !sums.by_mass.is_empty(),
            by_magnitude: !sums.magnitude.is_empty(),
        }),
    }
}

/// Whether sums serve a rule.
fn serve(kept: Kept) -> bool {
    kept.plain || kept.by_magnitude && !kept.by_mass
}

fn lane(draw: &mut Draw<'_>, k: usize, kept: Kept) -> Result<Option<Part>, String> {
    let n = draw.below(6);
    let spread = if draw.seldom() { 1009 } else { 1 };
    let mut features = draw.features(n);
    features
        .iter_mut()
        .for_each(|j| *j = j.wrapping_mul(spread));
    let (n, n_outputs) = (features.len(), draw.about(k));
    let n_weights = draw.about(n * n_outputs);
    let (n_sums, n_intercept) = (draw.about(n), draw.about(2 * n_outputs));
    let changes = Changes {
        features,
        weights: draw.many(n_weights, Draw::single),
        sums: draw.many(n_sums, Draw::single),
        intercept: draw.many(n_intercept, Draw::single),
    };
    let n_rows = draw.count();
    let k = n_intercept / 2;
    let finite = |all: &[f32]| all.iter().all(|x| x.is_finite());
    let valid = k > 0
        && n_intercept == 2 * k
        && n_weights == n * k
        && n_sums == n
        && ascend(&changes.features)
        && changes.sums.iter().all(|&sum| sum >= 0.0)
        && [&changes.weights, &changes.sums, &changes.intercept]
            .iter()
            .all(|all| finite(all));
    let valid = valid && serve(kept);
    let lane = LaneSums::of(changes, n_rows, kept);
    Ok(taken("changes", lane, valid)?.map(Part::Lane))
}

fn sums(draw: &mut Draw<'_>, k: usize, kept: Kept) -> Result<Option<Part>, String> {
    let n = draw.below(6);
    let features = draw.features(n);
    let (n, n_outputs) = (features.len(), draw.about(k));
    let cells = |draw: &mut Draw<'_>, wanted: bool| {
        let n = draw.about(if wanted { n * n_outputs } else { 0 });
        draw.many(n, Draw::float)
    };
    let (n_lanes, n_support, n_mass) = (draw.count(), draw.about(n), draw.about(n));
    let n_intercept = draw.about(5 * n_outputs);
    let sums = MergeSums {
        n_outputs,
        n_lanes,
        n_rows: draw.count(),
        support: draw.many(n_support, |draw| draw.unsigned().min(n_lanes as u32)),
        mass: draw.many(n_mass, Draw::float),
        plain: cells(draw, kept.plain),
        by_mass: cells(draw, kept.by_mass),
        magnitude: cells(draw, kept.by_magnitude),
        by_magnitude: cells(draw, kept.by_magnitude),
        intercept: draw.many(n_intercept, Draw::float),
        features,
    };
    let square = |n: &f64| *n >= 0.0 && n.is_finite();
    let optional = |all: &[f64]| all.is_empty() || all.len() == n * n_outputs;
    let numbers = [
        &sums.plain,
        &sums.by_mass,
        &sums.by_magnitude,
        &sums.intercept,
    ];
    let served = |sums: &MergeSums| kind(&Part::Sums(sums.clone())).is_none_or(serve);
    let valid = n_outputs > 0
        && sums.support.len() == n
        && sums.mass.len() == n
        && optional(&sums.plain)
        && optional(&sums.by_mass)
        && optional(&sums.magnitude)
        && sums.magnitude.len() == sums.by_magnitude.len()
        && served(&sums)
        && sums.intercept.len() == 5 * n_outputs
        && ascend(&sums.features)
        && (1..=u64::from(u32::MAX)).contains(&n_lanes)
        && sums
            .support
            .iter()
            .all(|&lanes| (1..=n_lanes).contains(&u64::from(lanes)))
        && sums.mass.iter().chain(&sums.magnitude).all(square)
        && numbers.iter().all(|all| all.iter().all(|x| x.is_finite()));
    Ok(taken("sums", sums.clone().checked(), valid)?.map(Part::Sums))
}

/// Support, mass and the four sums of a feature.
#[derive(Debug, Clone, Default, PartialEq)]
struct Cells {
    support: u64,
    mass: f64,
    plain: Vec<f64>,
    by_mass: Vec<f64>,
    magnitude: Vec<f64>,
    by_magnitude: Vec<f64>,
}

fn add(sums: &mut Vec<f64>, terms: impl Iterator<Item = f64>) {
    for (i, term) in terms.enumerate() {
        sums.resize(sums.len().max(i + 1), 0.0);
        sums[i] += term;
    }
}

fn row(numbers: &[f64], i: usize, k: usize) -> impl Iterator<Item = f64> + '_ {
    numbers.iter().skip(i * k).take(k).copied()
}

fn cells(parts: &[&Part], k: usize) -> BTreeMap<u32, Cells> {
    let mut all: BTreeMap<u32, Cells> = BTreeMap::new();
    for part in parts {
        for (i, &j) in part.features().iter().enumerate() {
            let cells = all.entry(j).or_default();
            match part {
                Part::Lane(lane) => {
                    let mass = f64::from(lane.changes.sums[i]);
                    let moved = lane.changes.weights[i * k..][..k]
                        .iter()
                        .map(|&w| f64::from(w));
                    cells.support += 1;
                    cells.mass += mass;
                    if lane.kept.plain {
                        add(&mut cells.plain, moved.clone());
                    }
                    if lane.kept.by_mass {
                        add(&mut cells.by_mass, moved.clone().map(|w| mass * w));
                    }
                    if lane.kept.by_magnitude {
                        add(&mut cells.magnitude, moved.clone().map(f64::abs));
                        add(&mut cells.by_magnitude, moved.map(|w| w.abs() * w));
                    }
                }
                Part::Sums(sums) => {
                    cells.support += u64::from(sums.support[i]);
                    cells.mass += sums.mass[i];
                    add(&mut cells.plain, row(&sums.plain, i, k));
                    add(&mut cells.by_mass, row(&sums.by_mass, i, k));
                    add(&mut cells.magnitude, row(&sums.magnitude, i, k));
                    add(&mut cells.by_magnitude, row(&sums.by_magnitude, i, k));
                }
            }
        }
    }
    all
}

fn compare(whole: &MergeSums, parts: &[&Part], k: usize) -> Result<(), String> {
    let expected = cells(parts, k);
    same(
        "features",
        &whole.features,
        &expected.keys().copied().collect(),
    )?;
    let found = cells(&[&Part::Sums(whole.clone())], k);
    let like = |a: &[f64], b: &[f64]| {
        a.len() == b.len()
            && a.iter()
                .zip(b)
                .all(|(a, b)| a.to_bits() == b.to_bits() || a == b || a.is_nan() && b.is_nan())
    };
    for (j, cells) in &expected {
        let sums = &found[j];
        let equal = sums.support == cells.support
            && like(&[sums.mass], &[cells.mass])
            && like(&sums.plain, &cells.plain)
            && like(&sums.by_mass, &cells.by_mass)
            && like(&sums.magnitude, &cells.magnitude)
            && like(&sums.by_magnitude, &cells.by_magnitude);
        if !equal {
            return Err(format!(
                "feature {j}: the product gives {sums:?}, the twin {cells:?}"
            ));
        }
    }
    Ok(())
}

/// Parts combined in two groups, and these again, are near the whole.
fn grouped(draw: &mut Draw<'_>, parts: &[Part], whole: &MergeSums) -> Result<(), String> {
    let (left, right) = parts.split_at(draw.below(parts.len() + 1));
    let groups: Vec<Part> = [left, right]
        .into_iter()
        .filter(|group| !group.is_empty())
        .map(|group| Part::combine(&group.iter().collect::<Vec<_>>()).map(Part::Sums))
        .collect::<Result<_, _>>()
        .map_err(|error| error.to_string())?;
    let found =
        Part::combine(&groups.iter().collect::<Vec<_>>()).map_err(|error| error.to_string())?;
    same("features of groups", &found.features, &whole.features)?;
    same("support of groups", &found.support, &whole.support)?;
    let counts = |sums: &MergeSums| (sums.n_lanes, sums.n_rows);
    same("counts of groups", &counts(&found), &counts(whole))?;
    // Terms of any size cancel: only sums of terms that do not are compared.
    let all_near = found
        .mass
        .iter()
        .zip(&whole.mass)
        .all(|(a, b)| near(*a, *b));
    same("masses of groups are near", &all_near, &true)
}

fn marked(draw: &mut Draw<'_>, whole: &MergeSums) -> Result<(), String> {
    let n = draw.byte() as usize;
    let marks = draw.many(n, |draw| draw.below(2) == 0);
    let valid = whole.features.iter().all(|&j| (j as usize) < n);
    let Some(part) = taken("marks", whole.part(&marks), valid)? else {
        return Ok(());
    };
    let k = whole.n_outputs;
    let mut expected = cells(&[&Part::Sums(whole.clone())], k);
    expected.retain(|&j, _| marks[j as usize]);
    let found = cells(&[&Part::Sums(part)], k);
    same(
        "marked features",
        &format!("{found:?}"),
        &format!("{expected:?}"),
    )
}

fn into_learner(draw: &mut Draw<'_>, sums: &MergeSums) -> Result<(), String> {
    let n_features = 1 + draw.byte() as usize;
    let n_classes = if sums.n_outputs == 1 {
        2
    } else {
        sums.n_outputs
    };
    let n_classes = draw.about(n_classes);
    let Some((mut learner, settings)) = made(draw, n_features, n_classes)? else {
        return Ok(());
    };
    let k = learner.n_outputs();
    let weights = draw.many(n_features * k, |draw| draw.below(8) as f32 / 4.0);
    let squares = draw.many(n_features, |draw| draw.below(8) as f32 / 4.0);
    learner
        .set_state(0, &weights, &squares)
        .map_err(|error| error.to_string())?;
    let before = State::of(&learner)?;
    let rule = RULES[draw.below(RULES.len())];
    let step = draw.float();
    let found = |numbers: &[f64]| sums.features.is_empty() || !numbers.is_empty();
    let has = match rule {
        MergeRule::Mass => found(&sums.by_mass),
        MergeRule::Magnitude => found(&sums.magnitude),
        _ => found(&sums.plain),
    };
    let valid =
        sums.n_outputs == k && has && sums.features.iter().all(|&j| (j as usize) < n_features);
    let result = learner.merge(sums, rule, step);
    if matches!(result, Err(LearnError::Diverged { .. })) && valid {
        return Ok(());
    }
    if taken("sums to merge", result, valid)?.is_none() {
        return same("the state after an error", &State::of(&learner)?, &before);
    }
    let all = cells(&[&Part::Sums(sums.clone())], k);
    let (now, grown) = (
        learner
            .weights(0, n_features)
            .map_err(|error| error.to_string())?,
        learner
            .accumulators(0, n_features)
            .map_err(|error| error.to_string())?,
    );
    for j in 0..n_features {
        let met = all.get(&(j as u32));
        for o in 0..k {
            let before = f64::from(settings.initial_g) + f64::from(squares[j]);
            let shared =
                f64::from(settings.initial_g) + f64::from(squares[j]) / sums.n_lanes as f64;
            let moved = met.map_or(0.0, |cells| {
                moved(cells, o, rule, sums) * pace(cells, rule, before, shared)
            });
            let expected = (f64::from(weights[j * k + o]) as f32) + (step * moved) as f32;
            // The quotient of two sums may overflow; the learner multiplies by the step first, which may be 0.
            if moved.is_finite() && !near(f64::from(now[j * k + o]), f64::from(expected)) {
                return Err(format!(
                    "{rule:?}: weight {} of {j}, the twin {expected}",
                    now[j * k + o]
                ));
            }
        }
        let expected = squares[j] + met.map_or(0.0, |cells| cells.mass as f32);
        same("accumulator", &grown[j], &expected)?;
    }
    Ok(())
}

/// What a rule takes from the moves of a feature because each lane began with a share of its squares.
fn pace(cells: &Cells, rule: MergeRule, before: f64, shared: f64) -> f64 {
    let support = cells.support as f64;
    match rule {
        MergeRule::Magnitude if before + cells.mass > 0.0 => {
            ((shared + cells.mass / support) / (before + cells.mass)).sqrt()
        }
        MergeRule::Magnitude => support.powf(-0.5),
        _ => 1.0,
    }
}

/// How far a rule moves a weight, as the documentation of merging says it.
fn moved(cells: &Cells, o: usize, rule: MergeRule, sums: &MergeSums) -> f64 {
    let support = cells.support as f64;
    match rule {
        MergeRule::Uniform => cells.plain[o] / sums.n_lanes as f64,
        MergeRule::Mass if cells.mass > 0.0 => cells.by_mass[o] / cells.mass,
        MergeRule::Magnitude if cells.magnitude[o] > 0.0 && cells.by_magnitude[o] != 0.0 => {
            let mean = cells.by_magnitude[o] / cells.magnitude[o];
            let moving = (cells.magnitude[o] / mean.abs()).clamp(1.0, support);
            mean * moving.sqrt() * moving.powf(0.25).min(2.0)
        }
        MergeRule::Magnitude => 0.0,
        MergeRule::Damped => cells.plain[o] * support.powf(0.25).min(2.0) / support,
        MergeRule::Support | MergeRule::Mass => cells.plain[o] / support,
    }
}
