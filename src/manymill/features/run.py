"""Hash the rows of a plan on many threads into files that are written atomically and in order."""

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
from manymill.features.formats import LabelIndex, NpzWriter, SvmlightWriter
from manymill.features.settings import FeatureSettings
from manymill.storage.outputs import Outputs, identities
from manymill.text.documents import CsrArrays

# All files of the writers and the ledger in a work folder.
_WORK_FILES = (
    *("data", "indices", "ends", "codes", "matrix.npz", "matrix.svmlight", "labels.npy", "labels.json"),
    *("bad_rows.jsonl", "bad_rows.jsonl.partial"),
)


@dataclass(frozen=True)
class Features:
    """The files written, and their sizes.

    Parameters
    ----------
    file : str
        The matrix.
    labels : str or None
        The file of labels, or of their names; None if there is none.
    n_rows, n_features, n_values : int
        Shape of the matrix, and number of stored values.
    text_bytes : int
        Bytes of UTF-8 of all texts.
    bad_counts : dict
        Number of rejected records by reason.
    bad_rows : str or None
        The list of the first bad rows.
    warnings : tuple of str
        Problems that did not end the run, and files next to the matrix that are not from this run.
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


class FeatureWriter(Protocol):
    """Writer of rows and their labels, in order."""

    labels_name: ClassVar[str]
    n_rows: int
    n_values: int

    def label_values(self, codes: NDArray[np.int64], label_index: LabelIndex) -> NDArray[np.int64]:
        """Convert labels for ``encode``; called in row order."""

    def encode(self, arrays: CsrArrays, labels: NDArray[np.int64]) -> Any:
        """Encode rows for ``write``; called on any thread."""

    def write(self, encoded: Any) -> None:
        """Append rows."""

    def close(self, label_index: LabelIndex) -> dict[str, Path]:
        """Write the rest, and give the files: ``matrix``, and ``labels`` if there are any."""


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
        The plan of the inputs; labels are written if it has labels.
    out : path
        The matrix. Labels go to ``<stem>.labels.npy`` next to it, bad rows to ``<stem>.bad_rows.jsonl``; those of an
        earlier run are removed if this run has none.
    settings : FeatureSettings
    format : {"npz", "svmlight"}
        Format for ``scipy.sparse.load_npz`` or ``sklearn.datasets.load_svmlight_file``.
    compressed : bool
        Whether to deflate the ``.npz``.
    overwrite : bool
        Whether to replace existing files that manymill has no record of writing. Inputs are never replaced.
    threads : int
        Number of threads that read and hash; it does not change the files.

    Returns
    -------
    Features

    Raises
    ------
    SourceError, RowError
        If an input cannot be read, or has a bad row and the plan is strict; then nothing is written.
    RunFolderError
        If a file cannot be written, or would replace an input or a file of others.
    """
    out = Path(out)
    if not out.name:
        raise RunFolderError(f"{str(out)!r} is not a file name", "set the file of the matrix with --out")
    kind = NpzWriter if format == "npz" else SvmlightWriter
    targets = {
        "labels": out.with_name(f"{out.stem}.{kind.labels_name}"),
        "bad_rows": out.with_name(f"{out.stem}.bad_rows.jsonl"),
        "matrix": out,
    }
    outputs = Outputs(out.parent)
    try:
        inputs = identities(path for file in plan.files for path in file.paths)
        for target in targets.values():
            outputs.check(target.name, inputs, overwrite=overwrite)
        outputs.sweep()
        with outputs.working(_WORK_FILES) as folder, ExitStack() as open_files:
            writer = _writer(folder, open_files, settings, plan, format, compressed=compressed)
            warnings: list[str] = []
            ledger = Ledger(folder / "bad_rows.jsonl", strict=plan.dataset.strict, on_failure=warnings.append)
            label_index = LabelIndex()
            text_bytes = _write_rows(plan, settings, writer, ledger, label_index, threads)
            made = writer.close(label_index)
            if ledger.first and ledger.path:
                made["bad_rows"] = Path(ledger.path)
            open_files.close()
            warnings += _publish(outputs, made, targets)
    except ManymillError:
        raise
    except OSError as error:
        raise RunFolderError(
            f"cannot write {out}: {error.strerror or error}", "free some disk space, or choose another folder"
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
) -> FeatureWriter:
    labelled = plan.dataset.labelled
    if format == "svmlight":
        return SvmlightWriter(folder, open_files, labelled=labelled)
    return NpzWriter(
        folder, open_files, settings.n_features, settings.dtype, labelled=labelled, compressed=compressed
    )


def _write_rows(
    plan: Plan,
    settings: FeatureSettings,
    writer: FeatureWriter,
    ledger: Ledger,
    label_index: LabelIndex,
    threads: int,
) -> int:
    """Read, hash and write all rows; gives the total bytes of their texts."""

    def encoded(item: tuple[Batch, NDArray[np.int64]]) -> tuple[Batch, Any]:
        batch, labels = item
        return batch, writer.encode(settings.hash_batch(batch), labels)

    def numbered(batches: Iterator[Batch]) -> Iterator[tuple[Batch, NDArray[np.int64]]]:
        for batch in batches:
            yield batch, writer.label_values(label_index.codes(batch), label_index)

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


def _publish(outputs: Outputs, made: dict[str, Path], targets: dict[str, Path]) -> list[str]:
    """Move the files to their targets, in order, and remove files of an earlier run that this run does not have.

    Gives a warning for each existing file that manymill did not write.
    """
    warnings = []
    record = {"request": {"command": "hash"}}
    outputs.publish({targets[name].name: (made[name], record) for name in targets if name in made})
    for name, target in targets.items():
        if name not in made:
            outputs.remove(target.name)
            if target.exists():
                warnings.append(
                    f"{target} is not from this run and was not removed: manymill has no record of writing it"
                )
    return warnings
