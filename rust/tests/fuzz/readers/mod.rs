//! The readers of text formats on hostile bytes.
//!
//! ```text
//! laws of every reader    offsets, codes and positions are in order and in bounds; texts are UTF-8;
//!                         rows and bad records add up; the block cut behind any records gives the same
//! JSON lines              the quick way and the strict one agree
//! CSV, TSV                rows, header and record ends are those of a state machine, character by character
//! fastText                rows are those of splitting the line at blanks
//! reviews                 rows are those of splitting the block at its tags, texts without entities
//! ```

mod inputs;
mod laws;
mod twins;

use crate::random::Random;
use _core::read::{Columns, csv, fasttext, json, reviews};

pub const NAMES: [&str; 5] = ["json", "csv", "tsv", "fasttext", "reviews"];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reader {
    Json,
    Csv,
    Tsv,
    FastText,
    Reviews,
}

/// The choices of a caller, and where the block is cut.
#[derive(Debug)]
pub struct Settings {
    pub reader: Reader,
    pub labelled: bool,
    pub weighted: bool,
    pub n_columns: usize,
    pub columns: [usize; 3],
    pub position: i64,
    pub max_record_bytes: usize,
    /// The names of the fields of JSON lines.
    pub names: [&'static str; 3],
    pub cuts: u64,
}

impl Settings {
    pub fn new(seed: u64) -> Self {
        let mut random = Random::new(seed ^ 0x7265_6164);
        let reader = random.pick(&[
            Reader::Json,
            Reader::Json,
            Reader::Json,
            Reader::Csv,
            Reader::Tsv,
            Reader::FastText,
            Reader::Reviews,
        ]);
        let n_columns = 1 + random.below(4);
        let column = |random: &mut Random| random.below(n_columns);
        Self {
            reader,
            labelled: !random.once_in(4),
            weighted: random.once_in(3),
            columns: [
                column(&mut random),
                column(&mut random),
                column(&mut random),
            ],
            n_columns,
            position: random.pick(&[0, 0, 7, 1 << 40]),
            max_record_bytes: match random.below(6) {
                0 => random.below(80),
                _ => 64 << 20,
            },
            names: random.pick(&[
                ["text", "label", "weight"],
                ["text", "label", "weight"],
                ["text", "label", "weight"],
                ["a", "a", "a"],
                ["", "é", "n\"ame"],
            ]),
            cuts: random.next(),
        }
    }

    pub fn delimiter(&self) -> u8 {
        if self.reader == Reader::Tsv {
            b'\t'
        } else {
            b','
        }
    }

    fn is_weighted(&self) -> bool {
        self.weighted && matches!(self.reader, Reader::Json | Reader::Csv | Reader::Tsv)
    }

    pub fn csv(&self) -> csv::Wanted {
        csv::Wanted {
            text: self.columns[0],
            label: self.labelled.then_some(self.columns[1]),
            weight: self.weighted.then_some(self.columns[2]),
            n_columns: self.n_columns,
            max_record_bytes: self.max_record_bytes,
        }
    }

    /// What the product makes of a block that starts `start` bytes after the settings' position.
    fn parse(&self, block: &[u8], start: usize) -> Columns {
        let position = self.position + start as i64;
        match self.reader {
            Reader::Json => {
                let [text, label, weight] = self.names.map(str::to_owned);
                let wanted = json::Wanted {
                    text,
                    label: self.labelled.then_some(label),
                    weight: self.weighted.then_some(weight),
                };
                json::parse(block, position, self.max_record_bytes, &wanted)
            }
            Reader::Csv | Reader::Tsv => csv::parse(block, position, self.delimiter(), self.csv()),
            Reader::FastText => {
                fasttext::parse(block, position, self.max_record_bytes, self.labelled)
            }
            Reader::Reviews => {
                reviews::parse(block, position, self.max_record_bytes, self.labelled)
            }
        }
    }
}

/// The block of a seed.
pub fn input(seed: u64) -> Vec<u8> {
    inputs::block(&mut Random::new(seed), &Settings::new(seed))
}

/// Tries a block.
///
/// # Errors
/// Which law does not hold.
pub fn check(seed: u64, block: &[u8]) -> Result<(), String> {
    let settings = Settings::new(seed);
    let whole = settings.parse(block, 0);
    laws::in_bounds(&settings, block, &whole)?;
    match settings.reader {
        Reader::Json => {
            laws::counts(
                &whole,
                twins::lines(block, settings.max_record_bytes).count(),
            )?;
            twins::strict_json(&settings, block, &whole)?;
        }
        Reader::Csv | Reader::Tsv => twins::csv(&settings, block, &whole)?,
        Reader::FastText => twins::fasttext(&settings, block, &whole)?,
        Reader::Reviews => twins::reviews(&settings, block, &whole)?,
    }
    laws::cut_anywhere(&settings, block, &whole)
}
