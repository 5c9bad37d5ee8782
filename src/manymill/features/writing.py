"""The run of a hashing: rows in order, work on many threads, files that appear whole or not at all."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from manymill.data.batches import Batch
from manymill.data.ledger import Ledger
from manymill.data.plan import Plan
from manymill.data.reading import read
from manymill.engine.local import workers
from manymill.engine.ordered import map_in_order
from manymill.errors import ManymillError, RunFolderError
from manymill.features.labels import Numbering
from manymill.features.npz import NpzWriter
from manymill.features.settings import FeatureSettings
from manymill.features.svmlight import SvmlightWriter
from manymill.model.durable import replace_durably, sync_file
from manymill.text.intake import Arrays


@dataclass(frozen=True)
class Features:
    """What was written.

    Parameters
    ----------
    file : str
        The matrix.
    labels : str or None
        The file of labels, or of their names; None if there is none.
    n_rows, n_features, n_values : int
        Size of the matrix; values are those that are stored.
    text_bytes : int
        UTF-8 of all texts.
    bad_counts : dict
        Records that are no rows, by reason.
    bad_rows : str or None
        The ledger of the first of them.
    """

    file: str
    labels: str | None
    n_rows: int
    n_features: int
    n_values: int
    text_bytes: int
    bad_counts: dict[str, int] = field(default_factory=dict)
    bad_rows: str | None = None


class Writer(Protocol):
    """Writes rows and their labels, in order."""

    n_rows: int
    n_values: int

    def label_values(self, codes: NDArray[np.int64], numbering: Numbering) -> NDArray[np.int64]:
        """The labels as ``encode`` wants them; called in the order of the rows."""

    def encode(self, arrays: Arrays, labels: NDArray[np.int64]) -> Any:
        """Rows as ``write`` wants them; called on any thread."""

    def write(self, encoded: Any) -> None:
        """Append rows."""

    def close(self, numbering: Numbering) -> dict[str, Path]:
        """Write what is left, and give the files: ``matrix``, and ``labels`` if there are any."""


def write_features(
    plan: Plan,
    out: Path,
    settings: FeatureSettings,
    *,
    format: Literal["npz", "svmlight"] = "npz",
    compressed: bool = False,
    threads: int,
) -> Features:
    """Hash every row of a plan into one file.

    Parameters
    ----------
    plan : Plan
        What is read; with labels, if they are to be written.
    out : path
        The matrix. Labels go to ``<stem>.labels.npy`` beside it, bad rows to ``<stem>.bad_rows.jsonl``.
    settings : FeatureSettings
    format : {"npz", "svmlight"}
        What ``scipy.sparse.load_npz`` or ``sklearn.datasets.load_svmlight_file`` reads.
    compressed : bool
        Whether the ``.npz`` is deflated.
    threads : int
        Threads that read and hash; never decides a byte of the files.

    Returns
    -------
    Features

    Raises
    ------
    SourceError, RowError
        If an input cannot be read, or has a bad row and the plan is strict; nothing is written then.
    RunFolderError
        If a file cannot be written.
    """
    out = Path(out)
    bad_rows = out.with_name(f"{out.stem}.bad_rows.jsonl")
    labelled = plan.dataset.labelled
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        bad_rows.unlink(missing_ok=True)
        # Beside the file, so that it can be renamed to it.
        beside = tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.")
        with beside as folder, ExitStack() as open_files:
            writer: Writer
            if format == "npz":
                writer = NpzWriter(
                    Path(folder),
                    open_files,
                    settings.n_features,
                    settings.dtype,
                    labelled=labelled,
                    compressed=compressed,
                )
            else:
                writer = SvmlightWriter(Path(folder), open_files, labelled=labelled)
            ledger = Ledger(bad_rows, strict=plan.dataset.strict)
            numbering = Numbering()
            text_bytes = _write_rows(plan, settings, writer, ledger, numbering, threads)
            made = writer.close(numbering)
            labels = _put(made, out)
    except ManymillError:
        raise
    except OSError as error:
        raise RunFolderError(
            f"cannot write {out}: {error.strerror or error}", "free some space, or choose another place"
        ) from error
    return Features(
        file=str(out),
        labels=None if labels is None else str(labels),
        n_rows=writer.n_rows,
        n_features=settings.n_features,
        n_values=writer.n_values,
        text_bytes=text_bytes,
        bad_counts=dict(ledger.counts),
        bad_rows=str(ledger.path) if ledger.first and ledger.path else None,
    )


def _write_rows(
    plan: Plan,
    settings: FeatureSettings,
    writer: Writer,
    ledger: Ledger,
    numbering: Numbering,
    threads: int,
) -> int:
    """Read, hash and write all rows; gives the bytes of their texts."""

    def encoded(item: tuple[Batch, NDArray[np.int64]]) -> tuple[Batch, Any]:
        batch, labels = item
        return batch, writer.encode(settings.hashed(batch), labels)

    def numbered(batches: Iterator[Batch]) -> Iterator[tuple[Batch, NDArray[np.int64]]]:
        for batch in batches:
            yield batch, writer.label_values(numbering.codes(batch), numbering)

    text_bytes = 0
    with workers(threads) as executor:
        batches = read(plan, executor=executor, look_ahead=2 * threads)
        rows = map_in_order(encoded, numbered(batches), executor=executor, look_ahead=2 * threads)
        with closing(rows):
            for batch, piece in rows:
                ledger.add(batch)
                writer.write(piece)
                text_bytes += batch.text_bytes
    return text_bytes


def _put(made: dict[str, Path], out: Path) -> Path | None:
    """Bring the files to where they belong, the matrix last; gives the place of the labels."""
    for path in made.values():
        sync_file(path)
    labels = made.get("labels")
    target = None if labels is None else out.with_name(f"{out.stem}.{labels.name}")
    if labels is not None and target is not None:
        replace_durably(labels, target)
    replace_durably(made["matrix"], out)
    return target
