"""Batches of rows in columnar form, with their labels, row keys and rejected records."""

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
    """Dictionary-encoded labels of a batch.

    Not an Arrow dictionary: importing Arrow costs more than training on 30 MB of text.

    Parameters
    ----------
    names : tuple of str
        Distinct names.
    codes : ndarray
        int32, shape ``(n_rows,)``: index of each row's label in ``names``.
    """

    names: tuple[str, ...]
    codes: NDArray[np.int32]

    @staticmethod
    def of(labels: Iterable[str]) -> Labels:
        """Encode the labels of a few rows."""
        numbers: dict[str, int] = {}
        codes = [numbers.setdefault(label, len(numbers)) for label in labels]
        return Labels(tuple(numbers), np.array(codes, np.int32))

    def __len__(self) -> int:
        return len(self.codes)

    def counts(self) -> dict[str, int]:
        """The number of rows of each name; names without rows are left out."""
        counts = np.bincount(self.codes, minlength=len(self.names)).tolist()
        return {name: n for name, n in zip(self.names, counts, strict=True) if n}

    def to_list(self) -> list[str]:
        """The label of each row."""
        return [self.names[code] for code in self.codes.tolist()]


# Reasons for rejected records: longer than `max_record_bytes`; larger than the memory limit of the run allows; of a
# class that `classes` does not name.
TOO_LONG = "record too long"
NO_ROOM = "record too large for the memory"
OTHER_CLASS = "other class"
# Bad rows of a batch that are described; the ledger lists no more than these. All of them are counted.
MAX_LISTED_BAD_ROWS = 1000


@dataclass(frozen=True, slots=True)
class BadRow:
    """A rejected record.

    Parameters
    ----------
    file : str
        The file as the plan names it.
    where : str
        ``"byte 1234"`` of the uncompressed file, ``"row 17"`` or ``"file name"``.
    reason : str
        One of a short list, such as ``"broken JSON"``; the ledger counts by reason.
    detail : str
        The cause in detail.
    """

    file: str
    where: str
    reason: str
    detail: str


# Texts in Arrow layout, or documents that are already hashed.
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
        The first rejected records; ``bad_counts`` counts all of them.
    bad_counts : dict
        Reason to number of records.
    keys : ndarray or None
        uint64, shape ``(n_rows,)``: the result of :func:`row_keys`; None if nothing is held out.
    n_bytes : int
        Bytes of the source (as stored, maybe compressed) that this batch covers.
    labels_are_integers : bool
        Whether each label of the batch is an integer in the source.
    span : (int, int) or None
        Byte range of the uncompressed file that was parsed; None where record lengths are the text lengths.
    hashed : HashedTexts or None
        The documents if they are already hashed: ``data`` is empty then, and ``offsets`` are those of the texts.
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
        """The input of feature extraction."""
        return (self.data, self.offsets) if self.hashed is None else self.hashed

    @property
    def n_bad(self) -> int:
        """Number of rejected records."""
        return sum(self.bad_counts.values())

    @property
    def text_bytes(self) -> int:
        """Bytes of UTF-8 of all texts."""
        return int(self.offsets[-1] - self.offsets[0])

    @property
    def longest_record(self) -> int:
        """Upper bound of the longest record in bytes: a rejected record counts towards the row before it."""
        if self.span is None:
            return int(np.diff(self.offsets).max(initial=0))
        start, stop = self.span
        return int(np.diff(self.position, prepend=start, append=stop).max())

    def texts(self) -> list[str]:
        """The texts as strings; slow, for display and tests."""
        data = self.data.tobytes()
        return [data[a:b].decode() for a, b in zip(self.offsets[:-1], self.offsets[1:], strict=True)]

    def labels(self) -> list[str]:
        """The labels as strings; empty if labels are not read."""
        return [] if self.label is None else self.label.to_list()


# Any constant works; it must never change, so that a plan always holds out the same rows.
_SEED = 0x6D616E796D696C6C


def row_keys(batch: Batch) -> NDArray[np.uint64]:
    """Hash the text of each row to a key, shape ``(n_rows,)``, uniform over 0 to 2**64 - 1.

    A row is held out if its key is below ``share * 2**64``. The key depends on the text alone, so equal texts fall on
    the same side of the split.
    """
    return _core.text_keys(batch.data, batch.offsets, seed=_SEED)
