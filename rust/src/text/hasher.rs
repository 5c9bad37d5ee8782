//! A stream of documents to a hashed batch.

use super::analyzer::{Analyzer, Memory};
use super::parts::{Behind, Carried, PART, end_of_part};
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

/// An analyzer with its settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hasher {
    analyzer: Analyzer,
    lowercase: bool,
}

impl Hasher {
    /// An analyzer of text in lower case or as it stands.
    #[must_use]
    pub fn new(analyzer: Analyzer, lowercase: bool) -> Self {
        Self {
            analyzer,
            lowercase,
        }
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
        documents: impl Iterator<Item = Result<&'a [u8], HashError>>,
        table: impl FnOnce() -> Result<&'t Table, HashError>,
    ) -> Result<(), HashError> {
        self.hash_by(PART, sink, form, documents, table)
    }

    /// The same with documents of more than `part` bytes in parts, where the sink takes them.
    fn hash_by<'a, 't, S: Sink>(
        &self,
        part: usize,
        sink: &mut S,
        form: Form,
        mut documents: impl Iterator<Item = Result<&'a [u8], HashError>>,
        table: impl FnOnce() -> Result<&'t Table, HashError>,
    ) -> Result<(), HashError> {
        let kernels = kernels::best();
        let mut scratch = Memory::new(&self.analyzer);
        let end = self.analyzer.end(form).filter(|_| S::TAKES_PARTS);
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
            if text.len() > part
                && let Some(end) = end
            {
                if !text.is_ascii()
                    && let Some(ask) = ask.take()
                {
                    known = Some(ask()?);
                }
                if !self.hash_parts(&mut scratch, sink, (part, end), text, known)
                    && form == Form::Utf8
                {
                    return Err(not_utf8(i, text));
                }
                sink.end_document();
                i += 1;
                continue;
            }
            if !scratch.ascii(kernels, text, self.lowercase) {
                if let Some(ask) = ask.take() {
                    known = Some(ask()?);
                }
                let valid =
                    known.is_none_or(|table| scratch.unicode(kernels, text, self.lowercase, table));
                if form == Form::Utf8 && !valid {
                    return Err(not_utf8(i, text));
                }
                if let Some(gram) = scratch.with_surrogate(valid) {
                    return Err(HashError::Surrogate(gram));
                }
            }
            scratch.hash(kernels, sink.hashes());
            sink.end_document();
            i += 1;
        }
        Ok(())
    }

    /// Gives the hashes of one document to the sink, part by part; says whether it is UTF-8. The table is that of a
    /// document that is not ASCII alone.
    fn hash_parts(
        &self,
        scratch: &mut Memory<'_>,
        sink: &mut impl Sink,
        (part, end): (usize, Behind),
        text: &[u8],
        table: Option<&Table>,
    ) -> bool {
        let kernels = kernels::best();
        let (mut carried, mut valid, mut start) = (Carried::default(), true, 0);
        while start < text.len() {
            let end = end_of_part(text, start, part, end, table);
            let here = &text[start..end];
            valid &= scratch.ascii(kernels, here, self.lowercase)
                || table.is_some_and(|table| scratch.unicode(kernels, here, self.lowercase, table));
            scratch.hash_part(kernels, &mut carried, sink.hashes());
            sink.end_part();
            start = end;
        }
        valid
    }
}

fn not_utf8(i: usize, text: &[u8]) -> HashError {
    let error = str::from_utf8(text).err();
    HashError::NotUtf8(i, error.map_or(0, |error| error.valid_up_to()))
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

#[cfg(test)]
mod tests {
    use super::super::{Analyzer, HashError, Sink, Sizes, StopWords, Table, TokenRule, WordGrams};
    use super::{Form, Hasher};
    use crate::kernels::Within;
    use proptest::prelude::*;
    use std::sync::LazyLock;

    static TABLE: LazyLock<Table> =
        LazyLock::new(|| Table::decode(Table::file("15.0.0").expect("a file")).expect("a table"));

    /// Collects the hashes of documents that come in parts.
    #[derive(Default)]
    struct Collected {
        hashes: Vec<u32>,
        parts: usize,
        documents: Vec<Vec<u32>>,
    }

    impl Sink for Collected {
        const TAKES_PARTS: bool = true;

        fn hashes(&mut self) -> &mut Vec<u32> {
            &mut self.hashes
        }

        fn end_document(&mut self) {
            self.documents.push(std::mem::take(&mut self.hashes));
        }

        fn end_part(&mut self) {
            self.parts += 1;
        }
    }

    /// Words by either rule, both kinds beside each other, and characters alone.
    fn hashers(least: usize, greatest: usize, lowercase: bool) -> Vec<Hasher> {
        let sizes = Sizes::new(least, greatest).expect("sizes");
        let words = |rule| {
            Some(WordGrams {
                rule,
                stop_words: StopWords::default(),
                sizes,
            })
        };
        let [text, bounded] = [Within::Text, Within::Words].map(|within| Some((within, sizes)));
        let analyzers = [
            (words(TokenRule::TwoOrMore), None),
            (words(TokenRule::Unicode), None),
            (words(TokenRule::TwoOrMore), bounded),
            (words(TokenRule::Unicode), bounded),
            (words(TokenRule::Unicode), text),
            (None, text),
        ];
        analyzers
            .map(|(words, characters)| {
                Hasher::new(Analyzer::of_learner(words, characters), lowercase)
            })
            .into()
    }

    fn sorted(mut hashes: Vec<u32>) -> Vec<u32> {
        hashes.sort_unstable();
        hashes
    }

    fn in_parts(hasher: &Hasher, part: usize, text: &[u8]) -> Result<(Vec<u32>, usize), HashError> {
        let mut sink = Collected::default();
        let documents = std::iter::once(Ok(text));
        hasher.hash_by(part, &mut sink, Form::Utf8, documents, || Ok(&TABLE))?;
        Ok((sorted(sink.documents.remove(0)), sink.parts))
    }

    fn whole(hasher: &Hasher, text: &[u8]) -> Result<Vec<u32>, HashError> {
        let documents = std::iter::once(Ok(text));
        let batch = hasher.hash(Form::Utf8, documents, || Ok(&TABLE))?;
        Ok(sorted(batch.hashes().to_vec()))
    }

    proptest! {
        #[test]
        fn a_document_in_parts_has_the_hashes_of_the_whole(
            text in "([a-zA-Z_ !]{0,9}|[ΣσΩ\u{300}'.:a ]{1,9}|\\PC{0,9}|[а-яА-Я一-龥，İ\u{3000} ]{0,9}|[😀กิ\u{200d}?! ]{0,9}){0,20}",
            part in 0usize..30, least in 1usize..4, more in 0usize..3, lowercase: bool,
        ) {
            for hasher in hashers(least, least + more, lowercase) {
                let (found, _) = in_parts(&hasher, part, text.as_bytes()).expect("UTF-8");
                prop_assert_eq!(found, whole(&hasher, text.as_bytes()).expect("UTF-8"));
            }
        }

        #[test]
        fn broken_text_is_the_same_error_in_parts(
            text in "[aé一😀 ,]{1,60}", at: prop::sample::Index, byte: u8, part in 0usize..9,
        ) {
            let mut bytes = text.into_bytes();
            let at = at.index(bytes.len());
            bytes[at] = byte;
            for hasher in hashers(1, 2, true) {
                let found = in_parts(&hasher, part, &bytes).map(|(hashes, _)| hashes);
                prop_assert_eq!(found, whole(&hasher, &bytes));
            }
        }
    }

    #[test]
    fn parts_are_short_where_words_are() {
        for text in ["good fun ", "éé. ΑΒ ", "书， 读书， "] {
            let text = text.repeat(1000);
            for hasher in hashers(1, 2, true) {
                let (_, parts) = in_parts(&hasher, 100, text.as_bytes()).expect("UTF-8");
                assert!(parts > text.len() / 120, "{parts} parts");
            }
        }
        let text = "书，读书，".repeat(1000);
        for hasher in &hashers(1, 2, true)[..2] {
            let (_, parts) = in_parts(hasher, 100, text.as_bytes()).expect("UTF-8");
            assert!(parts > text.len() / 120, "{parts} parts");
        }
    }
}
