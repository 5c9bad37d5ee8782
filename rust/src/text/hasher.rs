//! A stream of documents to a hashed batch.

use super::analyze::Scratch;
use super::{HashError, HashedBatch, Sink, Table};
use crate::kernels;
use crate::kernels::memory::prefetch;

/// Documents are addressed by 32 bits, and lower-casing can lengthen them by half.
const LONGEST: usize = 1 << 30;

/// What the bytes of documents are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// UTF-8, which has to be checked.
    Utf8,
    /// A `str` of Python: UTF-8 in which lone surrogates may stand.
    Str,
}

/// The word analyzer with its settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hasher {
    least: usize,
    greatest: usize,
    lowercase: bool,
}

impl Hasher {
    /// An analyzer of `least` to `greatest` words.
    ///
    /// # Errors
    /// [`HashError::NgramRange`] unless `1 <= least <= greatest`.
    pub fn new(least: usize, greatest: usize, lowercase: bool) -> Result<Self, HashError> {
        if least < 1 || greatest < least {
            return Err(HashError::NgramRange(least, greatest));
        }
        Ok(Self {
            least,
            greatest,
            lowercase,
        })
    }

    /// The hashed batch of the documents; `table` is asked once, at the first that is not ASCII.
    ///
    /// # Errors
    /// The first error of a document, or that of `table`.
    pub fn hash<'a, 't>(
        &self,
        form: Form,
        documents: impl ExactSizeIterator<Item = Result<&'a [u8], HashError>>,
        table: impl FnOnce() -> Result<&'t Table, HashError>,
    ) -> Result<HashedBatch, HashError> {
        let mut batch = HashedBatch::with_room(documents.len());
        self.hash_into(&mut batch, form, documents, table)?;
        Ok(batch)
    }

    /// Gives the hashes of one document after the other to `sink`; `table` is asked once, at the first that is not
    /// ASCII.
    ///
    /// # Errors
    /// The first error of a document, or that of `table`; the sink has the documents before it.
    pub fn hash_into<'a, 't>(
        &self,
        sink: &mut impl Sink,
        form: Form,
        mut documents: impl Iterator<Item = Result<&'a [u8], HashError>>,
        table: impl FnOnce() -> Result<&'t Table, HashError>,
    ) -> Result<(), HashError> {
        let kernels = kernels::best();
        let mut scratch = Scratch::default();
        let (mut ask, mut known) = (Some(table), None);
        let (mut i, mut next) = (0, documents.next());
        while let Some(document) = next {
            next = documents.next();
            if let Some(Ok(text)) = next {
                warm(text);
            }
            let text = document?;
            if text.len() > LONGEST {
                return Err(HashError::TooLong(i));
            }
            if !scratch.ascii(kernels, text, self.lowercase) {
                if let Some(ask) = ask.take() {
                    known = Some(ask()?);
                }
                let valid =
                    known.is_none_or(|table| scratch.unicode(kernels, text, self.lowercase, table));
                if form == Form::Utf8 && !valid {
                    let error = str::from_utf8(text).err();
                    return Err(HashError::NotUtf8(
                        i,
                        error.map_or(0, |error| error.valid_up_to()),
                    ));
                }
            }
            scratch.hash(kernels, self.least, self.greatest, sink.hashes());
            sink.end_document();
            i += 1;
        }
        Ok(())
    }
}

/// Bytes of a cache line, and how far into a document is asked for: the processor guesses the rest.
const LINE: usize = 64;
const WARMED: usize = 1024;

/// Asks for the beginning of a document that comes next: shuffled documents are nowhere near each other.
fn warm(text: &[u8]) {
    for at in (0..text.len().min(WARMED)).step_by(LINE) {
        prefetch(text, at);
    }
}
