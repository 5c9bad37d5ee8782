//! A case through the product and through the twin.

use crate::case::{Case, Place, Settings, Subject};
use crate::twin;
use _core::kernels::guarded::{Against, Guarded};
use _core::kernels::{Fold, best};
use _core::rows::{Float, RowWriter, Rows, learner_rows, write_csr};
use _core::text::{Form, HashError, HashedBatch, Hasher};
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
    let &Settings {
        form,
        ngrams: (least, greatest),
        lowercase,
        ..
    } = settings;
    let table = settings.table();
    let hasher = Hasher::new(least, greatest, lowercase).map_err(|error| error.to_string())?;
    let placed = Placed::new(documents, settings.place);
    let found = hasher.hash(form, placed.documents().into_iter(), || Ok(table));
    let broken = documents.iter().enumerate().find_map(|(i, document)| {
        let error = str::from_utf8(document).err()?;
        Some(HashError::NotUtf8(i, error.valid_up_to()))
    });
    if let (Form::Utf8, Some(error)) = (form, broken) {
        return same("the error", &found, &Err(error));
    }
    let batch = found.map_err(|error| error.to_string())?;
    same("the number of documents", &batch.len(), &documents.len())?;
    for (found, document) in batch.documents().zip(documents) {
        // Of bytes that are no `str` of Python either, nothing is promised but that they do no harm.
        let Some(characters) = twin::characters(document) else {
            continue;
        };
        let lowered = if lowercase {
            twin::lower(&characters, table)
        } else {
            characters
        };
        let grams = twin::ngrams(&twin::words(&lowered, table), least, greatest);
        let hash = |gram: &String| twin::murmur3(gram.as_bytes());
        let hashes: Vec<u32> = grams.iter().map(hash).collect();
        all_same("hashes", found, &hashes)?;
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

fn matrix_of<T: Float + Default>(
    settings: &Settings,
    batch: &HashedBatch,
    single: bool,
    wide: impl Fn(T) -> f64,
) -> Result<(), String> {
    let most = batch.hashes().len();
    let (mut data, mut indices) = (vec![T::default(); most], vec![-1; most]);
    let indptr = write_csr(batch, &settings.matrix, &mut data, &mut indices);
    same("the length of indptr", &indptr.len(), &(batch.len() + 1))?;
    for (hashes, ends) in batch.documents().zip(indptr.windows(2)) {
        let span = ends[0] as usize..ends[1] as usize;
        let columns: Vec<u32> = indices[span.clone()]
            .iter()
            .map(|&index| index as u32)
            .collect();
        let bits: Vec<u64> = data[span]
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
