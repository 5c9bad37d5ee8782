"""Parameters of ``HashingVectorizer`` that the command line supports."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from manymill import _core
from manymill.data.batches import Batch
from manymill.text.documents import CsrArrays
from manymill.validation import check_integer, check_ngram_range


@dataclass(frozen=True)
class FeatureSettings:
    """Feature extraction settings, with the meaning of the parameters of scikit-learn's ``HashingVectorizer``.

    Raises
    ------
    SettingsError
        If a value is invalid.
    """

    analyzer: Literal["word", "char", "char_wb"] = "word"
    ngram_range: tuple[int, int] = (1, 1)
    lowercase: bool = True
    n_features: int = 2**20
    alternate_sign: bool = True
    binary: bool = False
    norm: Literal["l1", "l2"] | None = "l2"
    dtype: Literal["float64", "float32"] = "float64"

    def __post_init__(self) -> None:
        check_integer(self.n_features, "n_features", 1, 2**31 - 1)
        check_ngram_range(self.ngram_range, "ngram_range", 2**31 - 1)

    def hash_batch(self, batch: Batch) -> CsrArrays:
        """Hash a batch to data, indices and indptr; may be called from any thread."""
        builder = _core.MatrixBuilder(
            _core.Hasher(analyzer=self.analyzer, ngram_range=self.ngram_range, lowercase=self.lowercase),
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
