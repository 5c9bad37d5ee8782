//! A case through the product and through the twin.

use crate::case::{self, Case, Place, Settings, Subject};
use crate::expected::Expected;
use crate::twin;
use _core::kernels::guarded::{Against, Guarded};
use _core::kernels::{Fold, Within, best};
use _core::rows::{Float, RowWriter, Rows, csr_rows, learner_rows};
use _core::text::{
    Analyzer, Form, HashError, HashedBatch, Hasher, Sizes, StopWords, TokenRule, WordGrams,
};
use std::collections::BTreeSet;
use std::fmt::Debug;
use std::ops::Deref;

/// Tries a case.
///
/// # Errors
/// In which way the product does not give what the twin gives.
pub fn check(case: &Case) -> Result<(), String> {
    let settings = &case.settings;
    match settings.subject {
        Subject::Text => text(settings, &case.documents),
        Subject::Hashes => {
            let bytes = case.documents.concat();
            let hashes = bytes
                .as_chunks()
                .0
                .iter()
                .copied()
                .map(u32::from_le_bytes)
                .collect();
            hashed(settings, hashes)
        }
    }
}

fn same<T: PartialEq + Debug>(what: &str, found: &T, expected: &T) -> Result<(), String> {
    if found == expected {
        return Ok(());
    }
    Err(format!(
        "{what}: the product gives {found:?}, the twin {expected:?}"
    ))
}

fn all_same<T: PartialEq + Debug>(what: &str, found: &[T], expected: &[T]) -> Result<(), String> {
    same(
        &format!("the number of {what}"),
        &found.len(),
        &expected.len(),
    )?;
    let mut pairs = found.iter().zip(expected).enumerate();
    pairs.try_for_each(|(i, (found, expected))| same(&format!("{what}, at {i}"), found, expected))
}

fn text(settings: &Settings, documents: &[Vec<u8>]) -> Result<(), String> {
    let (form, table) = (settings.form, settings.table());
    let expected = Expected::of(settings, documents);
    let placed = Placed::new(documents, settings.place);
    let hasher = hasher(settings, &expected.stop_words)?;
    let found = hasher.hash(form, placed.documents().into_iter(), || Ok(table));
    let batch = match (found, expected.error(form, documents)) {
        // Bytes that are no `str` of Python: nothing is promised but that they do no harm.
        (Err(HashError::Surrogate(_)), _)
            if form == Form::Str && expected.hashes.contains(&None) =>
        {
            return Ok(());
        }
        (found, Some(error)) => return same("the error", &found, &Err(error)),
        (found, None) => found.map_err(|error| error.to_string())?,
    };
    same("the number of documents", &batch.len(), &documents.len())?;
    for (found, expected) in batch.documents().zip(&expected.hashes) {
        if let Some(Ok(expected)) = expected {
            let mut found = found.to_vec();
            if !settings.analyzer.has_order() {
                found.sort_unstable(); // no order is promised
            }
            all_same("hashes", &found, expected)?;
        }
    }
    matrix(settings, &batch)?;
    let mut writer = RowWriter::new(settings.rows, documents.len());
    hasher
        .hash_into(&mut writer, form, placed.documents().into_iter(), || {
            Ok(table)
        })
        .map_err(|error| error.to_string())?;
    rows(settings, &batch, &writer.finish())
}

fn hasher(settings: &Settings, stop_words: &BTreeSet<Vec<u8>>) -> Result<Hasher, String> {
    let (least, greatest) = settings.ngrams;
    let sizes = Sizes::new(least, greatest).map_err(|error| error.to_string())?;
    let stop_words = StopWords::new(stop_words.iter().map(Vec::as_slice));
    let words = |rule| WordGrams {
        rule,
        stop_words: stop_words.clone(),
        sizes,
    };
    let beside = |rule, within: Option<Within>| {
        Analyzer::of_learner(Some(words(rule)), within.map(|within| (within, sizes)))
    };
    let analyzer = match settings.analyzer {
        case::Analyzer::Characters => Analyzer::characters(Within::Text, sizes),
        case::Analyzer::CharactersOfWords => Analyzer::characters(Within::Words, sizes),
        case::Analyzer::Words | case::Analyzer::WordsButSome => {
            Analyzer::words(stop_words.clone(), sizes)
        }
        case::Analyzer::Tokens | case::Analyzer::TokensButSome => beside(TokenRule::Unicode, None),
        case::Analyzer::TokensBesideCharacters => beside(TokenRule::Unicode, Some(Within::Text)),
        case::Analyzer::TokensBesideCharactersOfWords => {
            beside(TokenRule::Unicode, Some(Within::Words))
        }
        case::Analyzer::WordsBesideCharactersOfWords => {
            beside(TokenRule::TwoOrMore, Some(Within::Words))
        }
    };
    Ok(Hasher::new(analyzer, settings.lowercase))
}

fn hashed(settings: &Settings, hashes: Vec<u32>) -> Result<(), String> {
    let kernels = best();
    let mut keys = vec![7; 3];
    (kernels.fold)(
        &hashes,
        Fold::new(settings.matrix.n_features),
        true,
        &mut keys,
    );
    let (mut sorted, mut expected) = (keys.clone(), keys);
    (kernels.sort)(&mut sorted, &mut vec![9; 5]);
    expected.sort_unstable();
    all_same("sorted keys", &sorted, &expected)?;
    let (mut raw, mut expected) = (hashes.clone(), hashes.clone());
    (kernels.sort)(&mut raw, &mut Vec::new());
    expected.sort_unstable();
    all_same("sorted hashes", &raw, &expected)?;
    let indptr = vec![0, hashes.len() / 3, hashes.len()];
    let batch = HashedBatch::from_parts(hashes, indptr).map_err(|error| error.to_string())?;
    matrix(settings, &batch)?;
    rows(settings, &batch, &learner_rows(&batch, settings.rows))
}

fn matrix(settings: &Settings, batch: &HashedBatch) -> Result<(), String> {
    matrix_of::<f64>(settings, batch, false, |value| value)?;
    matrix_of::<f32>(settings, batch, true, f64::from)
}

fn matrix_of<T: Float>(
    settings: &Settings,
    batch: &HashedBatch,
    single: bool,
    wide: impl Fn(T) -> f64,
) -> Result<(), String> {
    let found = csr_rows::<T>(batch, settings.matrix).map_err(|error| error.to_string())?;
    same("the number of rows", &found.ends.len(), &batch.len())?;
    let starts = [0].iter().chain(&found.ends);
    for ((hashes, &start), &end) in batch.documents().zip(starts).zip(&found.ends) {
        let columns: Vec<u32> = found.indices[start..end]
            .iter()
            .map(|&index| index as u32)
            .collect();
        let bits: Vec<u64> = found.data[start..end]
            .iter()
            .map(|&value| wide(value).to_bits())
            .collect();
        let (indices, values) = twin::matrix_row(hashes, &settings.matrix, single);
        let expected: Vec<u64> = values.into_iter().map(f64::to_bits).collect();
        all_same("columns of the matrix", &columns, &indices)?;
        all_same("bits of its values", &bits, &expected)?;
    }
    Ok(())
}

fn rows(settings: &Settings, batch: &HashedBatch, found: &Rows) -> Result<(), String> {
    same("the number of rows", &found.len(), &batch.len())?;
    let bits = |values: &[f32]| values.iter().copied().map(f32::to_bits).collect::<Vec<_>>();
    for (i, hashes) in batch.documents().enumerate() {
        let (indices, values) = found.row(i);
        let (expected, numbers) = twin::learner_row(hashes, &settings.rows);
        all_same("features of a row", indices, &expected)?;
        all_same("bits of its values", &bits(values), &bits(&numbers))?;
    }
    Ok(())
}

/// Documents where a case wants them.
enum Placed {
    Alone(Vec<Box<[u8]>>),
    Guarded(Vec<Guarded>),
    Together(Box<[u8]>, Vec<usize>),
}

impl Placed {
    fn new(documents: &[Vec<u8>], place: Place) -> Self {
        let guarded = |against| {
            let placed = documents
                .iter()
                .map(|document| Guarded::new(document, against));
            Self::Guarded(placed.collect())
        };
        match place {
            Place::Alone => Self::Alone(documents.iter().map(|text| text[..].into()).collect()),
            Place::AgainstTheEnd => guarded(Against::End),
            Place::AgainstTheStart => guarded(Against::Start),
            Place::Together => {
                let ends = documents.iter().scan(0, |end, document| {
                    *end += document.len();
                    Some(*end)
                });
                Self::Together(
                    documents.concat().into(),
                    [0].into_iter().chain(ends).collect(),
                )
            }
        }
    }

    fn documents(&self) -> Vec<Result<&[u8], HashError>> {
        match self {
            Self::Alone(texts) => texts.iter().map(|text| Ok(&**text)).collect(),
            Self::Guarded(texts) => texts.iter().map(|text| Ok(text.deref())).collect(),
            Self::Together(text, ends) => ends
                .windows(2)
                .map(|ends| Ok(&text[ends[0]..ends[1]]))
                .collect(),
        }
    }
}
