"""How text becomes features: the parameters of ``HashingVectorizer`` that a command can give."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from manymill import _core
from manymill.data.batches import Batch
from manymill.errors import SettingsError
from manymill.text.documents import Arrays


@dataclass(frozen=True)
class FeatureSettings:
    """What scikit-learn's ``HashingVectorizer`` is told by parameters of these names.

    Raises
    ------
    SettingsError
        If a value cannot be.
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
        if not 1 <= self.n_features < 2**31:
            raise SettingsError.invalid("n_features", self.n_features, "an integer from 1 to 2^31 - 1")
        least, greatest = self.ngram_range
        if not 1 <= least <= greatest < 2**31:
            raise SettingsError.invalid(
                "ngram_range", (least, greatest), "1 <= least <= greatest, such as (1, 2)"
            )

    def hashed(self, batch: Batch) -> Arrays:
        """Data, indices and indptr of a batch; may be called from any thread."""
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
