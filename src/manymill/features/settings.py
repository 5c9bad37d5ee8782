"""Parameters of ``HashingVectorizer`` that the command line supports."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from manymill import _core
from manymill.data.batches import Batch
from manymill.text.documents import CsrArrays
from manymill.validation import check, check_integer, check_ngram_range


@dataclass(frozen=True)
class FeatureSettings:
    """Feature extraction settings, with the meaning of the parameters of scikit-learn's ``HashingVectorizer``.

    Parameters
    ----------
    unicode_words : bool
        Whether words are those of a training: see :class:`manymill.hash_form.Form`.
    char_ngram_range : tuple of int or None
        Least and greatest number of characters of features beside those of words, within words; None: none.

    Raises
    ------
    SettingsError
        If a value is invalid, or has no effect.
    """

    analyzer: Literal["word", "char", "char_wb"] = "word"
    ngram_range: tuple[int, int] = (1, 1)
    unicode_words: bool = False
    char_ngram_range: tuple[int, int] | None = None
    lowercase: bool = True
    n_features: int = 2**20
    alternate_sign: bool = True
    binary: bool = False
    norm: Literal["l1", "l2"] | None = "l2"
    dtype: Literal["float64", "float32"] = "float64"

    def __post_init__(self) -> None:
        check_integer(self.n_features, "n_features", 1, 2**31 - 1)
        check_ngram_range(self.ngram_range, "ngram_range", 2**31 - 1)
        if self.char_ngram_range is not None:
            check_ngram_range(self.char_ngram_range, "char_ngram_range", 2**16 - 1)
        if self.analyzer != "word":
            expected = "only with analyzer='word'"
            check(self.char_ngram_range is None, "char_ngram_range", self.char_ngram_range, expected)
            check(not self.unicode_words, "unicode_words", self.unicode_words, expected)

    @property
    def _hasher(self) -> _core.Hasher:
        if not self.unicode_words and self.char_ngram_range is None:
            return _core.Hasher(
                analyzer=self.analyzer, ngram_range=self.ngram_range, lowercase=self.lowercase
            )
        return _core.Hasher.of_features(
            ngram_range=self.ngram_range,
            char_ngram_range=self.char_ngram_range,
            token_rule="unicode" if self.unicode_words else "scikit-learn",
            lowercase=self.lowercase,
        )

    def hash_batch(self, batch: Batch) -> CsrArrays:
        """Hash a batch to data, indices and indptr; may be called from any thread."""
        builder = _core.MatrixBuilder(
            self._hasher,
            self.n_features,
            alternate_sign=self.alternate_sign,
            binary=self.binary,
            norm=self.norm,
            dtype=self.dtype,
            n_threads=1,
            n_documents=len(batch),
        )
        column = _core.TextColumn.with_offsets(batch.data, batch.offsets)
        builder.work(_core.TextSource.of_columns([column]))
        return builder.finish()
