//! Arrays that come from outside: an error, or what a naive twin makes of them. Never a panic.
//!
//! ```text
//! rows        CSR arrays → rows → taken, weighted, scored, written as lines
//! hashes      chunks of hashes, picked documents → rows; hashed batches
//! counts      sparse counts and sums, merged and widened
//! learner     states put and taken back, changes between two moments
//! merging     changes of lanes, combined in any grouping, and what a rule makes of the sums
//! ```
//!
//! The arrays of a case are drawn from its bytes, so that a failing case can be made small.

mod counts;
mod draw;
mod learner;
mod merging;
mod rows;

use crate::random::Random;
use draw::Draw;
use std::fmt::Debug;

pub const NAMES: [&str; 5] = ["rows", "hashes", "counts", "learner", "merging"];

/// What a case of a seed tries.
pub fn kind(seed: u64) -> usize {
    Random::new(seed ^ 0x6172_7261).below(NAMES.len())
}

/// The bytes that arrays are drawn from: most often small numbers, which fit each other now and then.
pub fn input(seed: u64) -> Vec<u8> {
    let mut random = Random::new(seed);
    let length = random.pick(&[8, 30, 100, 300, 1000]);
    let wild = random.pick(&[2, 10, 1000]);
    let byte = |random: &mut Random| {
        if random.once_in(wild) {
            random.next() as u8
        } else {
            random.below(8) as u8
        }
    };
    (0..length).map(|_| byte(&mut random)).collect()
}

/// Tries arrays drawn from bytes.
///
/// # Errors
/// In which way the product does not give what the twin gives.
pub fn check(seed: u64, bytes: &[u8]) -> Result<(), String> {
    let mut draw = Draw::new(bytes);
    match NAMES[kind(seed)] {
        "rows" => rows::csr(&mut draw),
        "hashes" => rows::hashes(&mut draw),
        "counts" => counts::counts(&mut draw),
        "learner" => learner::learner(&mut draw),
        _ => merging::merging(&mut draw),
    }
}

/// # Errors
/// If the product gives something else than the twin.
fn same<T: PartialEq + Debug>(what: &str, found: &T, expected: &T) -> Result<(), String> {
    if found == expected {
        return Ok(());
    }
    Err(format!(
        "{what}: the product gives {found:?}, the twin {expected:?}"
    ))
}

/// # Errors
/// If the product takes what the twin refuses, or the other way round.
fn taken<T, E: Debug>(what: &str, found: Result<T, E>, valid: bool) -> Result<Option<T>, String> {
    match found {
        Ok(found) if valid => Ok(Some(found)),
        Err(_) if !valid => Ok(None),
        Ok(_) => Err(format!("{what}: invalid arrays are taken")),
        Err(error) => Err(format!("{what}: valid arrays are refused: {error:?}")),
    }
}

/// Whether numbers strictly ascend.
fn ascend<T: PartialOrd>(numbers: &[T]) -> bool {
    numbers.windows(2).all(|pair| pair[0] < pair[1])
}

/// Whether two sums of the same terms in another order are near.
fn near(a: f64, b: f64) -> bool {
    a == b || (a - b).abs() <= 1e-4 * a.abs().max(b.abs()).max(1e-4)
}
