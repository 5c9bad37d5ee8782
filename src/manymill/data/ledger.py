"""The ledger: how many records were read, used and rejected, why, and where the first ones are."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from manymill.data.batches import NO_ROOM, TOO_LONG, BadRow, Batch
from manymill.errors import RowError
from manymill.storage.own_files import open_own

_HINTS = {
    "broken JSON": "each line has to be one JSON object",
    "invalid UTF-8": "name the encoding, for example encoding='latin-1'",
    "missing label": "name the column of the labels with label=",
    "missing text": "name the column of the texts with text=",
    TOO_LONG: "raise max_record_bytes",
    NO_ROOM: "raise --memory, or leave longer records out with --max-record",
    "unbalanced quote": "a field with a quote in it has to be quoted, and its quotes doubled",
    "ragged row": "fields with the delimiter or line ends in them have to be quoted",
}
# Records left out on purpose: they are counted, but do not stop a strict run.
_EXPECTED = frozenset({"neutral", "other class"})


class Ledger:
    """Counts of what was read, and the first bad rows.

    Parameters
    ----------
    path : path-like, optional
        A JSON-lines file to which the first bad rows are appended.
    keep : int
        How many bad rows are kept and written.
    strict : bool
        Whether the first bad row is an error.
    on_failure : callable
        Called once with a sentence if the file cannot be written; rows are counted on, and ``path`` is None.

    Attributes
    ----------
    n_read, n_used, n_rejected : int
        ``n_read == n_used + n_rejected`` at any time.
    counts : Counter
        Reason to number of records.
    first : list of BadRow
        The first bad rows.
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        keep: int = 1000,
        strict: bool = False,
        on_failure: Callable[[str], None] = lambda message: None,
    ) -> None:
        self.path = path
        self._on_failure = on_failure
        self.keep = keep
        self.strict = strict
        self.n_used = 0
        self.counts: Counter[str] = Counter()
        self.first: list[BadRow] = []

    @property
    def n_rejected(self) -> int:
        """Records that are no rows."""
        return self.counts.total()

    @property
    def n_read(self) -> int:
        """Records seen."""
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
        """Count rows and bad rows that were read elsewhere; ``bad`` are the first of them."""
        self.n_used += n_used
        self.counts.update(bad_counts)
        kept = bad[: self.keep - len(self.first)]
        self.first.extend(kept)
        if self.path is not None and kept:
            self._write(self.path, kept)

    def go_on(self, n_used: int, counts: Mapping[str, int], listed: Sequence[BadRow]) -> None:
        """Go on from the counts of an earlier run; its list is written again, whatever has become of the file."""
        self.n_used, self.counts, self.first = n_used, Counter(counts), list(listed)
        if self.path is None:
            return
        try:
            with suppress(FileNotFoundError):
                os.unlink(self.path)
        except OSError as error:
            self._give_up(self.path, error)
        else:
            if self.first:
                self._write(self.path, self.first)

    def _write(self, path: str | os.PathLike[str], rows: Sequence[BadRow]) -> None:
        try:
            with open_own(Path(path), "a") as out:
                out.writelines(json.dumps(asdict(row), ensure_ascii=False) + "\n" for row in rows)
        except OSError as error:
            self._give_up(path, error)

    def _give_up(self, path: str | os.PathLike[str], error: OSError) -> None:
        """Go on without the list: it is not worth hours of training."""
        self.path = None
        self._on_failure(
            f"cannot write {os.fspath(path)}: {error.strerror or error}; bad rows are only counted from here on"
        )

    def summary(self) -> str:
        """One sentence for people, empty if nothing was rejected."""
        if not self.counts:
            return ""
        reasons = ", ".join(f"{n:,} {reason}" for reason, n in self.counts.most_common())
        return f"{self.n_rejected:,} of {self.n_read:,} records are no rows: {reasons}"


def refuse_bad_rows(batch: Batch) -> None:
    """What a strict run does with bad rows.

    Raises
    ------
    RowError
        At the first bad row that was not left out on purpose.
    """
    for row in batch.bad:
        if row.reason not in _EXPECTED:
            detail = f" ({row.detail})" if row.detail else ""
            raise RowError(f"{row.file}, {row.where}: {row.reason}{detail}", _HINTS.get(row.reason, ""))
