use super::*;
use crate::learn::{Learner, Loss, Settings};
use crate::rows::Rows;
use proptest::prelude::*;

fn learner(n_classes: usize, l2: f32) -> Learner {
    let settings = Settings {
        loss: Loss::ModifiedHuber,
        l1: 0.0,
        l2,
        learning_rate: 0.5,
        initial_g: 0.1,
        fit_intercept: true,
    };
    Learner::new(5000, n_classes, settings).expect("the settings are in range")
}

/// As if the system had not given the whole memory at once.
fn shrink(table: &mut Table) {
    table.memory = vec![0.0; CELLS_OF_A_LINE + table.width];
    let origin = table
        .memory
        .as_ptr()
        .align_offset(size_of::<[f32; CELLS_OF_A_LINE]>());
    table.origin = origin.min(CELLS_OF_A_LINE);
}

proptest! {
    #[test]
    fn memory_that_grows_holds_what_memory_taken_at_once_holds(
        features in prop::collection::vec(0u32..5000, 1..400),
        n_classes in prop_oneof![Just(3usize), Just(9), Just(40), Just(512)],
        l2 in prop_oneof![Just(0.0f32), Just(1e-2)],
    ) {
        let mut both = [learner(n_classes, l2), learner(n_classes, l2)];
        shrink(&mut both[1].table);
        let rows = Rows {
            indptr: (0..=features.len()).collect(),
            values: features.iter().map(|j| (j % 7) as f32 / 8.0).collect(),
            indices: features,
        };
        let classes: Vec<i32> = (0..rows.len()).map(|i| (i % n_classes) as i32).collect();
        for learner in &mut both {
            learner.learn(&rows, &classes, None).expect("values are small");
            learner.scatter(&[7, 4999], &vec![0.5; 2 * n_classes], &[1.0, 2.0]).expect("they are of its shape");
            learner.grow(n_classes + 1).expect("memory is there");
            learner.settle();
        }
        let [at_once, grown] = both;
        prop_assert_eq!(at_once.met(), grown.met());
        prop_assert_eq!(at_once.weights(0, 5000), grown.weights(0, 5000));
        prop_assert_eq!(at_once.accumulators(0, 5000), grown.accumulators(0, 5000));
    }
}
