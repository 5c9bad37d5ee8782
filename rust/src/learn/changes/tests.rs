use super::*;
use crate::learn::{Loss, Settings};
use proptest::prelude::*;

const N: usize = 200;

fn learner(n_classes: usize, l2: f32) -> Learner {
    let settings = Settings {
        loss: Loss::Log,
        l1: l2 / 3.0,
        l2,
        learning_rate: 0.5,
        initial_g: l2,
        fit_intercept: true,
    };
    Learner::new(N, n_classes, settings).expect("the settings are in range")
}

fn any_rows() -> impl Strategy<Value = Rows> {
    let row = prop::collection::btree_map(0..N as u32, -1.0f32..1.0, 0..12);
    prop::collection::vec(row, 0..8).prop_map(|rows| {
        let (mut ends, mut features, mut values) = (vec![0], Vec::new(), Vec::new());
        for (j, x) in rows
            .into_iter()
            .flat_map(|row| {
                let mut row: Vec<_> = row.into_iter().map(Some).collect();
                row.push(None);
                row
            })
            .map(|cell| cell.unzip())
        {
            features.extend(j);
            values.extend(x);
            if j.is_none() {
                ends.push(features.len());
            }
        }
        Rows {
            indptr: ends,
            indices: features,
            values,
        }
    })
}

fn learn(learner: &mut Learner, rows: &Rows) {
    let classes: Vec<i32> = (0..rows.len())
        .map(|i| (i % learner.n_classes()) as i32)
        .collect();
    learner
        .learn(rows, &classes, None)
        .expect("values are small");
}

/// Everything, on bits.
fn state(learner: &Learner) -> (Vec<u32>, u64) {
    let weights = learner.weights(0, N).expect("there are so many");
    let sums = learner.accumulators(0, N).expect("there are so many");
    let all = weights.iter().chain(&sums).chain(learner.intercept_state());
    (all.map(|x| x.to_bits()).collect(), learner.n_rows_seen())
}

/// Gives one learner all that another has learnt.
fn put_all(to: &mut Learner, from: &Learner) {
    let all = from.met();
    let (weights, sums) = from.gather(&all).expect("they ascend");
    to.scatter(&all, &weights, &sums).expect("it is a state");
    let intercept = from.intercept_state();
    to.set_intercept_state(intercept, from.n_rows_seen())
        .expect("it is a state");
}

proptest! {
    #[test]
    fn a_learner_is_put_back_and_its_changes_are_now_less_then(
        n_classes in prop_oneof![Just(2usize), Just(3), Just(40)],
        l2 in prop_oneof![Just(0.0f32), Just(0.5)],
        rounds in prop::collection::vec(any_rows(), 1..4),
    ) {
        let (mut noting, mut plain) = (learner(n_classes, l2), learner(n_classes, l2));
        for rows in &rounds {
            let before = state(&noting);
            noting.begin_changes().expect("memory is there");
            learn(&mut noting, rows);
            let changes = noting.take_changes().expect("it was begun");
            prop_assert_eq!(&before, &state(&noting));
            let (then, then_sums) = noting.gather(&changes.features).expect("they ascend");
            // What is noted is learnt without regularisation.
            let mut free = Learner::new(N, n_classes, Settings { l1: 0.0, l2: 0.0, ..noting.settings })
                .expect("the settings are in range");
            put_all(&mut free, &noting);
            learn(&mut free, rows);
            let (now, now_sums) = free.gather(&changes.features).expect("they ascend");
            for learner in [&mut noting, &mut plain] {
                learn(learner, rows);
                learner.settle();
            }
            prop_assert_eq!(state(&noting), state(&plain));
            let less = |now: &[f32], then: &[f32]| -> Vec<f32> {
                now.iter().zip(then).map(|(now, then)| now - then).collect()
            };
            prop_assert_eq!(&changes.weights, &less(&now, &then));
            prop_assert_eq!(&changes.sums, &less(&now_sums, &then_sums));
        }
    }

    #[test]
    fn a_state_scattered_between_rounds_is_what_the_next_round_starts_from(
        n_classes in prop_oneof![Just(2usize), Just(3)],
        rounds in prop::collection::vec((any_rows(), any_rows()), 1..5),
    ) {
        let mut kept = learner(n_classes, 0.0);
        let mut driver = learner(n_classes, 0.0);
        for (rows, others) in &rounds {
            kept.begin_changes().expect("memory is there");
            learn(&mut kept, rows);
            let changes = kept.take_changes().expect("it was begun");
            let mut fresh = learner(n_classes, 0.0);
            put_all(&mut fresh, &driver);
            fresh.begin_changes().expect("memory is there");
            learn(&mut fresh, rows);
            prop_assert_eq!(changes, fresh.take_changes().expect("it was begun"));
            learn(&mut driver, others);
            put_all(&mut kept, &driver);
            prop_assert_eq!(state(&kept), state(&driver));
        }
    }

    #[test]
    fn no_scatter_panics(
        features in prop::collection::vec(any::<u32>(), 0..4),
        weights in prop::collection::vec(any::<f32>(), 0..9),
        sums in prop::collection::vec(any::<f32>(), 0..4),
    ) {
        let mut learner = learner(3, 0.1);
        let before = state(&learner);
        if learner.scatter(&features, &weights, &sums).is_err() {
            prop_assert_eq!(before, state(&learner));
        }
        let _ = learner.gather(&features);
    }
}

#[test]
fn rows_that_an_error_kept_from_being_learnt_have_no_changes() {
    let mut learner = learner(3, 0.0);
    let rows = Rows {
        indptr: vec![0, 1, 2],
        indices: vec![5, 7],
        values: vec![f32::MAX, 1.0],
    };
    let before = state(&learner);
    learner.begin_changes().expect("memory is there");
    assert!(learner.learn(&rows, &[0, 1], None).is_err());
    let changes = learner.take_changes().expect("it was begun");
    assert_eq!(changes.features, Vec::<u32>::new());
    assert_eq!(state(&learner), before);
    assert_eq!(learner.met(), Vec::<u32>::new());
}
