//! What each kernel of each tier costs on a text: nanoseconds a token, and how many times the first tier's speed.
//!
//! ```text
//! cargo run --release --no-default-features --example stages -- TEXT [GREATEST_N]      (one document a line)
//!
//! for each tier, in turn, many times:
//!     for upto in stages: every document through the stages up to this one     (documents stay in the cache)
//! cost of a stage = least time up to it - least time up to the one before
//! ```

use _core::kernels::{self, Fold, Kernels};
use std::time::Instant;

const STAGES: [&str; 8] = [
    "words",
    "edges",
    "grams",
    "fold",
    "sort",
    "runs",
    "counts",
    "quotients",
];
/// How often everything is timed, how much of the text, and into how many features it is hashed.
const TURNS: usize = 60;
const BYTES: usize = 1 << 19;
const FEATURES: u32 = 1 << 20;

#[derive(Default)]
struct Buffers {
    lowered: Vec<u8>,
    mask: Vec<u64>,
    edges: Vec<u32>,
    joined: Vec<u8>,
    hashes: Vec<u32>,
    keys: Vec<u32>,
    spare: Vec<u32>,
    distinct: Vec<u32>,
    ends: Vec<u32>,
    indices: Vec<i32>,
    counts: Vec<i32>,
    data: Vec<f64>,
}

impl Buffers {
    /// One document through the first stages; returns how many tokens it has.
    fn run(&mut self, kernels: &Kernels, text: &[u8], greatest: usize, upto: usize) -> usize {
        (kernels.words)(text, true, &mut self.lowered, &mut self.mask);
        if upto == 0 {
            return 0;
        }
        let (joined, text) = (greatest > 1, &self.lowered);
        let count = if joined {
            (kernels.pack)(text, &self.mask, false, &mut self.joined, &mut self.edges)
        } else {
            (kernels.edges)(&self.mask, false, &mut self.edges)
        };
        if upto == 1 {
            return 0;
        }
        let text = if joined { &self.joined } else { text };
        self.hashes.clear();
        for n in 1..=greatest.min(count / 2) {
            (kernels.grams)(text, &self.edges[..count], n, 0, &mut self.hashes);
        }
        if upto >= 3 {
            (kernels.fold)(&self.hashes, Fold::new(FEATURES), true, &mut self.keys);
        }
        if upto >= 4 {
            (kernels.sort)(&mut self.keys, &mut self.spare);
        }
        if upto >= 5 {
            self.row(kernels, upto);
        }
        self.hashes.len()
    }

    fn row(&mut self, kernels: &Kernels, upto: usize) {
        let runs = (kernels.runs)(&self.keys, &mut self.distinct, &mut self.ends);
        self.indices.resize(self.indices.len().max(runs), 0);
        self.data.resize(self.data.len().max(runs), 0.0);
        if upto >= 6 {
            let (distinct, ends) = (&self.distinct[..runs], &self.ends[..runs]);
            let indices = &mut self.indices[..runs];
            let counted = (kernels.counts)(distinct, ends, true, indices, &mut self.counts);
            if upto >= 7 {
                let by = (counted.squares.max(1) as f64).sqrt();
                (kernels.quotients)(&self.counts[..runs], by, &mut self.data[..runs]);
            }
        }
    }
}

fn main() -> std::io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().expect("a file with one document a line");
    let greatest = arguments.next().map_or(1, |n| n.parse().expect("a number"));
    let mut text = std::fs::read(path)?;
    text.truncate(BYTES);
    let documents: Vec<&[u8]> = text.split(|&byte| byte == b'\n').collect();
    let tiers: Vec<&Kernels> = kernels::available().collect();
    let mut least = vec![[f64::INFINITY; STAGES.len()]; tiers.len()];
    let mut tokens = 0;
    for _ in 0..TURNS {
        for (kernels, least) in tiers.iter().zip(&mut least) {
            let mut buffers = Buffers::default();
            for (upto, least) in least.iter_mut().enumerate() {
                let start = Instant::now();
                tokens = documents
                    .iter()
                    .map(|document| buffers.run(kernels, document, greatest, upto))
                    .sum();
                *least = least.min(start.elapsed().as_secs_f64());
            }
        }
    }
    let nanoseconds = |seconds: f64| seconds * 1e9 / tokens as f64;
    print!("{:<12}", "ns/token");
    STAGES.iter().for_each(|stage| print!("{stage:>10}"));
    println!("{:>10}{:>10}{:>8}", "all", "MB/s", "ratio");
    for (kernels, times) in tiers.iter().zip(&least) {
        print!("{:<12}", kernels.name);
        let befores = [0.0].iter().chain(times);
        for (time, before) in times.iter().zip(befores) {
            print!("{:>10.2}", nanoseconds(time - before));
        }
        let all = times[STAGES.len() - 1];
        let ratio = least[0][STAGES.len() - 1] / all;
        println!(
            "{:>10.2}{:>10.0}{ratio:>7.1}x",
            nanoseconds(all),
            text.len() as f64 / all / 1e6
        );
    }
    Ok(())
}
