//! Random cases through the core and through naive twins, for a fixed time.
//!
//! ```text
//! pipeline    text → hashes → matrix and rows, on every tier of kernels     must be the twin's, bit for bit
//! arrays      arrays from outside → rows, counts, states, merged lanes         an error, or what the twin gives
//! readers     bytes → texts, labels, weights, bad records                   must keep the laws of `readers`
//! ```
//!
//! `MANYMILL_KERNELS` chooses the tier once a process, so each tier has its own. `FUZZ_SECONDS` is the time for all
//! tiers together; `FUZZ_SEED` repeats a case: it is the first that is tried.

#![cfg(unix)]

mod arrays;
mod case;
mod check;
mod document;
mod expected;
mod random;
mod readers;
mod runner;
mod shrink;
mod twin;

use case::Case;
use runner::Target;

const TARGETS: [Target; 3] = [
    Target {
        name: "pipeline",
        documents: |seed| Case::new(seed).documents,
        check: |seed, documents| check::check(&Case::with(seed, documents.to_vec())),
        settings: |seed| format!("{:#?}", Case::new(seed).settings),
        kinds: &["cases"],
        kind: |_| 0,
        step: 1,
    },
    Target {
        name: "readers",
        documents: |seed| vec![readers::input(seed)],
        check: |seed, documents| readers::check(seed, &documents.concat()),
        settings: |seed| format!("{:#?}", readers::Settings::new(seed)),
        kinds: &readers::NAMES,
        kind: |seed| readers::Settings::new(seed).reader as usize,
        step: 256,
    },
    Target {
        name: "arrays",
        documents: |seed| vec![arrays::input(seed)],
        check: |seed, documents| arrays::check(seed, &documents.concat()),
        settings: |seed| format!("about {}", arrays::NAMES[arrays::kind(seed)]),
        kinds: &arrays::NAMES,
        kind: arrays::kind,
        step: 256,
    },
];

fn target(name: &str) -> &'static Target {
    let target = TARGETS.iter().find(|target| target.name == name);
    target.expect("a target of this name")
}

/// Try a target on the tier that this processor would get.
fn try_on_best_tier(name: &str) {
    let tier = _core::kernels::best().name;
    let failure = runner::run(
        target(name),
        tier,
        runner::first_seed(),
        runner::all_seconds(),
    );
    assert!(failure.is_none(), "{}", failure.unwrap_or_default());
}

#[test]
fn every_tier_gives_what_the_twin_gives() {
    let tiers: Vec<&str> = _core::kernels::available()
        .map(|kernels| kernels.name)
        .collect();
    let (seed, seconds) = (
        runner::first_seed(),
        runner::all_seconds() / tiers.len() as f64,
    );
    let failures: Vec<_> = tiers
        .iter()
        .filter_map(|tier| runner::run(target("pipeline"), tier, seed, seconds))
        .collect();
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}

#[test]
fn readers_keep_their_laws() {
    try_on_best_tier("readers");
}

#[test]
fn arrays_are_refused_or_give_what_the_twin_gives() {
    try_on_best_tier("arrays");
}

#[test]
#[ignore = "the tests above start it, once a round"]
fn cases() {
    if let (Ok(name), Ok(path)) = (std::env::var("FUZZ_TARGET"), std::env::var("FUZZ_FILE")) {
        runner::cases(target(&name), &path);
    }
}

#[test]
#[ignore = "shrinking starts it, once an attempt"]
fn one_case() {
    if let (Ok(name), Ok(path)) = (std::env::var("FUZZ_TARGET"), std::env::var("FUZZ_FILE")) {
        runner::one_case(target(&name), &path);
    }
}
