//! What holds of the columns of any block.

use super::{Reader, Settings};
use crate::random::Random;
use _core::read::{Bad, Columns, csv};
use std::fmt::Debug;

/// As many bad records of a block are kept; the others are counted.
pub const MOST_KEPT: usize = 1000;

/// A row of a block.
pub type Row<'a> = (i64, &'a [u8], Option<&'a str>, Option<u32>);

pub fn rows(columns: &Columns) -> impl Iterator<Item = Row<'_>> {
    (0..columns.len()).map(|i| {
        let text = columns.offsets[i] as usize..columns.offsets[i + 1] as usize;
        let label = columns
            .codes
            .get(i)
            .map(|code| &*columns.classes[*code as usize]);
        let weight = columns.weight.get(i).map(|weight| weight.to_bits());
        (columns.position[i], &columns.data[text], label, weight)
    })
}

pub fn same<T: PartialEq + Debug>(
    what: &str,
    found: impl IntoIterator<Item = T>,
    expected: impl IntoIterator<Item = T>,
) -> Result<(), String> {
    let (mut found, mut expected) = (found.into_iter(), expected.into_iter());
    for i in 0.. {
        let pair = (found.next(), expected.next());
        if pair.0 != pair.1 {
            return Err(format!(
                "{what} {i}: found {:?}, expected {:?}",
                pair.0, pair.1
            ));
        }
        if pair.0.is_none() {
            break;
        }
    }
    Ok(())
}

fn holds(what: &str, law: bool) -> Result<(), String> {
    if law {
        Ok(())
    } else {
        Err(format!("it does not hold that {what}"))
    }
}

/// The arrays of the columns fit each other and the block.
pub fn in_bounds(settings: &Settings, block: &[u8], columns: &Columns) -> Result<(), String> {
    let n = columns.position.len();
    holds(
        "there is an offset more than rows",
        columns.offsets.len() == n + 1,
    )?;
    holds("the first offset is 0", columns.offsets[0] == 0)?;
    holds("offsets ascend", columns.offsets.is_sorted())?;
    holds(
        "the last offset is the end",
        columns.offsets[n] == columns.data.len() as i64,
    )?;
    let labelled = if settings.labelled { n } else { 0 };
    holds(
        "each row has a label if asked",
        columns.codes.len() == labelled,
    )?;
    let weighted = if settings.is_weighted() { n } else { 0 };
    holds(
        "each row has a weight if asked",
        columns.weight.len() == weighted,
    )?;
    let classes = &columns.classes;
    let in_range = |code: &i32| usize::try_from(*code).is_ok_and(|code| code < classes.len());
    holds("codes are of classes", columns.codes.iter().all(in_range))?;
    let mut seen = 0;
    for &code in &columns.codes {
        holds("classes are in order of appearance", code <= seen)?;
        seen += i32::from(code == seen);
    }
    holds("each class has a row", seen as usize == classes.len())?;
    let mut sorted: Vec<_> = classes.iter().collect();
    sorted.sort_unstable();
    holds(
        "classes are distinct",
        sorted.windows(2).all(|pair| pair[0] < pair[1]),
    )?;
    holds(
        "no class is empty",
        classes.iter().all(|class| !class.is_empty()),
    )?;
    let usable = |weight: &f32| weight.is_finite() && *weight >= 0.0;
    holds(
        "weights are finite and not negative",
        columns.weight.iter().all(usable),
    )?;
    for (_, text, _, _) in rows(columns) {
        holds("texts are UTF-8", str::from_utf8(text).is_ok())?;
    }
    let bad: u64 = columns.bad_counts.iter().map(|(_, count)| count).sum();
    holds(
        "bad records are kept or counted",
        columns.bad.len() as u64 == bad.min(MOST_KEPT as u64),
    )?;
    let ends = settings.position..settings.position + block.len() as i64;
    let in_order = |positions: &[i64]| {
        positions.windows(2).all(|pair| pair[0] < pair[1])
            && positions.iter().all(|at| ends.contains(at))
    };
    holds("rows are in order", in_order(&columns.position))?;
    let bad: Vec<_> = columns.bad.iter().map(|bad| bad.position).collect();
    holds("bad records are in order", in_order(&bad))?;
    let twice = bad
        .iter()
        .any(|at| columns.position.binary_search(at).is_ok());
    holds("no record is both a row and a bad one", !twice)
}

/// So many records were rows or bad.
pub fn counts(columns: &Columns, n_records: usize) -> Result<(), String> {
    let bad: u64 = columns.bad_counts.iter().map(|(_, count)| count).sum();
    same(
        "number of records",
        [columns.len() + bad as usize],
        [n_records],
    )
}

/// Just behind which bytes the block may be cut, as the product finds them in a stream.
fn record_ends(
    settings: &Settings,
    block: &[u8],
    random: &mut Random,
) -> Result<Vec<usize>, String> {
    const END: &[u8] = _core::read::reviews::END;
    let behind = |what: &[u8], length| {
        let ends = memchr::memmem::find_iter(block, what).map(|at| at + length);
        ends.collect()
    };
    Ok(match settings.reader {
        Reader::Json | Reader::FastText => behind(b"\n", 1),
        Reader::Reviews => behind(END, END.len()),
        Reader::Csv | Reader::Tsv => {
            let mut all = csv::Cutter::new(settings.delimiter());
            let bytes = block.iter().zip(1..);
            let ends: Vec<usize> = bytes
                .filter_map(|(byte, end)| all.feed(&[*byte]).map(|_| end))
                .collect();
            let mut pieces = csv::Cutter::new(settings.delimiter());
            let mut start = 0;
            while start < block.len() {
                let stop = (start + 1 + random.below(40)).min(block.len());
                let inside = ends.iter().filter(|end| (start + 1..=stop).contains(end));
                let inside: Vec<_> = inside.map(|end| end - start).collect();
                let expected = inside
                    .first()
                    .map(|first| (*first, inside[inside.len() - 1]));
                same(
                    "ends in a piece",
                    [pieces.feed(&block[start..stop])],
                    [expected],
                )?;
                start = stop;
            }
            same("open quote", [pieces.in_quotes()], [all.in_quotes()])?;
            ends
        }
    })
}

/// A block cut behind any of its records gives the records of the whole.
pub fn cut_anywhere(settings: &Settings, block: &[u8], whole: &Columns) -> Result<(), String> {
    let mut random = Random::new(settings.cuts);
    let rarity = 1 + random.below(3);
    let mut ends = record_ends(settings, block, &mut random)?;
    ends.retain(|_| random.once_in(rarity));
    ends.push(block.len());
    let mut start = 0;
    let mut parts = Vec::new();
    for end in ends {
        parts.push(settings.parse(&block[start..end], start));
        start = end;
    }
    same(
        "row of the cut block",
        parts.iter().flat_map(rows),
        rows(whole),
    )?;
    let bad = parts.iter().flat_map(|part| &part.bad).take(MOST_KEPT);
    let all_kept = parts.iter().all(|part| part.bad.len() < MOST_KEPT);
    let bad: Vec<&Bad> = bad.collect();
    if all_kept {
        same("bad record of the cut block", bad, &whole.bad)?;
    }
    let sum = |parts: &[Columns]| -> u64 {
        let counts = parts.iter().flat_map(|part| &part.bad_counts);
        counts.map(|(_, count)| count).sum()
    };
    same(
        "bad records of the cut block",
        [sum(&parts)],
        [sum(std::slice::from_ref(whole))],
    )?;
    let integers = parts.iter().all(|part| part.labels_are_integers);
    same(
        "integer labels of the cut block",
        [integers],
        [whole.labels_are_integers],
    )
}
