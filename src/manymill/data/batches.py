"""What reading gives: rows in columns, and the records that are no rows.

The labels of a batch: a short list of names, and a number a row.

A key of each row that depends on its text alone: equal texts fall on the same side of a split.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

from manymill import _core

if TYPE_CHECKING:
    from manymill.data.hashed_texts import HashedTexts


@dataclass(frozen=True, slots=True, eq=False)
class Labels:
    """Labels as codes into names.

    Not an Arrow dictionary: text is read without Arrow, whose import costs more than to train on 30 MB.

    Parameters
    ----------
    names : tuple of str
        Distinct names.
    codes : ndarray
        int32, shape ``(n_rows,)``: the place of each row's label in ``names``.
    """

    names: tuple[str, ...]
    codes: NDArray[np.int32]

    @staticmethod
    def of(labels: Iterable[str]) -> Labels:
        """The labels of a few rows."""
        numbers: dict[str, int] = {}
        codes = [numbers.setdefault(label, len(numbers)) for label in labels]
        return Labels(tuple(numbers), np.array(codes, np.int32))

    def __len__(self) -> int:
        return len(self.codes)

    def counts(self) -> dict[str, int]:
        """The number of rows of each name that any row has."""
        counts = np.bincount(self.codes, minlength=len(self.names)).tolist()
        return {name: n for name, n in zip(self.names, counts, strict=True) if n}

    def to_list(self) -> list[str]:
        """The label of each row."""
        return [self.names[code] for code in self.codes.tolist()]


# Records longer than the user allows, and than the promised memory has room for.
TOO_LONG = "record too long"
NO_ROOM = "record too large for the memory"


@dataclass(frozen=True, slots=True)
class BadRow:
    """A record that is no row.

    Parameters
    ----------
    file : str
        The file as the plan names it.
    where : str
        ``"byte 1234"`` of the uncompressed file, ``"row 17"`` or ``"file name"``.
    reason : str
        One of a short list, such as ``"broken JSON"``: what the ledger counts by.
    detail : str
        What exactly was met.
    """

    file: str
    where: str
    reason: str
    detail: str


# Texts in Arrow layout, or documents that were hashed before.
Documents: TypeAlias = "tuple[NDArray[np.uint8], NDArray[np.int64]] | HashedTexts"


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Rows of one file, in its order.

    Parameters
    ----------
    data, offsets : ndarray
        The texts in Arrow layout: uint8 of UTF-8, and int64 of shape ``(n_rows + 1,)``.
    label : Labels or None
        None if labels are not read.
    weight : ndarray or None
        float32, shape ``(n_rows,)``.
    position : ndarray
        int64, shape ``(n_rows,)``: the byte of the uncompressed file, or the number of the row in the file.
    file : int
        Number of the file in the plan.
    bad : tuple of BadRow
        The first records that are no rows; all of them are counted in ``bad_counts``.
    bad_counts : dict
        Reason to number of records.
    keys : ndarray or None
        uint64, shape ``(n_rows,)``: what :func:`manymill.data.batches.row_keys` gives; None if nothing is held out.
    n_bytes : int
        Bytes of the source that this batch stands for, compressed as they are there.
    labels_are_integers : bool
        Whether each label of the batch is an integer in the source.
    span : (int, int) or None
        The bytes of the uncompressed file that were parsed, where records are of different lengths there than their
        texts.
    hashed : HashedTexts or None
        The documents, where they were hashed before: ``data`` is empty then, and ``offsets`` are those of their texts.
    """

    data: NDArray[np.uint8]
    offsets: NDArray[np.int64]
    label: Labels | None
    weight: NDArray[np.float32] | None
    position: NDArray[np.int64]
    file: int
    bad: tuple[BadRow, ...] = ()
    bad_counts: dict[str, int] = field(default_factory=dict)
    keys: NDArray[np.uint64] | None = None
    n_bytes: int = 0
    labels_are_integers: bool = False
    span: tuple[int, int] | None = None
    hashed: HashedTexts | None = None

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def documents(self) -> Documents:
        """What rows of features are made of."""
        return (self.data, self.offsets) if self.hashed is None else self.hashed

    @property
    def n_bad(self) -> int:
        """Records that are no rows."""
        return sum(self.bad_counts.values())

    @property
    def text_bytes(self) -> int:
        """Bytes of UTF-8 of all texts."""
        return int(self.offsets[-1] - self.offsets[0])

    @property
    def longest_record(self) -> int:
        """Bytes of the longest record at most: records that are no rows count for the row before them."""
        if self.span is None:
            return int(np.diff(self.offsets).max(initial=0))
        start, stop = self.span
        return int(np.diff(self.position, prepend=start, append=stop).max())

    def texts(self) -> list[str]:
        """The texts as strings: for people and tests, not for speed."""
        data = self.data.tobytes()
        return [data[a:b].decode() for a, b in zip(self.offsets[:-1], self.offsets[1:], strict=True)]

    def labels(self) -> list[str]:
        """The labels as strings, empty if labels are not read."""
        return [] if self.label is None else self.label.to_list()


# Any constant will do; it is fixed so that a plan holds out the same rows for ever.
_SEED = 0x6D616E796D696C6C


def row_keys(batch: Batch) -> NDArray[np.uint64]:
    """The key of each row, shape ``(n_rows,)``: uniform over 0 to 2**64 - 1.

    A row is held out where its key is below ``share * 2**64``.
    """
    return _core.text_keys(batch.data, batch.offsets, seed=_SEED)
