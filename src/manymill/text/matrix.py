"""Counts to the sparse matrix of scikit-learn's ``HashingVectorizer``, bit for bit.

In: the arrays that the core makes of documents, or hashed batches, one after the other. Out: one matrix.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal, TypedDict

import numpy as np
from numpy.typing import NDArray

from manymill._core import HashedBatch

Arrays = tuple[NDArray[Any], NDArray[Any], NDArray[Any]]

_LARGEST_INT32 = np.iinfo(np.int32).max


class CoreValues(TypedDict):
    """The parameters of :meth:`manymill._core.HashedBatch.to_csr`."""

    n_features: int
    alternate_sign: bool
    binary: bool
    norm: Literal["l1", "l2"] | None
    dtype: Literal["float64", "float32"]


@dataclass(frozen=True)
class Values:
    """How counts become values of a matrix.

    Parameters
    ----------
    n_features : int
        Columns, 1 to 2**31.
    alternate_sign, binary : bool
        Whether half of the tokens count -1; whether every stored value becomes 1.
    norm : {"l1", "l2"} or None
        What a row is divided by.
    dtype : numpy.dtype
        One for which :meth:`supports` is true.
    """

    n_features: int
    alternate_sign: bool
    binary: bool
    norm: Literal["l1", "l2"] | None
    dtype: np.dtype[Any]

    @staticmethod
    def supports(dtype: np.dtype[Any], *, alternate_sign: bool) -> bool:
        """Whether sums of this type are exact, or wrap around as those of 64 bits do.

        Unsigned types are an error for scikit-learn where a token counts -1.
        """
        kinds = "i" if alternate_sign else "iu"
        return dtype.isnative and (dtype in (np.float64, np.float32) or dtype.kind in kinds)

    @property
    def of_core(self) -> CoreValues:
        """What the core does of this."""
        return {
            "n_features": self.n_features,
            "alternate_sign": self.alternate_sign,
            "binary": self.binary,
            "norm": self.norm if self._normed_by_core else None,
            "dtype": "float32" if self.dtype == np.float32 else "float64",
        }

    def arrays(self, batches: Iterable[HashedBatch]) -> Arrays:
        """The core's data, indices and indptr of all documents; one batch at a time is in memory."""
        parts: list[Arrays] = []
        n_hashes = 0
        for batch in batches:
            parts.append(batch.to_csr(**self.of_core))
            n_hashes += int(batch.indptr()[-1])
            del batch  # before the next one is made
        return parts.pop() if len(parts) == 1 else _stacked(parts, n_hashes, self.of_core["dtype"])

    def matrix(self, arrays: Arrays) -> Any:
        """The matrix of the core's arrays, of shape ``(n_documents, n_features)``."""
        data, indices, indptr = arrays
        if self.dtype.kind != "f" and self.of_core["norm"] is None:
            # By way of 64 bits: a float that an integer type does not hold has no defined value in it.
            data = data.astype(np.int64).astype(self.dtype, copy=False)
        matrix = _csr(data, indices, indptr, self.n_features)
        if self.norm is None or self._normed_by_core:
            return matrix
        from sklearn.preprocessing import normalize

        return normalize(matrix, norm=self.norm, copy=False)

    @property
    def _normed_by_core(self) -> bool:
        """Small integers wrap around before they are normed; those of others are exact, and become float64."""
        return self.dtype.kind == "f" or self.dtype.itemsize >= 4


def _stacked(parts: list[Arrays], n_hashes: int, dtype: str) -> Arrays:
    """The arrays of the parts below each other; there may be none."""
    kind = np.int32 if n_hashes <= _LARGEST_INT32 else np.int64
    ends = np.cumsum([0] + [len(data) for data, _, _ in parts], dtype=np.int64)
    rows = [
        indptr[1:] + np.asarray(end, np.int64) for (_, _, indptr), end in zip(parts, ends[:-1], strict=True)
    ]
    data = np.concatenate([np.empty(0, dtype), *(data for data, _, _ in parts)])
    indices = np.concatenate([np.empty(0, kind), *(indices for _, indices, _ in parts)], dtype=kind)
    return data, indices, np.concatenate([[0], *rows], dtype=kind, casting="unsafe")


def _csr(data: Any, indices: Any, indptr: Any, n_features: int) -> Any:
    import scipy.sparse as sp
    from sklearn import get_config

    arrays = get_config().get("sparse_interface", "spmatrix") == "sparray"
    matrix = (sp.csr_array if arrays else sp.csr_matrix)((len(indptr) - 1, n_features), dtype=data.dtype)
    # SciPy would look at all indices, and bring 64 bits back to 32; scikit-learn's matrix keeps what its tokens needed.
    matrix.data, matrix.indices, matrix.indptr = data, indices, indptr
    # They are sorted and distinct as they come; to say so saves SciPy a pass over them.
    matrix.has_sorted_indices = True
    matrix.has_canonical_format = True
    return matrix
