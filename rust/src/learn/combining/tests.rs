//! Combining against a slow twin.

use super::*;
use crate::learn::MergeRule;
use proptest::prelude::*;
use std::collections::BTreeMap;

fn any_lane(k: usize) -> impl Strategy<Value = Part> {
    let near = prop_oneof![0u32..50, 0u32..5 * SPAN as u32, any::<u32>()];
    let numbers = prop::collection::vec(-1.0f32..1.0, k + 1);
    let features = prop::collection::btree_map(near, numbers.clone(), 0..30);
    (features, prop::collection::vec(0.0f32..1.0, 2 * k), 1u64..9).prop_map(
        move |(features, intercept, n_rows)| {
            let mut changes = Changes {
                intercept,
                ..Changes::default()
            };
            for (j, numbers) in features {
                changes.features.push(j);
                changes.sums.push(numbers[k].abs());
                changes.weights.extend(&numbers[..k]);
            }
            let rules = [MergeRule::Mass, MergeRule::Magnitude];
            let lane = LaneSums::of(changes, n_rows, Kept::of(&rules));
            Part::Lane(lane.expect("all numbers are possible"))
        },
    )
}

/// A map instead of spans: support, mass, and the four sums of each feature.
fn slow(lanes: &[&Part], k: usize) -> BTreeMap<u32, (u32, Vec<f64>)> {
    let mut all = BTreeMap::new();
    for lane in lanes {
        let Part::Lane(LaneSums { changes, .. }) = lane else {
            continue;
        };
        for (i, &j) in changes.features.iter().enumerate() {
            let (support, sums) = all.entry(j).or_insert((0, vec![0.0; 1 + 4 * k]));
            *support += 1;
            let mass = f64::from(changes.sums[i]);
            sums[0] += mass;
            for o in 0..k {
                let w = f64::from(changes.weights[i * k + o]);
                sums[1 + o] += w;
                sums[1 + k + o] += mass * w;
                sums[1 + 2 * k + o] += w.abs();
                sums[1 + 3 * k + o] += w.abs() * w;
            }
        }
    }
    all
}

fn lanes() -> impl Strategy<Value = (usize, Vec<Part>)> {
    prop_oneof![Just(1usize), Just(3), Just(9)]
        .prop_flat_map(|k| (Just(k), prop::collection::vec(any_lane(k), 1..6)))
}

proptest! {
    #[test]
    fn sums_are_those_of_a_map((k, lanes) in lanes()) {
        let lanes: Vec<&Part> = lanes.iter().collect();
        let sums = Part::combine(&lanes).expect("they are of one kind");
        let slow = slow(&lanes, k);
        prop_assert!(sums.features.iter().eq(slow.keys()));
        for (i, (support, numbers)) in slow.values().enumerate() {
            let here = i * k..(i + 1) * k;
            prop_assert_eq!(sums.support[i], *support);
            prop_assert_eq!(sums.mass[i], numbers[0]);
            for (kind, expected) in sums.kinds().into_iter().zip(numbers[1..].chunks_exact(k)) {
                prop_assert_eq!(&kind[here.clone()], expected);
            }
        }
        prop_assert_eq!(sums.n_lanes, lanes.len() as u64);
        prop_assert!(sums.checked().is_ok());
    }

    #[test]
    fn a_lane_in_float32_and_its_sums_add_up_to_the_same((_, lanes) in lanes()) {
        let wide = lanes.iter().map(|lane| lane.sums().map(|sums| Part::Sums(sums.into_owned())));
        let wide: Vec<Part> = wide.collect::<Result<_, _>>().expect("one part is of one kind");
        let one = Part::combine(&lanes.iter().collect::<Vec<_>>());
        let other = Part::combine(&wide.iter().collect::<Vec<_>>());
        prop_assert_eq!(one.expect("of one kind"), other.expect("of one kind"));
    }
}

#[test]
fn what_does_not_fit_together_is_refused() {
    assert!(Part::combine(&[]).is_err());
    let of = |k: usize, rules: &[MergeRule]| {
        let changes = Changes {
            features: vec![3],
            weights: vec![1.0; k],
            sums: vec![1.0],
            intercept: vec![1.0; 2 * k],
        };
        Part::Lane(LaneSums::of(changes, 1, Kept::of(rules)).expect("all numbers are possible"))
    };
    let one = of(1, &[]);
    assert!(Part::combine(&[&one, &of(1, &[MergeRule::Support])]).is_ok());
    assert!(Part::combine(&[&one, &of(2, &[])]).is_err());
    assert!(Part::combine(&[&one, &of(1, &[MergeRule::Mass])]).is_err());
    assert!(Part::combine(&[&one, &of(1, &[MergeRule::Magnitude])]).is_err());
}
