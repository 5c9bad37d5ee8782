//! Random cases through the whole pipeline and through a naive twin, on every tier of kernels, for a fixed time.
//!
//! ```text
//! for each tier:                              MANYMILL_KERNELS chooses once a process, so each tier has its own
//!     until the time is over:
//!         case ← settings and documents of the next seed
//!         text → hashes → matrix and rows     must be the twin's, bit for bit
//!     a process that ended badly (a difference, a panic, a read of forbidden memory):
//!         the documents are shrunk, one process an attempt; tier, seed and documents are told
//! ```
//!
//! `FUZZ_SECONDS` is the time for all tiers together; `FUZZ_SEED` repeats a case: it is the first that is tried.

#![cfg(unix)]

mod case;
mod check;
mod document;
mod random;
mod shrink;
mod twin;

use case::Case;
use std::fs::{self, File};
use std::io::{Seek, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant, SystemTime};

const SECONDS: f64 = 5.0;

fn number<T: std::str::FromStr>(name: &str) -> Option<T> {
    std::env::var(name).ok()?.parse().ok()
}

/// A file of this process in the folder that the build gives to tests.
fn file(tier: &str) -> PathBuf {
    let name = format!("fuzz-{}-{tier}", std::process::id());
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(name)
}

/// This program once more, on one tier, for one of the tests below that are ignored else.
fn child(test: &str, tier: &str, settings: [(&str, String); 3]) -> Output {
    let program = std::env::current_exe().expect("this program has a path");
    Command::new(program)
        .args(["--exact", test, "--ignored", "--nocapture"])
        .env("MANYMILL_KERNELS", tier)
        .env("RUST_BACKTRACE", "0")
        .envs(settings)
        .output()
        .expect("this program starts again")
}

#[test]
fn every_tier_gives_what_the_twin_gives() {
    let clock = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let seed = number("FUZZ_SEED").unwrap_or(clock.map_or(0, |time| time.as_nanos() as u64));
    let tiers: Vec<&str> = _core::kernels::available()
        .map(|kernels| kernels.name)
        .collect();
    let seconds = number("FUZZ_SECONDS").unwrap_or(SECONDS) / tiers.len() as f64;
    println!("seed {seed}, {seconds:.1} s a tier");
    let mut failures = Vec::new();
    for tier in tiers {
        let path = file(tier);
        let done = child("one_tier", tier, settings(&path, seed, seconds));
        let last = fs::read(&path).ok().and_then(|bytes| bytes.try_into().ok());
        let last = last.map_or(seed, u64::from_le_bytes);
        println!("{tier}: {} cases", last.wrapping_sub(seed) + 1);
        if !done.status.success() {
            failures.push(explained(&path, tier, last, &done));
        }
        let _ = fs::remove_file(path);
    }
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}

fn settings(path: &Path, seed: u64, seconds: f64) -> [(&'static str, String); 3] {
    [
        ("FUZZ_FILE", path.display().to_string()),
        ("FUZZ_SEED", seed.to_string()),
        ("FUZZ_SECONDS", seconds.to_string()),
    ]
}

/// What went wrong with the last case of a process, with documents as small as they can be.
fn explained(path: &Path, tier: &str, seed: u64, done: &Output) -> String {
    let mut said = done.clone();
    let documents = shrink::shrink(Case::new(seed).documents, &mut |documents| {
        let case = Case::with(seed, documents.to_vec());
        fs::write(path, case.to_bytes()).expect("the build's folder takes a file");
        let again = child("one_case", tier, settings(path, seed, 0.0));
        let fails = !again.status.success();
        if fails {
            said = again;
        }
        fails
    });
    let texts = documents.iter().map(|text| text.escape_ascii().to_string());
    format!(
        "the tier {tier} with FUZZ_SEED={seed} ({})\n{:#?}\n{:#?}\n{}",
        said.status,
        texts.collect::<Vec<_>>(),
        Case::with(seed, Vec::new()).settings,
        String::from_utf8_lossy(&said.stderr)
    )
}

#[test]
#[ignore = "the test above starts it, once a tier"]
fn one_tier() {
    let (Ok(path), Some(mut seed)) = (std::env::var("FUZZ_FILE"), number::<u64>("FUZZ_SEED"))
    else {
        return;
    };
    let mut current = File::create(path).expect("the build's folder takes a file");
    let enough = Duration::from_secs_f64(number("FUZZ_SECONDS").unwrap_or(SECONDS));
    let start = Instant::now();
    while start.elapsed() < enough {
        // Whatever ends this process, the one that started it knows the case.
        current
            .rewind()
            .and_then(|()| current.write_all(&seed.to_le_bytes()))
            .expect("written");
        if let Err(difference) = check::check(&Case::new(seed)) {
            panic!("{difference}");
        }
        seed = seed.wrapping_add(1);
    }
}

#[test]
#[ignore = "shrinking starts it, once an attempt"]
fn one_case() {
    let Some(bytes) = std::env::var("FUZZ_FILE")
        .ok()
        .and_then(|path| fs::read(path).ok())
    else {
        return;
    };
    let case = Case::from_bytes(&bytes).expect("a case that this program wrote");
    if let Err(difference) = check::check(&case) {
        panic!("{difference}");
    }
}
