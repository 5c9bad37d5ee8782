"""The run of a hashing: rows in order, work on many threads, files that appear whole or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from manymill.data.batches import Batch
from manymill.data.dataset import Plan
from manymill.data.ledger import Ledger
from manymill.data.reader import read
from manymill.engine.local import map_in_order, workers
from manymill.errors import ManymillError, RunFolderError
from manymill.features.formats import NpzWriter, Numbering, SvmlightWriter
from manymill.features.settings import FeatureSettings
from manymill.storage.outputs import Outputs, identities
from manymill.text.documents import Arrays

# All that the writers and the ledger have in a work folder.
_WORK_FILES = (
    *("data", "indices", "ends", "codes", "matrix.npz", "matrix.svmlight", "labels.npy", "labels.json"),
    *("bad_rows.jsonl", "bad_rows.jsonl.partial"),
)


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
    warnings : tuple of str
        What went wrong without ending the run, and files beside the matrix that are not of this run.
    """

    file: str
    labels: str | None
    n_rows: int
    n_features: int
    n_values: int
    text_bytes: int
    bad_counts: dict[str, int] = field(default_factory=dict)
    bad_rows: str | None = None
    warnings: tuple[str, ...] = ()


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
    overwrite: bool = False,
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
    overwrite : bool
        Whether a file that has one of the three names is replaced although no record says that it was written here. One
        that is read never is.
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
        If a file cannot be written, or would replace one that is read or was not written here.
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
    outputs = Outputs(out.parent)
    try:
        read = identities(path for file in plan.files for path in file.paths)
        for target in targets.values():
            outputs.check(target.name, read, overwrite=overwrite)
        outputs.sweep()
        with outputs.working(_WORK_FILES) as folder, ExitStack() as open_files:
            writer = _writer(folder, open_files, settings, plan, format, compressed=compressed)
            warnings: list[str] = []
            ledger = Ledger(folder / "bad_rows.jsonl", strict=plan.dataset.strict, on_failure=warnings.append)
            numbering = Numbering()
            text_bytes = _write_rows(plan, settings, writer, ledger, numbering, threads)
            made = writer.close(numbering)
            if ledger.first and ledger.path:
                made["bad_rows"] = Path(ledger.path)
            open_files.close()
            warnings += _put(outputs, made, targets)
    except ManymillError:
        raise
    except OSError as error:
        raise RunFolderError(
            f"cannot write {out}: {error.strerror or error}", "free some space, or choose another place"
        ) from error
    finally:
        outputs.tidy()
    return Features(
        file=str(out),
        labels=str(targets["labels"]) if "labels" in made else None,
        n_rows=writer.n_rows,
        n_features=settings.n_features,
        n_values=writer.n_values,
        text_bytes=text_bytes,
        bad_counts=dict(ledger.counts),
        bad_rows=str(targets["bad_rows"]) if "bad_rows" in made else None,
        warnings=tuple(warnings),
    )


def _writer(
    folder: Path,
    open_files: ExitStack,
    settings: FeatureSettings,
    plan: Plan,
    format: Literal["npz", "svmlight"],
    *,
    compressed: bool,
) -> Writer:
    labelled = plan.dataset.labelled
    if format == "svmlight":
        return SvmlightWriter(folder, open_files, labelled=labelled)
    return NpzWriter(
        folder, open_files, settings.n_features, settings.dtype, labelled=labelled, compressed=compressed
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


def _put(outputs: Outputs, made: dict[str, Path], targets: dict[str, Path]) -> list[str]:
    """Bring the files to where they belong, in the order of the targets.

    What an earlier run wrote and this one has not made is removed; gives a sentence for each file of others.
    """
    warnings = []
    known = {"request": {"command": "hash"}}
    outputs.publish({targets[name].name: (made[name], known) for name in targets if name in made})
    for name, target in targets.items():
        if name not in made:
            outputs.remove(target.name)
            if target.exists():
                warnings.append(
                    f"{target} is not of this run and stays: manymill has no record of writing it"
                )
    return warnings
