"""The ledger: counts of records read, used and rejected by reason, and the positions of the first bad rows."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from manymill.data.batches import MAX_LISTED_BAD_ROWS, NO_ROOM, OTHER_CLASS, TOO_LONG, BadRow, Batch
from manymill.errors import RowError
from manymill.storage.own_files import open_own

# Reasons as users read them, where the key (which files and counts use) is not plain.
_SHOWN = {
    "broken JSON": "invalid JSON",
    NO_ROOM: "record too large for the memory limit",
    OTHER_CLASS: "class not among the named classes",
    "neutral": "neutral review (3 stars)",
    "ragged row": "wrong number of fields",
    "unbalanced quote": "unclosed quote",
}
_HINTS = {
    "broken JSON": "each line must be one JSON object",
    "invalid UTF-8": "set the encoding of the files with --encoding (encoding= in Python)",
    "missing label": "set the column of the labels with --label (label= in Python)",
    "missing text": "set the column of the texts with --text (text= in Python)",
    TOO_LONG: "allow longer records with --max-record (max_record_bytes= in Python)",
    NO_ROOM: "raise --memory, or reject longer records with --max-record",
    "unbalanced quote": "quote fields that contain a quote, and double the quotes in them",
    "ragged row": "quote fields that contain the delimiter or line ends",
}
# Rows excluded on purpose: they are counted, but do not stop a strict run.
_EXPECTED = frozenset({"neutral", OTHER_CLASS})


def describe_reason(reason: str) -> str:
    """The reason for a rejected record in plain words, for messages."""
    return _SHOWN.get(reason, reason)


def list_reasons(counts: Iterable[tuple[str, int]]) -> str:
    """Reasons with the number of records, for messages."""
    return ", ".join(f"{describe_reason(reason)} ({n:,})" for reason, n in counts)


class Ledger:
    """Counts of records, and the first bad rows.

    Parameters
    ----------
    path : path-like, optional
        A JSON-lines file to which the first bad rows are appended.
    max_listed : int
        Number of bad rows that are listed and written.
    strict : bool
        Whether the first bad row is an error.
    on_failure : callable
        Called once with a message if the file cannot be written; counting continues, and ``path`` becomes None.

    Attributes
    ----------
    n_read, n_used, n_rejected : int
        ``n_read == n_used + n_rejected`` at any time.
    counts : Counter
        Reason to number of rejected records.
    first : list of BadRow
        The first bad rows.
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        max_listed: int = MAX_LISTED_BAD_ROWS,
        strict: bool = False,
        on_failure: Callable[[str], None] = lambda message: None,
    ) -> None:
        self.path = path
        self._on_failure = on_failure
        self._max_listed = max_listed
        self.strict = strict
        self.n_used = 0
        self.counts: Counter[str] = Counter()
        self.first: list[BadRow] = []

    @property
    def n_rejected(self) -> int:
        """Number of rejected records."""
        return self.counts.total()

    @property
    def n_read(self) -> int:
        """Number of records read."""
        return self.n_used + self.n_rejected

    def add(self, batch: Batch) -> None:
        """Count a batch.

        Raises
        ------
        RowError
            If the ledger is strict and the batch has a bad row.
        """
        self.count(len(batch), batch.bad_counts, batch.bad)
        if self.strict:
            refuse_bad_rows(batch)

    def count(self, n_used: int, bad_counts: Mapping[str, int], bad: Sequence[BadRow]) -> None:
        """Count rows and bad rows that were read elsewhere; ``bad`` has the first bad rows."""
        self.n_used += n_used
        self.counts.update(bad_counts)
        new = bad[: self._max_listed - len(self.first)]
        self.first.extend(new)
        if self.path is not None and new:
            self._write(self.path, new)

    def resume(self, n_used: int, counts: Mapping[str, int], listed: Sequence[BadRow]) -> None:
        """Restore the counts of an earlier run, and write its list of bad rows to the file again."""
        self.n_used, self.counts, self.first = n_used, Counter(counts), list(listed)
        if self.path is None:
            return
        try:
            with suppress(FileNotFoundError):
                os.unlink(self.path)
        except OSError as error:
            self._stop_writing(self.path, error)
        else:
            if self.first:
                self._write(self.path, self.first)

    def _write(self, path: str | os.PathLike[str], rows: Sequence[BadRow]) -> None:
        try:
            with open_own(Path(path), "a") as out:
                out.writelines(json.dumps(asdict(row), ensure_ascii=False) + "\n" for row in rows)
        except OSError as error:
            self._stop_writing(path, error)

    def _stop_writing(self, path: str | os.PathLike[str], error: OSError) -> None:
        """Continue without the file: a failed write must not end hours of training."""
        self.path = None
        self._on_failure(
            f"cannot write {os.fspath(path)}: {error.strerror or error}; further bad rows are only counted"
        )

    def summary(self) -> str:
        """One sentence about the rejected records; empty if there are none."""
        if not self.counts:
            return ""
        reasons = list_reasons(self.counts.most_common())
        return f"{self.n_rejected:,} of {self.n_read:,} records were rejected: {reasons}"


def refuse_bad_rows(batch: Batch) -> None:
    """Raise an error for a bad row, as a strict run does.

    Raises
    ------
    RowError
        For the first bad row that was not excluded on purpose.
    """
    for row in batch.bad:
        if row.reason not in _EXPECTED:
            detail = f" ({row.detail})" if row.detail else ""
            what = f"{row.file}, {row.where}: {describe_reason(row.reason)}{detail}"
            raise RowError(what, _HINTS.get(row.reason, ""))
