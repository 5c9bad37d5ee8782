"""The run of a hashing: rows in order, work on many threads, files that appear whole or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol

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
from manymill.storage.durable import replace_durably, sync_file
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

    labels_name: ClassVar[str]
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
        The matrix. Labels go to ``<stem>.labels.npy`` beside it, bad rows to ``<stem>.bad_rows.jsonl``; those of an
        earlier run are removed where this one has none.
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
        If a file cannot be written, or would replace an input.
    """
    out = Path(out)
    if not out.name:
        raise RunFolderError(f"{str(out)!r} is no name of a file", "name the matrix with --out")
    kind = NpzWriter if format == "npz" else SvmlightWriter
    targets = {
        "labels": out.with_name(f"{out.stem}.{kind.labels_name}"),
        "bad_rows": out.with_name(f"{out.stem}.bad_rows.jsonl"),
        "matrix": out,
    }
    labelled = plan.dataset.labelled
    try:
        _refuse_to_replace_what_is_read(plan, targets.values())
        out.parent.mkdir(parents=True, exist_ok=True)
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
            ledger = Ledger(Path(folder) / "bad_rows.jsonl", strict=plan.dataset.strict)
            numbering = Numbering()
            text_bytes = _write_rows(plan, settings, writer, ledger, numbering, threads)
            made = writer.close(numbering)
            if ledger.first and ledger.path:
                made["bad_rows"] = Path(ledger.path)
            _put(made, targets)
    except ManymillError:
        raise
    except OSError as error:
        raise RunFolderError(
            f"cannot write {out}: {error.strerror or error}", "free some space, or choose another place"
        ) from error
    return Features(
        file=str(out),
        labels=str(targets["labels"]) if "labels" in made else None,
        n_rows=writer.n_rows,
        n_features=settings.n_features,
        n_values=writer.n_values,
        text_bytes=text_bytes,
        bad_counts=dict(ledger.counts),
        bad_rows=str(targets["bad_rows"]) if "bad_rows" in made else None,
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


def _refuse_to_replace_what_is_read(plan: Plan, targets: Iterable[Path]) -> None:
    """Raise unless each target is free, or a file that is no input."""
    for target in filter(Path.exists, targets):
        if not target.is_file():
            raise RunFolderError(f"{target} is no file that could be replaced", "choose another place")
        for source in plan.files:
            members = [name for name, _ in source.members if os.path.basename(name) == target.name]
            paths = [source.path, *(os.path.join(source.path, name) for name in members)]
            if any(_is_same(path, target) for path in paths):
                raise RunFolderError(
                    f"{target} is read, and would be replaced", "choose another name with --out"
                )


def _is_same(source: str, target: Path) -> bool:
    with suppress(OSError):  # a source that is no file, such as a URL
        return os.path.samefile(source, target)
    return False


def _put(made: dict[str, Path], targets: dict[str, Path]) -> None:
    """Bring the files to where they belong, in the order of the targets; what was not made is not there afterwards."""
    for path in made.values():
        sync_file(path)
    for name, target in targets.items():
        if name in made:
            replace_durably(made[name], target)
        else:
            target.unlink(missing_ok=True)
