"""The SVMlight format, which LIBSVM, LIBLINEAR, XGBoost, LightGBM and scikit-learn read: a line a row."""

from __future__ import annotations

import json
from contextlib import ExitStack
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from manymill import _core
from manymill.errors import RowError
from manymill.features.labels import Numbering
from manymill.text.intake import Arrays


class SvmlightWriter:
    """Writes rows to ``matrix.svmlight`` in a folder, and the names of text labels to ``labels.json``.

    A label that is an integer stands in its line as it is; of other labels, the place in the list of names. Without
    labels there is a 0.

    Parameters
    ----------
    folder : Path
        An empty folder.
    open_files : ExitStack
        Closes files at the latest.
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

    def label_values(self, codes: NDArray[np.int64], numbering: Numbering) -> NDArray[np.int64]:
        """The labels as they stand in the lines; called in the order of the rows.

        Raises
        ------
        RowError
            If labels were integers so far and one is none.
        """
        if not self._labelled or not len(codes):
            return codes
        if self._as_integers is None:
            self._as_integers = numbering.are_integers
        elif self._as_integers and not numbering.are_integers:
            raise RowError(
                "the labels are integers, but for one that came later",
                "leave the labels out with --no-labels, or write a matrix without --svmlight",
            )
        return numbering.labels(codes, np.dtype(np.int64)) if self._as_integers else codes

    def encode(self, arrays: Arrays, labels: NDArray[np.int64]) -> tuple[bytes, int, int]:
        """The lines of the rows, and how many rows and values they hold; called on any thread."""
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

    def close(self, numbering: Numbering) -> dict[str, Path]:
        """Write the files: ``matrix`` and, if labels are not integers, ``labels``."""
        self._file.close()
        made = {"matrix": self._path}
        if self._labelled and not self._as_integers:
            made["labels"] = self._folder / "labels.json"
            made["labels"].write_text(
                json.dumps(numbering.names, ensure_ascii=False) + "\n", encoding="utf-8"
            )
        return made
