//! States put into a learner and taken back; what rows change.

use super::draw::Draw;
use super::{ascend, same, taken};
use _core::learn::{LearnError, Learner, Loss, Settings};

/// Weights, sums of squared gradients, intercepts and rows seen, to the bit.
#[derive(Debug, Clone, PartialEq)]
pub struct State {
    pub weights: Vec<u32>,
    pub sums: Vec<u32>,
    pub intercept: Vec<u32>,
    pub n_rows: u64,
}

fn bits(numbers: &[f32]) -> Vec<u32> {
    // A zero may have got another sign.
    numbers.iter().map(|x| (x + 0.0).to_bits()).collect()
}

impl State {
    /// The state of a learner that owes no regularisation.
    pub fn of(learner: &Learner) -> Result<Self, String> {
        let n = learner.n_features();
        Ok(Self {
            weights: bits(&learner.weights(0, n).map_err(|error| error.to_string())?),
            sums: bits(
                &learner
                    .accumulators(0, n)
                    .map_err(|error| error.to_string())?,
            ),
            intercept: bits(learner.intercept_state()),
            n_rows: learner.n_rows_seen(),
        })
    }
}

/// A learner of a shape, most often one that may be.
pub fn made(
    draw: &mut Draw<'_>,
    n_features: usize,
    n_classes: usize,
) -> Result<Option<(Learner, Settings)>, String> {
    let strength = |draw: &mut Draw<'_>| if draw.seldom() { draw.single() } else { 0.0 };
    let (l1, l2, initial_g) = (strength(draw), strength(draw), strength(draw));
    let learning_rate = if draw.seldom() { draw.single() } else { 0.5 };
    let losses = [
        Loss::Log,
        Loss::Hinge,
        Loss::SquaredHinge,
        Loss::ModifiedHuber,
    ];
    let settings = Settings {
        loss: losses[draw.below(losses.len())],
        l1,
        l2,
        learning_rate,
        initial_g,
        fit_intercept: draw.below(2) == 0,
    };
    let strong = |strength: f32| strength >= 0.0 && strength.is_finite();
    let valid = strong(l1)
        && strong(l2)
        && strong(initial_g)
        && learning_rate > 0.0
        && learning_rate <= 1e9
        && n_features > 0
        && n_classes > 1;
    taken(
        "a learner",
        Learner::new(n_features, n_classes, settings),
        valid,
    )
    .map(|learner| Some((learner?, settings)))
}

pub fn learner(draw: &mut Draw<'_>) -> Result<(), String> {
    let (n_features, n_classes) = (draw.byte() as usize, draw.below(5));
    let Some((mut learner, _)) = made(draw, n_features, n_classes)? else {
        return Ok(());
    };
    for _ in 0..draw.below(8) {
        learner.settle();
        let before = State::of(&learner)?;
        let done = match draw.below(6) {
            0 => put(draw, &mut learner),
            1 => scattered(draw, &mut learner),
            2 => intercept(draw, &mut learner),
            3 => changed(draw, &mut learner, &before),
            4 => {
                let n_classes = draw.below(7);
                let valid = n_classes >= learner.n_classes();
                taken("more classes", learner.grow(n_classes), valid).map(|grown| grown.is_some())
            }
            _ => taught(draw, &mut learner),
        };
        if !done? {
            learner.settle();
            same("the state after an error", &State::of(&learner)?, &before)?;
        }
    }
    Ok(())
}

fn possible(weights: &[f32], sums: &[f32]) -> bool {
    weights.iter().all(|w| w.is_finite()) && sums.iter().all(|g| g.is_finite() && *g >= 0.0)
}

/// Whether numbers were taken: then they are what the learner has.
fn put(draw: &mut Draw<'_>, learner: &mut Learner) -> Result<bool, String> {
    let (k, n) = (learner.n_outputs(), draw.below(6));
    let start = if draw.seldom() {
        draw.count() as usize
    } else {
        draw.byte() as usize
    };
    let n_weights = draw.about(n * k);
    let weights = draw.many(n_weights, Draw::single);
    let sums = draw.many(n, Draw::single);
    let stop = start
        .checked_add(n)
        .filter(|&stop| stop <= learner.n_features());
    let valid = stop.is_some() && weights.len() == n * k && possible(&weights, &sums);
    let Some(()) = taken("a state", learner.set_state(start, &weights, &sums), valid)? else {
        return Ok(false);
    };
    let found = learner
        .weights(start, start + n)
        .map_err(|error| error.to_string())?;
    same("weights", &bits(&found), &bits(&weights))?;
    let found = learner
        .accumulators(start, start + n)
        .map_err(|error| error.to_string())?;
    same("accumulators", &bits(&found), &bits(&sums))?;
    Ok(true)
}

fn scattered(draw: &mut Draw<'_>, learner: &mut Learner) -> Result<bool, String> {
    let (k, n) = (learner.n_outputs(), draw.below(6));
    let features = draw.features(n);
    let n = features.len();
    let (n_weights, n_sums) = (draw.about(n * k), draw.about(n));
    let weights = draw.many(n_weights, Draw::single);
    let sums = draw.many(n_sums, Draw::single);
    let known = ascend(&features)
        && features
            .iter()
            .all(|&j| (j as usize) < learner.n_features());
    let gathered = taken("gathered features", learner.gather(&features), known)?;
    if let Some((weights, sums)) = gathered {
        same("lengths", &(weights.len(), sums.len()), &(n * k, n))?;
    }
    let fits = weights.len() == n * k && sums.len() == n;
    let valid = known && fits && possible(&weights, &sums);
    let Some(()) = taken(
        "features",
        learner.scatter(&features, &weights, &sums),
        valid,
    )?
    else {
        return Ok(false);
    };
    let (found, found_sums) = learner
        .gather(&features)
        .map_err(|error| error.to_string())?;
    same("weights", &bits(&found), &bits(&weights))?;
    same("accumulators", &bits(&found_sums), &bits(&sums))?;
    let met = learner.met();
    same("met features ascend", &ascend(&met), &true)?;
    let all_met = features
        .iter()
        .zip(&sums)
        .all(|(j, &sum)| sum == 0.0 || met.contains(j));
    same("features with a sum are met", &all_met, &true)?;
    Ok(true)
}

fn intercept(draw: &mut Draw<'_>, learner: &mut Learner) -> Result<bool, String> {
    let k = learner.n_outputs();
    let n = draw.about(2 * k);
    let state = draw.many(n, Draw::single);
    let n_rows = draw.count();
    let valid = n == 2 * k && possible(&state[..k], &state[k..]);
    let Some(()) = taken(
        "intercepts",
        learner.set_intercept_state(&state, n_rows),
        valid,
    )?
    else {
        return Ok(false);
    };
    same(
        "intercepts",
        &bits(learner.intercept_state()),
        &bits(&state),
    )?;
    same("rows seen", &learner.n_rows_seen(), &n_rows)?;
    Ok(true)
}

/// Whether rows were learnt. A model that blew up may be any.
fn taught(draw: &mut Draw<'_>, learner: &mut Learner) -> Result<bool, String> {
    let n_rows = draw.below(4);
    let beyond = u32::from(draw.seldom());
    let rows = draw.rows(learner.n_features() as u32 + beyond, n_rows);
    let n = draw.about(n_rows);
    let classes = draw.many(n, |draw| {
        if draw.seldom() {
            draw.signed() as i32
        } else {
            draw.below(learner.n_classes()) as i32
        }
    });
    let weights = draw.seldom().then(|| draw.many(n_rows, Draw::single));
    let known =
        |class: &i32| usize::try_from(*class).is_ok_and(|class| class < learner.n_classes());
    let valid = n == n_rows
        && learner.n_rows_seen().checked_add(n_rows as u64).is_some()
        && rows
            .indices
            .iter()
            .all(|&j| (j as usize) < learner.n_features())
        && classes.iter().all(known)
        && weights
            .iter()
            .flatten()
            .all(|weight| weight.is_finite() && *weight >= 0.0);
    match learner.learn(&rows, &classes, weights.as_deref()) {
        Err(LearnError::Diverged { row }) if valid && row < n_rows => Ok(true),
        result => taken("rows to learn", result, valid).map(|stats| stats.is_some()),
    }
}

/// Changes noted over some rows: the differences, and the learner is as it was.
fn changed(draw: &mut Draw<'_>, learner: &mut Learner, before: &State) -> Result<bool, String> {
    let error = |error: LearnError| error.to_string();
    learner.begin_changes().map_err(error)?;
    for _ in 0..draw.below(3) {
        taught(draw, learner)?;
    }
    learner.settle();
    let (n, k) = (learner.n_features(), learner.n_outputs());
    let (now, sums) = (
        learner.weights(0, n).map_err(error)?,
        learner.accumulators(0, n).map_err(error)?,
    );
    let changes = learner.take_changes().map_err(error)?;
    same("features ascend", &ascend(&changes.features), &true)?;
    let moved = |now: f32, then: u32| now - f32::from_bits(then);
    for (j, &sum) in sums.iter().enumerate() {
        let place = changes.features.binary_search(&(j as u32)).ok();
        let pairs = now[j * k..].iter().zip(&before.weights[j * k..]).take(k);
        for (o, (&now, &then)) in pairs.enumerate() {
            let found = place.map_or(0.0, |place| changes.weights[place * k + o]);
            let expected = moved(now, then);
            // A difference that is no number is of a model that blew up.
            if !expected.is_nan() {
                same("change of a weight", &bits(&[found]), &bits(&[expected]))?;
            }
        }
        let found = place.map_or(0.0, |place| changes.sums[place]);
        let expected = moved(sum, before.sums[j]).max(0.0);
        same("change of a sum", &bits(&[found]), &bits(&[expected]))?;
    }
    // As after an error: nothing is to be changed.
    Ok(false)
}
