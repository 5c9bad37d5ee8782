//! Runs a target: processes that try one case after the other, and a failing case made small.
//!
//! ```text
//! parent:  starts a process for at most a minute, adds up what it tried, starts the next one
//! process: seed → documents → check                    and notes the seed every `step` cases
//!     a process that ended badly (a difference, a panic, a read of forbidden memory):
//!         the cases after the last noted seed are tried again, each noted
//!         the documents of the failing one are shrunk, one process an attempt
//! ```

use crate::shrink;
use std::fs::{self, File};
use std::io::{Seek, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant, SystemTime};

/// How long a target runs where `FUZZ_SECONDS` does not say.
const SECONDS: f64 = 5.0;
/// A process runs no longer than this: its parent reports in between.
const ROUND: f64 = 60.0;

/// Something that can be tried with random documents.
pub struct Target {
    pub name: &'static str,
    /// The documents of a seed.
    pub documents: fn(u64) -> Vec<Vec<u8>>,
    /// Tries documents with the settings of a seed.
    pub check: fn(u64, &[Vec<u8>]) -> Result<(), String>,
    /// The settings of a seed, to be read.
    pub settings: fn(u64) -> String,
    /// The kinds of cases, which are counted one by one, and the kind of a seed.
    pub kinds: &'static [&'static str],
    pub kind: fn(u64) -> usize,
    /// After how many cases the seed is noted: 1 where a case takes longer than writing it down.
    pub step: u64,
}

/// A number in the environment.
pub fn number<T: std::str::FromStr>(name: &str) -> Option<T> {
    std::env::var(name).ok()?.parse().ok()
}

/// The first seed: `FUZZ_SEED`, or the time.
pub fn first_seed() -> u64 {
    let clock = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    number("FUZZ_SEED").unwrap_or(clock.map_or(0, |time| time.as_nanos() as u64))
}

/// For how many seconds all of it runs.
pub fn all_seconds() -> f64 {
    number("FUZZ_SECONDS").unwrap_or(SECONDS)
}

/// Try a target on a tier of kernels; what failed, explained.
pub fn run(target: &Target, tier: &str, seed: u64, seconds: f64) -> Option<String> {
    let path = file(target, tier);
    let start = Instant::now();
    let mut next = seed;
    let mut totals = vec![0; target.kinds.len()];
    loop {
        let left = seconds - start.elapsed().as_secs_f64();
        let done = child(
            "cases",
            target,
            tier,
            &path,
            (next, left.min(ROUND), target.step),
        );
        let noted = Noted::read(&path, target).unwrap_or(Noted::new(next, target));
        for (total, count) in totals.iter_mut().zip(&noted.counts) {
            *total += count;
        }
        let kinds = target.kinds.iter().zip(&totals);
        let kinds: Vec<_> = kinds
            .map(|(kind, count)| format!("{kind} {count}"))
            .collect();
        let failed = !done.status.success();
        println!(
            "{} on {tier}: {} executions ({}) since seed {seed}, {} failures, {:.0} s",
            target.name,
            totals.iter().sum::<u64>(),
            kinds.join(", "),
            u8::from(failed),
            start.elapsed().as_secs_f64()
        );
        next = noted.seed;
        if failed || start.elapsed().as_secs_f64() >= seconds {
            let what = failed.then(|| explained(target, tier, &path, next, done));
            let _ = fs::remove_file(path);
            return what;
        }
    }
}

/// What the first failing case from `seed` on is, with documents as small as they can be.
fn explained(target: &Target, tier: &str, path: &Path, mut seed: u64, mut said: Output) -> String {
    if target.step > 1 {
        let again = child("cases", target, tier, path, (seed, ROUND, 1));
        if !again.status.success() {
            seed = Noted::read(path, target).map_or(seed, |noted| noted.seed);
            said = again;
        }
    }
    let documents = shrink::shrink((target.documents)(seed), &mut |documents| {
        fs::write(path, packed(seed, documents)).expect("the temporary folder takes a file");
        let again = child("one_case", target, tier, path, (seed, 0.0, 1));
        let fails = !again.status.success();
        if fails {
            said = again;
        }
        fails
    });
    let texts = documents.iter().map(|text| text.escape_ascii().to_string());
    format!(
        "{} on the tier {tier} with FUZZ_SEED={seed} ({})\n{:#?}\n{}\n{}",
        target.name,
        said.status,
        texts.collect::<Vec<_>>(),
        (target.settings)(seed),
        String::from_utf8_lossy(&said.stderr)
    )
}

/// A temporary file of this process.
fn file(target: &Target, tier: &str) -> PathBuf {
    let name = format!("fuzz-{}-{}-{tier}", std::process::id(), target.name);
    std::env::temp_dir().join(name)
}

/// This program once more, on one tier, for `cases` or `one_case`, tests that are ignored else.
fn child(
    test: &str,
    target: &Target,
    tier: &str,
    path: &Path,
    (seed, seconds, step): (u64, f64, u64),
) -> Output {
    let program = std::env::current_exe().expect("this program has a path");
    Command::new(program)
        .args(["--exact", test, "--ignored", "--nocapture"])
        .env("MANYMILL_KERNELS", tier)
        .env("RUST_BACKTRACE", "0")
        .env("FUZZ_TARGET", target.name)
        .env("FUZZ_FILE", path)
        .env("FUZZ_SEED", seed.to_string())
        .env("FUZZ_SECONDS", seconds.to_string())
        .env("FUZZ_STEP", step.to_string())
        .output()
        .expect("this program starts again")
}

/// How far a process is: the seed of the case that it tries, and what it tried before.
struct Noted {
    seed: u64,
    counts: Vec<u64>,
}

impl Noted {
    fn new(seed: u64, target: &Target) -> Self {
        let counts = vec![0; target.kinds.len()];
        Self { seed, counts }
    }

    fn read(path: &Path, target: &Target) -> Option<Self> {
        let bytes = fs::read(path).ok()?;
        let (numbers, _) = bytes.as_chunks();
        let numbers: Vec<_> = numbers
            .iter()
            .map(|number| u64::from_le_bytes(*number))
            .collect();
        let (seed, counts) = numbers.split_first()?;
        (counts.len() == target.kinds.len()).then(|| Self {
            seed: *seed,
            counts: counts.to_vec(),
        })
    }

    fn write(&self, file: &mut File) {
        let numbers = [&[self.seed][..], &self.counts].concat();
        let bytes: Vec<u8> = numbers.into_iter().flat_map(u64::to_le_bytes).collect();
        file.rewind()
            .and_then(|()| file.write_all(&bytes))
            .expect("the temporary folder takes a file");
    }
}

/// Try cases until the time is over. The body of the test `cases`.
pub fn cases(target: &Target, path: &str) {
    let (seed, step) = (
        number("FUZZ_SEED").unwrap_or(0),
        number("FUZZ_STEP").unwrap_or(1),
    );
    let enough = Duration::from_secs_f64(all_seconds());
    let start = Instant::now();
    let mut file = File::create(path).expect("the temporary folder takes a file");
    let mut noted = Noted::new(seed, target);
    loop {
        noted.write(&mut file);
        if start.elapsed() >= enough {
            return;
        }
        for _ in 0..step {
            let documents = (target.documents)(noted.seed);
            if let Err(difference) = (target.check)(noted.seed, &documents) {
                panic!("{difference}");
            }
            noted.counts[(target.kind)(noted.seed)] += 1;
            noted.seed = noted.seed.wrapping_add(1);
        }
    }
}

/// Try the case in a file. The body of the test `one_case`.
pub fn one_case(target: &Target, path: &str) {
    let bytes = fs::read(path).expect("the file of the case");
    let (seed, documents) = unpacked(&bytes).expect("a case that this program wrote");
    if let Err(difference) = (target.check)(seed, &documents) {
        panic!("{difference}");
    }
}

fn packed(seed: u64, documents: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = seed.to_le_bytes().to_vec();
    for document in documents {
        bytes.extend((document.len() as u64).to_le_bytes());
        bytes.extend(document);
    }
    bytes
}

/// What [`packed`] wrote; `None` of anything else.
fn unpacked(bytes: &[u8]) -> Option<(u64, Vec<Vec<u8>>)> {
    let (seed, mut rest) = bytes.split_first_chunk()?;
    let mut documents = Vec::new();
    while !rest.is_empty() {
        let (length, behind) = rest.split_first_chunk()?;
        let (document, behind) = behind.split_at_checked(u64::from_le_bytes(*length) as usize)?;
        documents.push(document.to_vec());
        rest = behind;
    }
    Some((u64::from_le_bytes(*seed), documents))
}
