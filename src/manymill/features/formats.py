"""Writers of sparse matrices in SciPy's ``.npz`` format and in SVMlight format, in bounded memory.

An ``.npz`` file (read by ``scipy.sparse.load_npz``) has the arrays one after the other, with their lengths first. They
grow in parallel, so they are collected in separate files first. SVMlight, with one line per row, is read by LIBSVM,
LIBLINEAR, XGBoost, LightGBM and scikit-learn.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import IO, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from manymill import _core
from manymill.data.batches import Batch
from manymill.errors import RowError
from manymill.text.documents import CsrArrays

_INT64 = range(-(2**63), 2**63)


class LabelIndex:
    """Index of all label names so far, shared by the batches.

    Attributes
    ----------
    names : list of str
        In order of first occurrence.
    are_integers : bool
        Whether each label so far is an integer in its source, and fits into 64 bits.
    """

    def __init__(self) -> None:
        self._indices: dict[str, int] = {}
        self.names: list[str] = []
        self.are_integers = True

    def codes(self, batch: Batch) -> NDArray[np.int64]:
        """The index of each row's label in :attr:`names`, int64 of shape ``(n_rows,)``."""
        if batch.label is None or not len(batch):
            return np.zeros(len(batch), np.int64)
        self.are_integers &= batch.labels_are_integers
        used, n_before = batch.label.counts(), len(self._indices)
        indices = [
            self._indices.setdefault(name, len(self._indices)) if name in used else 0
            for name in batch.label.names
        ]
        new = list(islice(self._indices, n_before, None))
        self.names += new
        self.are_integers = self.are_integers and all(int(name) in _INT64 for name in new)
        return np.array(indices, np.int64)[batch.label.codes]

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the labels: int64 if all are integers, else strings of the longest length."""
        if self.are_integers:
            return np.dtype(np.int64)
        return np.dtype((np.str_, max(map(len, self.names), default=1)))

    def labels(self, codes: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
        """The labels for codes; creates only the names that occur."""
        used, rows = np.unique(codes, return_inverse=True)
        names = [self.names[code] for code in used.tolist()]
        return np.array([int(name) for name in names] if dtype.kind == "i" else names, dtype)[rows]


_CHUNK_ITEMS = 1 << 20
# Bytes of labels in memory at a time.
_CHUNK_BYTES = 1 << 26
# Limit of a label. In the file each label takes the length of the longest: a column of texts would fill the disk.
_LABEL_BYTES = 1 << 16


class NpzWriter:
    """Writer of rows to ``matrix.npz`` and of labels to ``labels.npy`` in a folder.

    Parameters
    ----------
    folder : Path
        An empty folder.
    open_files : ExitStack
        Closes the files on an error.
    n_features : int
    dtype : numpy.dtype
        Type of the values.
    labelled : bool
        Whether labels are written.
    compressed : bool
        Whether to deflate the file: a third of the size, at a fiftieth of the speed.
    """

    labels_name: ClassVar[str] = "labels.npy"

    def __init__(
        self,
        folder: Path,
        open_files: ExitStack,
        n_features: int,
        dtype: Any,
        *,
        labelled: bool,
        compressed: bool,
    ) -> None:
        self._folder, self._labelled = folder, labelled
        self._n_features = n_features
        self._compression = zipfile.ZIP_DEFLATED if compressed else zipfile.ZIP_STORED
        self._dtype = np.dtype(dtype)
        self.n_rows = self.n_values = 0
        names = ("data", "indices", "ends", "codes") if labelled else ("data", "indices", "ends")
        self._files = {name: _AppendedArray(folder / name, open_files) for name in names}

    def label_values(self, codes: NDArray[np.int64], label_index: LabelIndex) -> NDArray[np.int64]:
        """The codes themselves: the type of the labels is known only at the end."""
        return codes

    def encode(self, arrays: CsrArrays, labels: NDArray[np.int64]) -> tuple[CsrArrays, NDArray[np.int64]]:
        """Encode rows for :meth:`write`; called on any thread."""
        return arrays, labels

    def write(self, rows: tuple[CsrArrays, NDArray[np.int64]]) -> None:
        """Append rows."""
        (data, indices, indptr), codes = rows
        self._files["data"].append(data)
        self._files["indices"].append(indices.astype(np.int32, copy=False))
        self._files["ends"].append(indptr[1:].astype(np.int64) + self.n_values)
        if self._labelled:
            self._files["codes"].append(codes.astype(np.int32))
        self.n_rows += len(codes)
        self.n_values += len(data)

    def close(self, label_index: LabelIndex) -> dict[str, Path]:
        """Write the files: ``matrix`` and, with labels, ``labels``.

        Raises
        ------
        RowError
            If a label is too long.
        """
        wide = np.dtype(np.int32 if self.n_values < 2**31 else np.int64)
        made = {"matrix": self._folder / "matrix.npz"}
        with zipfile.ZipFile(made["matrix"], "w", self._compression) as archive:
            self._member(archive, "indices", self._files["indices"].read(np.int32, wide), self.n_values, wide)
            ends = self._files["ends"].read(np.int64, wide)
            self._member(archive, "indptr", _after(np.zeros(1, wide), ends), self.n_rows + 1, wide)
            for name, array in (
                ("format", np.array(b"csr")),
                ("shape", np.array((self.n_rows, self._n_features))),
            ):
                with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w") as file:
                    np.lib.format.write_array(file, array)
            data = self._files["data"].read(self._dtype, self._dtype)
            self._member(archive, "data", data, self.n_values, self._dtype)
        if self._labelled:
            made["labels"] = self._folder / "labels.npy"
            self._write_labels(made["labels"], label_index)
        return made

    def _write_labels(self, path: Path, label_index: LabelIndex) -> None:
        dtype = label_index.dtype
        if dtype.itemsize > _LABEL_BYTES:
            raise RowError(
                f"a label has {dtype.itemsize // 4:,} characters",
                "set the label column with --label, or use --no-labels",
            )
        n_items = min(_CHUNK_ITEMS, _CHUNK_BYTES // dtype.itemsize)
        with open(path, "wb") as file:
            _header(file, self.n_rows, dtype)
            for codes in self._files["codes"].read(np.int32, np.int32, n_items):
                file.write(label_index.labels(codes, dtype).tobytes())

    def _member(
        self,
        archive: zipfile.ZipFile,
        name: str,
        chunks: Iterator[NDArray[Any]],
        length: int,
        dtype: np.dtype[Any],
    ) -> None:
        member = zipfile.ZipInfo(f"{name}.npy")
        member.compress_type = self._compression
        with archive.open(member, "w", force_zip64=True) as file:
            _header(file, length, dtype)
            for chunk in chunks:
                file.write(np.ascontiguousarray(chunk).data)


class _AppendedArray:
    """An append-only array in a temporary file."""

    def __init__(self, path: Path, open_files: ExitStack) -> None:
        self._path = path
        self._file = open_files.enter_context(path.open("wb"))

    def append(self, array: NDArray[Any]) -> None:
        self._file.write(np.ascontiguousarray(array).data)

    def read(self, dtype: Any, target_dtype: Any, n_items: int = _CHUNK_ITEMS) -> Iterator[NDArray[Any]]:
        """Read the array in pieces, and remove the file."""
        self._file.close()
        with open(self._path, "rb") as file:
            while len(chunk := np.fromfile(file, dtype, n_items)):
                yield chunk.astype(target_dtype, copy=False)
        self._path.unlink()


def _after(first: NDArray[Any], rest: Iterator[NDArray[Any]]) -> Iterator[NDArray[Any]]:
    yield first
    yield from rest


def _header(file: IO[bytes], length: int, dtype: np.dtype[Any]) -> None:
    description = np.lib.format.dtype_to_descr(dtype)
    header = {"descr": description, "fortran_order": False, "shape": (length,)}
    np.lib.format.write_array_header_1_0(file, header)


class SvmlightWriter:
    """Writer of rows to ``matrix.svmlight`` in a folder, and of the names of labels to ``labels.json``.

    Integer labels are written unchanged; other labels as indices into the list of names; 0 without labels.

    Parameters
    ----------
    folder : Path
        An empty folder.
    open_files : ExitStack
        Closes the files on an error.
    labelled : bool
        Whether there are labels.
    """

    labels_name: ClassVar[str] = "labels.json"

    def __init__(self, folder: Path, open_files: ExitStack, *, labelled: bool) -> None:
        self._folder, self._labelled = folder, labelled
        self._path = folder / "matrix.svmlight"
        self._file = open_files.enter_context(self._path.open("wb"))
        self._as_integers: bool | None = None
        self.n_rows = self.n_values = 0

    def label_values(self, codes: NDArray[np.int64], label_index: LabelIndex) -> NDArray[np.int64]:
        """The integers for the lines; called in row order.

        Raises
        ------
        RowError
            If the labels were integers so far and one is not.
        """
        if not self._labelled or not len(codes):
            return codes
        if self._as_integers is None:
            self._as_integers = label_index.are_integers
        elif self._as_integers and not label_index.are_integers:
            raise RowError(
                "the labels were integers at first, but a later one is not",
                "use --no-labels, or write a matrix without --svmlight",
            )
        return label_index.labels(codes, np.dtype(np.int64)) if self._as_integers else codes

    def encode(self, arrays: CsrArrays, labels: NDArray[np.int64]) -> tuple[bytes, int, int]:
        """The lines of the rows, and their numbers of rows and values; called on any thread."""
        data, indices, indptr = arrays
        lines = _core.svmlight_lines(
            data, indices.astype(np.int32, copy=False), indptr.astype(np.int64), labels
        )
        return lines, len(labels), len(data)

    def write(self, encoded: tuple[bytes, int, int]) -> None:
        """Append lines."""
        lines, n_rows, n_values = encoded
        self._file.write(lines)
        self.n_rows += n_rows
        self.n_values += n_values

    def close(self, label_index: LabelIndex) -> dict[str, Path]:
        """Write the files: ``matrix`` and, if labels are not integers, ``labels``."""
        self._file.close()
        made = {"matrix": self._path}
        if self._labelled and not self._as_integers:
            made["labels"] = self._folder / "labels.json"
            made["labels"].write_text(
                json.dumps(label_index.names, ensure_ascii=False) + "\n", encoding="utf-8"
            )
        return made
