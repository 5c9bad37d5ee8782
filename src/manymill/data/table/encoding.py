"""A table in files as a matrix in a file: read once, in bounded memory, and found again the next time.

::

    files ──► first rows ──► schema ──► blocks ──► numbers ──► X.npy, y.npy in a folder named by the files' stamps

The folder appears whole or not at all: it is written under another name and renamed. A second call for the same files
reads nothing and writes nothing.
"""

from __future__ import annotations

import getpass
import json
import os
import shutil
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from manymill.data.plan import SourceFile
from manymill.data.table.blocks import blocks_of, files_of
from manymill.data.table.schema import TableSchema, choose, text_of
from manymill.errors import PlanError, RowError, SchemaError, SourceError

if TYPE_CHECKING:
    from manymill.data.dataset import Dataset

Task = Literal["classification", "regression"]

_HEADER_BYTES = 128  # of an .npy file, its length included: rewritten when the number of rows is known

# Tables may take this share of the room there is for them; one that was used so lately stays in any case.
_SHARE_OF_DISK = 0.25
_IN_USE_SECONDS = 3600.0


@dataclass(frozen=True, slots=True)
class Table:
    """A table as numbers.

    Attributes
    ----------
    X : ndarray of float32, shape (n_rows, n_columns)
        Mapped from a file, read-only; NaN where a value is missing.
    y : ndarray of shape (n_rows,) or None
        Labels as strings' codes (int64, into `classes`), or float64 values.
    classes : ndarray of str or None
    schema : TableSchema
    n_bad : int
        Rows that were left out, since what is to be learnt was missing.
    bytes_written : int
        0 if the table was there already.
    """

    X: NDArray[np.float32]
    y: NDArray[Any] | None
    classes: NDArray[Any] | None
    schema: TableSchema
    n_bad: int
    bytes_written: int

    @property
    def labels(self) -> NDArray[Any] | None:
        """What is learnt, row by row: labels, or values."""
        return self.y if self.classes is None or self.y is None else self.classes[self.y]


def encode_table(
    dataset: Dataset,
    *,
    task: Task | None = "classification",
    schema: TableSchema | None = None,
    folder: str | os.PathLike[str] | None = None,
) -> Table:
    """The rows of a dataset of Parquet or CSV files as numbers.

    Numbers stay as they are; true and false are 1 and 0; words of few kinds become codes; missing values are NaN.
    Dates, texts and names of rows are left out, and the schema says why.

    Parameters
    ----------
    dataset : Dataset
        Its ``label`` is the column to learn, ``classes`` are not heeded.
    task : {"classification", "regression"} or None
        What the column to learn holds; None reads the other columns alone.
    schema : TableSchema, optional
        Of a model, whose columns are to be found again; chosen on the first rows if not given.
    folder : path, optional
        Where tables are kept; a folder of the user's own beneath the system's folder for temporary files if not given.

    Raises
    ------
    SchemaError
        If there is no such column, or none that can be learnt from.
    SourceError, RowError
        If a file cannot be read, or a row is bad.
    """
    if task is not None and dataset.label is None:
        raise SchemaError("no column to learn is named", "scan(..., label='the column')")
    files = files_of(dataset)
    root = _root(folder)
    place = root / _key(files, dataset, task, schema)
    written = 0
    if not (place / "table.json").exists():
        written = _write(place, files, dataset, task, schema)
    return _read(place, written)


def _root(folder: str | os.PathLike[str] | None) -> Path:
    """The folder of tables: other users may neither write nor read it."""
    if folder is None:
        folder = Path(tempfile.gettempdir()) / f"manymill-tables-{getpass.getuser()}"
    root = Path(folder)
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    if hasattr(os, "getuid") and root.stat().st_uid != os.getuid():
        raise SourceError(f"{root} belongs to another user", "name another folder for tables")
    return root


def _key(files: list[SourceFile], dataset: Dataset, task: Task | None, schema: TableSchema | None) -> str:
    facts = [
        [[os.path.abspath(file.path), file.size, file.stamp] for file in files],
        dataset.label,
        dataset.format,
        dataset.encoding,
        dataset.strict,
        task,
        None if schema is None else schema.to_json(),
    ]
    return blake2b(json.dumps(facts).encode(), digest_size=16).hexdigest()


def _write(
    place: Path, files: list[SourceFile], dataset: Dataset, task: Task | None, schema: TableSchema | None
) -> int:
    _make_room(place.parent)
    partial = Path(tempfile.mkdtemp(prefix=f"{place.name[:8]}.partial-", dir=place.parent))
    try:
        with open(partial / "X.npy", "wb") as rows, open(partial / "y.npy", "wb") as targets:
            writer = _Writer(rows, targets, dataset, task, schema)
            for file in files:
                writer.add(file)
            facts = writer.end()
        (partial / "table.json").write_text(json.dumps(facts))
        n_bytes = sum(path.stat().st_size for path in partial.iterdir())
        # Another process may have been sooner: its table is as good.
        with suppress(OSError):
            os.rename(partial, place)
    except OSError as error:
        raise PlanError(
            f"the table cannot be written to {place.parent}: {error.strerror or error}",
            "free some room there, or name another folder for tables",
        ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return n_bytes


def _make_room(root: Path) -> None:
    """Remove tables that were not used for longest, and what killed processes left, until the rest takes its share."""
    entries = []
    for folder in root.iterdir():
        with suppress(OSError):
            entries.append(
                (folder.stat().st_mtime, sum(path.stat().st_size for path in folder.iterdir()), folder)
            )
    total = sum(n_bytes for _, n_bytes, _ in entries)
    most = _SHARE_OF_DISK * (shutil.disk_usage(root).free + total)
    for used, n_bytes, folder in sorted(entries):
        abandoned = ".partial-" in folder.name
        if (total > most or abandoned) and time.time() - used > _IN_USE_SECONDS:
            shutil.rmtree(folder, ignore_errors=True)
            total -= n_bytes


class _Writer:
    """Rows on their way into two files, block by block."""

    def __init__(
        self,
        rows: BinaryIO,
        targets: BinaryIO,
        dataset: Dataset,
        task: Task | None,
        schema: TableSchema | None,
    ) -> None:
        self._files = rows, targets
        self._dataset, self._task, self._schema = dataset, task, schema
        self._codes: dict[str, int] = {}
        self._n_rows = self._n_bad = 0
        for file in self._files:
            file.write(bytes(_HEADER_BYTES))

    def add(self, file: SourceFile) -> None:
        """All rows of a file."""
        row = 1
        for batch in blocks_of(file, self._dataset):
            if self._schema is None:
                self._schema = choose(batch, self._dataset.label if self._task else None)
            if self._task is not None:
                kept = self._targets(batch, file.path, row)
                if not kept.all():
                    self._n_bad += int((~kept).sum())
                    numbers = self._schema.encode(batch, file.path, row)[kept]
                else:
                    numbers = self._schema.encode(batch, file.path, row)
            else:
                numbers = self._schema.encode(batch, file.path, row)
            self._files[0].write(numbers.data.cast("B"))
            self._n_rows += len(numbers)
            row += batch.num_rows

    def _targets(self, batch: pa.RecordBatch, path: str, row: int) -> NDArray[np.bool_]:
        """Write what is learnt from the rows; gives those that have it."""
        name = self._dataset.label
        place = batch.schema.get_field_index(name)
        if place < 0:
            raise SchemaError(
                f"{path}: there is no column {name!r}", f"it has {', '.join(batch.schema.names)[:200]}"
            )
        words = text_of(batch.column(place))
        kept = np.asarray(pc.is_valid(words))
        if self._dataset.strict and not kept.all():
            raise RowError(f"{path}: row {row + int(np.argmin(kept))}: {name!r} is missing", "mend the row")
        words = words.drop_null()
        if self._task == "classification":
            found = words.dictionary_encode()
            codes = [self._codes.setdefault(word, len(self._codes)) for word in found.dictionary.to_pylist()]
            values: NDArray[Any] = np.array(codes, "<i8")[np.asarray(found.indices)]
        else:
            values = self._values(words, path, row + np.flatnonzero(kept))
        self._files[1].write(values.data.cast("B"))
        return kept

    def _values(self, words: pa.Array, path: str, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        out = np.empty(len(words), "<f8")
        for place, word in enumerate(words.to_pylist()):
            try:
                out[place] = float(word)
            except ValueError:
                out[place] = np.nan
            if not np.isfinite(out[place]):
                raise RowError(
                    f"{path}: row {rows[place]}: {word[:40]!r} in the column {self._dataset.label!r} is no number",
                    "mend the row, or learn classes",
                )
        return out

    def end(self) -> dict[str, Any]:
        """Complete the files; what is to be known of them."""
        schema = self._schema
        if schema is None or not self._n_rows:
            raise SourceError("the table has no rows to learn from", "name other files")
        names = sorted(self._codes)
        _complete(self._files[0], "<f4", (self._n_rows, len(schema.columns)))
        dtype = "<f8" if self._task == "regression" else "<i8"
        _complete(self._files[1], dtype, (self._n_rows if self._task else 0,))
        order = [self._codes[name] for name in names]
        return {
            "schema": schema.to_json(),
            "classes": names,
            "order": order,
            "n_bad": self._n_bad,
            "task": self._task,
        }


def _complete(file: BinaryIO, dtype: str, shape: tuple[int, ...]) -> None:
    """Write the header of an .npy file over the room that was left for it."""
    description = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape!r}, }}"
    text = description.encode().ljust(_HEADER_BYTES - 11) + b"\n"
    file.seek(0)
    file.write(b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text)


def _read(place: Path, written: int) -> Table:
    facts = json.loads((place / "table.json").read_text())
    os.utime(place)  # it was used
    X = np.load(place / "X.npy", mmap_mode="r")
    y: NDArray[Any] | None = None
    classes = None
    if facts["task"] is not None:
        y = np.load(place / "y.npy", mmap_mode="r")
    if facts["task"] == "classification":
        # Codes were given out in the order of rows; labels stand in alphabetical order.
        rank = np.empty(len(facts["order"]), np.int64)
        rank[facts["order"]] = np.arange(len(rank))
        assert y is not None
        y, classes = rank[y], np.array(facts["classes"])
    return Table(X, y, classes, TableSchema.from_json(facts["schema"]), facts["n_bad"], written)
