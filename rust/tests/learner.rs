//! The learner on input that no caller should give.

use _core::learn::{LearnError, Learner, Loss, Settings, score_rows};
use _core::rows::Rows;
use proptest::prelude::*;

const LOSSES: [Loss; 5] = [
    Loss::Log,
    Loss::Hinge,
    Loss::SquaredHinge,
    Loss::ModifiedHuber,
    Loss::SquaredError,
];

fn any_rows() -> impl Strategy<Value = Rows> {
    let indptr = prop::collection::vec(0usize..9, 0..6);
    let indices = prop::collection::vec(prop_oneof![0u32..12, any::<u32>()], 0..10);
    let values = prop::collection::vec(any::<f32>(), 0..10);
    (indptr, indices, values).prop_map(|(indptr, indices, values)| Rows {
        indptr,
        indices,
        values,
    })
}

fn any_settings() -> impl Strategy<Value = Settings> {
    let strength = || prop_oneof![Just(0.0f32), any::<f32>()];
    let rate = prop_oneof![Just(0.5f32), Just(1e9), any::<f32>()];
    let strengths = (strength(), strength(), strength());
    (0..LOSSES.len(), strengths, rate, any::<bool>()).prop_map(
        |(loss, (l1, l2, initial_g), learning_rate, fit_intercept)| Settings {
            loss: LOSSES[loss],
            l1,
            l2,
            learning_rate,
            initial_g,
            fit_intercept,
        },
    )
}

fn is_finite(learner: &Learner) -> bool {
    let all = learner.weights(0, learner.n_features()).unwrap();
    let sums = learner.accumulators(0, learner.n_features()).unwrap();
    all.iter()
        .chain(&sums)
        .chain(learner.intercept_state())
        .all(|number| number.is_finite())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn no_rows_make_it_panic_or_leave_a_state_that_is_not_finite(
        rows in any_rows(),
        settings in any_settings(),
        n_classes in 2usize..14,
        classes in prop::collection::vec(-1i32..14, 0..6),
        weights in prop::option::of(prop::collection::vec(any::<f32>(), 0..6)),
    ) {
        if let Ok(mut learner) = Learner::new(12, n_classes, settings) {
            for _ in 0..3 {
                let _ = learner.learn(&rows, &classes, weights.as_deref());
                let _ = learner.scores(&rows);
                learner.settle();
                prop_assert!(is_finite(&learner));
            }
            learner.grow(n_classes + 1).unwrap();
            prop_assert!(is_finite(&learner));
        }
    }

    #[test]
    fn wild_gradients_end_in_a_finite_state_or_an_error(
        values in prop::collection::vec(-1e19f32..1e19, 24),
        scale in -30i32..20,
        rate in 1e-6f32..1e9,
        loss in 0..LOSSES.len(),
        n_classes in 2usize..5,
    ) {
        let values = values.iter().map(|value| value * 10f32.powi(scale)).collect();
        let rows = Rows { indptr: vec![0, 8, 16, 24], indices: (0..8).chain(4..12).chain(2..10).collect(), values };
        let settings =
            Settings { loss: LOSSES[loss], l1: 0.0, l2: 0.0, learning_rate: rate, initial_g: 0.0, fit_intercept: true };
        let mut learner = Learner::new(12, n_classes, settings).unwrap();
        for _ in 0..20 {
            let _ = learner.learn(&rows, &[0, 1, 1], None);
            prop_assert!(is_finite(&learner));
        }
    }

    #[test]
    fn no_weights_make_scoring_panic(
        rows in any_rows(),
        weights in prop::collection::vec(any::<f32>(), 0..40),
        intercept in prop::collection::vec(any::<f32>(), 0..4),
    ) {
        if let Ok(scores) = score_rows(&rows, &weights, &intercept) {
            prop_assert_eq!(scores.len(), rows.len() * intercept.len());
        }
    }
}

#[test]
fn a_state_that_no_machine_holds_is_an_error_with_its_bytes() {
    let settings = Settings {
        loss: Loss::Log,
        l1: 0.0,
        l2: 0.0,
        learning_rate: 0.5,
        initial_g: 0.0,
        fit_intercept: true,
    };
    let error = Learner::new(1 << 30, 1 << 20, settings).unwrap_err();
    assert_eq!(
        error,
        LearnError::Memory {
            // A block for each feature and nobody's, filled up to whole registers, and room to shift the first to a
            // cache line.
            bytes: Some(4 * (((1 << 30) + 1) * ((1 << 20) + 8) + 16))
        }
    );
}
