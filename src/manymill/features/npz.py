"""SciPy's file of a sparse matrix, ``scipy.sparse.load_npz``, written without holding the matrix.

The arrays of the matrix grow side by side, but stand one after the other in the file, with their lengths in front: they
are gathered in files of their own first.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from manymill.errors import RowError
from manymill.features.labels import Numbering
from manymill.text.intake import Arrays

_CHUNK_ITEMS = 1 << 20
# Of labels in memory at a time.
_CHUNK_BYTES = 1 << 26
# Of one label. In the file each takes as much as the longest: a column of texts would fill the disk.
_LABEL_BYTES = 1 << 16


class NpzWriter:
    """Writes rows to ``matrix.npz`` and their labels to ``labels.npy`` in a folder.

    Parameters
    ----------
    folder : Path
        An empty folder.
    open_files : ExitStack
        Closes files at the latest.
    n_features : int
    dtype : numpy.dtype
        Of the values.
    labelled : bool
        Whether labels are written.
    compressed : bool
        Whether the file is deflated: a third of the size, a fiftieth of the speed.
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
        self._files = {name: _Gathered(folder / name, open_files) for name in names}

    def label_values(self, codes: NDArray[np.int64], numbering: Numbering) -> NDArray[np.int64]:
        """The codes themselves: what they stand for is known at the end."""
        return codes

    def encode(self, arrays: Arrays, labels: NDArray[np.int64]) -> tuple[Arrays, NDArray[np.int64]]:
        """The rows as :meth:`write` takes them; called on any thread."""
        return arrays, labels

    def write(self, rows: tuple[Arrays, NDArray[np.int64]]) -> None:
        """Append rows."""
        (data, indices, indptr), codes = rows
        self._files["data"].append(data)
        self._files["indices"].append(indices.astype(np.int32, copy=False))
        self._files["ends"].append(indptr[1:].astype(np.int64) + self.n_values)
        if self._labelled:
            self._files["codes"].append(codes.astype(np.int32))
        self.n_rows += len(codes)
        self.n_values += len(data)

    def close(self, numbering: Numbering) -> dict[str, Path]:
        """Write the files: ``matrix`` and, with labels, ``labels``.

        Raises
        ------
        RowError
            If a label is so long that it cannot be one.
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
            self._write_labels(made["labels"], numbering)
        return made

    def _write_labels(self, path: Path, numbering: Numbering) -> None:
        dtype = numbering.dtype
        if dtype.itemsize > _LABEL_BYTES:
            raise RowError(
                f"a label has {dtype.itemsize // 4:,} characters",
                "name the column of labels with --label, or leave them out with --no-labels",
            )
        n_items = min(_CHUNK_ITEMS, _CHUNK_BYTES // dtype.itemsize)
        with open(path, "wb") as file:
            _header(file, self.n_rows, dtype)
            for codes in self._files["codes"].read(np.int32, np.int32, n_items):
                file.write(numbering.labels(codes, dtype).tobytes())

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


class _Gathered:
    """An array on the disk that grows."""

    def __init__(self, path: Path, open_files: ExitStack) -> None:
        self._path = path
        self._file = open_files.enter_context(path.open("wb"))

    def append(self, array: NDArray[Any]) -> None:
        self._file.write(np.ascontiguousarray(array).data)

    def read(self, dtype: Any, wanted: Any, n_items: int = _CHUNK_ITEMS) -> Iterator[NDArray[Any]]:
        """All of it, in pieces; the file is gone then."""
        self._file.close()
        with open(self._path, "rb") as file:
            while len(chunk := np.fromfile(file, dtype, n_items)):
                yield chunk.astype(wanted, copy=False)
        self._path.unlink()


def _after(first: NDArray[Any], rest: Iterator[NDArray[Any]]) -> Iterator[NDArray[Any]]:
    yield first
    yield from rest


def _header(file: IO[bytes], length: int, dtype: np.dtype[Any]) -> None:
    description = np.lib.format.dtype_to_descr(dtype)
    header = {"descr": description, "fortran_order": False, "shape": (length,)}
    np.lib.format.write_array_header_1_0(file, header)
