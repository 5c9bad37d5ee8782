"""What reading gives: rows in columns, and the records that are no rows."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

from manymill.data.labels import Labels

if TYPE_CHECKING:
    from manymill.data.hashed import HashedTexts


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
        uint64, shape ``(n_rows,)``: what :func:`manymill.data.holdout.row_keys` gives; None if nothing is held out.
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
