"""Which rows, or blocks of a plan, make up which part: pure functions of numbers and a random stream.

Every row is in exactly one part, and keeps its place before and behind the others of its part: so parts of a
memory-mapped array are read forwards, and a single part is the data as it is.

Parts of a dataset: blocks of its plan, read and vectorized by whoever learns them.

In: a plan and a vectorizer that needs no fitting, or has been fitted. Out: parts that load themselves, and the
held-out rows. A row is held out by a hash of its text, so every worker holds out the same ones without being told.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from manymill.data.batches import Batch
from manymill.data.dataset import Dataset, Plan
from manymill.data.reader import read
from manymill.errors import PlanError, SchemaError
from manymill.linear.state import ClassIndex
from manymill.parameter_mixing.fitting import Rows

Partitioning = Literal["shuffled", "contiguous", "stratified"]
PARTITIONINGS = ("shuffled", "contiguous", "stratified")


def parts_of(
    n_items: int,
    n_parts: int,
    partitioning: Partitioning,
    rng: np.random.Generator,
    codes: NDArray[Any] | None = None,
) -> list[NDArray[np.int64]]:
    """The numbers of the items of each part, ascending; sizes differ by one at most.

    Parameters
    ----------
    n_items, n_parts : int
        At least one item a part.
    partitioning : {"shuffled", "contiguous", "stratified"}
        Items dealt at random, cut in the order they have, or dealt class by class, so that the rows of a class in
        two parts differ by one at most.
    rng : numpy.random.Generator
        Not used by "contiguous".
    codes : ndarray of shape (n_items,), optional
        Classes of the items, for "stratified".

    Examples
    --------
    >>> import numpy as np
    >>> [part.tolist() for part in parts_of(5, 2, "contiguous", np.random.default_rng(0))]
    [[0, 1, 2], [3, 4]]
    """
    if partitioning == "contiguous":
        return np.array_split(np.arange(n_items), n_parts)
    order = rng.permutation(n_items)
    if partitioning == "stratified":
        assert codes is not None
        order = order[np.argsort(codes[order], kind="stable")]
    return [np.sort(order[part::n_parts]) for part in range(n_parts)]


def split_off(
    n_rows: int, share: float, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The numbers of the rows to learn and of those held out, both ascending; at least one of each."""
    if not share or n_rows < 2:
        return np.arange(n_rows), np.arange(0)
    n_held = min(n_rows - 1, max(1, round(share * n_rows)))
    order = rng.permutation(n_rows)
    return np.sort(order[n_held:]), np.sort(order[:n_held])


# So many blocks a part are wanted, so that parts are of about the same size and mixed.
_BLOCKS_PER_PART = 4
_LEAST_BLOCK_BYTES, _BLOCK_BYTES = 1 << 14, 1 << 20
# Blocks that held-out rows are taken from, spread over the source: 64 MB of text are read a second time.
_BLOCKS_HELD_OUT = 64


@dataclass(frozen=True, slots=True, eq=False)
class TextRows:
    """How text and labels become rows.

    Parameters
    ----------
    vectorizer : transformer
        Only its ``transform`` is used.
    names : tuple of str or None
        The classes as the source writes them, in the order of their numbers; None for regression.
    share : float
        Of the rows that are held out.
    """

    vectorizer: Any
    names: tuple[str, ...] | None
    share: float

    def rows(self, batches: Iterable[Batch], *, held: bool | None) -> Rows:
        """The rows of batches: those held out, the others, or (None) all.

        Raises
        ------
        PlanError
            If a label is none of the classes, or no number where numbers are wanted.
        """
        X, y, weights = [], [], []
        for batch in batches:
            keep = self._kept(batch, held)
            if not keep.any():
                continue
            X.append(matrix_of(self.vectorizer, batch)[keep])
            y.append(self._targets(batch)[keep])
            weights.append(np.ones(int(keep.sum())) if batch.weight is None else batch.weight[keep])
        if not X:
            return Rows(None, np.zeros(0, np.int32), None)
        weight = np.concatenate(weights).astype(np.float64)
        return Rows(stacked(X), np.concatenate(y), None if (weight == 1).all() else weight)

    def targets(self, batches: Iterable[Batch], *, held: bool | None) -> NDArray[Any]:
        """The labels of the rows alone; no text is vectorized."""
        found = [self._targets(batch)[self._kept(batch, held)] for batch in batches if len(batch)]
        return np.concatenate(found) if found else np.zeros(0, np.int32)

    def _kept(self, batch: Batch, held: bool | None) -> NDArray[np.bool_]:
        keep = np.ones(len(batch), bool)
        if held is not None and batch.keys is not None:
            keep = (batch.keys < np.uint64(min(2**64 - 1, int(self.share * 2**64)))) == held
        return keep if batch.weight is None else keep & (batch.weight > 0)

    def _targets(self, batch: Batch) -> NDArray[Any]:
        assert batch.label is not None
        if self.names is None:
            try:
                return np.array([float(name) for name in batch.label.names])[batch.label.codes]
            except ValueError as error:
                raise PlanError(f"a label is no number: {error}", "regression learns numbers") from error
        codes = ClassIndex.in_order(self.names).encode(batch.label)
        if len(codes) and codes.min() < 0:
            name = batch.label.names[batch.label.codes[int(np.argmin(codes))]]
            raise PlanError(
                f"the label {name!r} is none of the {len(self.names)} classes that the sample of the source has",
                "name all of them with scan(..., classes=[...])",
            )
        return codes


@dataclass(frozen=True, slots=True, eq=False)
class BlockPart:
    """Blocks of a plan.

    Parameters
    ----------
    name : str
        What messages call it.
    plan : Plan
    blocks : tuple of int
        Numbers of the blocks, in the order in which they are read.
    reading : TextRows
    held : bool
        Whether the held-out rows are wanted, or the others.
    """

    name: str
    plan: Plan
    blocks: tuple[int, ...]
    reading: TextRows
    held: bool = False

    def rows(self) -> Rows:
        """Read and vectorize; see :meth:`TextRows.rows`."""
        return self.reading.rows(self._batches(), held=self._side)

    def targets(self) -> NDArray[Any]:
        """Read the labels."""
        return self.reading.targets(self._batches(), held=self._side)

    def _batches(self) -> Iterator[Batch]:
        return read(self.plan, order=self.blocks, keyed=self._side is not None)

    @property
    def _side(self) -> bool | None:
        return self.held if self.reading.share > 0 else None


def planned(dataset: Dataset, n_parts: int) -> Plan:
    """The plan of a dataset, in blocks small enough for so many parts.

    Raises
    ------
    SchemaError
        If the dataset has no labels.
    """
    if not dataset.labelled:
        raise SchemaError("the rows to learn have no labels", "leave out labelled=False")
    plan = dataset.plan(block_bytes=_BLOCK_BYTES)
    wanted = _BLOCKS_PER_PART * n_parts
    if dataset.memory is None and len(plan.blocks) < wanted and all(file.cuttable for file in plan.files):
        block_bytes = max(_LEAST_BLOCK_BYTES, plan.source_bytes // wanted)
        plan = dataset.plan(block_bytes=min(_BLOCK_BYTES, block_bytes))
    return plan


def can_be_dealt(plan: Plan, n_parts: int) -> bool:
    """Whether each part can have blocks of its own, that its worker opens itself."""
    return plan.dataset.memory is None and len(plan.blocks) >= n_parts


def classes_of(plan: Plan) -> tuple[tuple[str, ...], NDArray[Any]]:
    """The names of a plan's classes, sorted, and the labels that a model has for them.

    Raises
    ------
    PlanError
        If there are fewer than two.
    """
    index = ClassIndex.in_order(plan.class_counts)
    as_integers = plan.labels_are_integers and index.are_integers
    names = tuple(index.names[i] for i in index.sorted_order(as_integers=as_integers))
    if len(names) < 2:
        raise PlanError(
            f"all rows that were sampled have the same label, {list(names)}: there is only one class",
            "name the classes with scan(..., classes=[...])",
        )
    return names, np.array([int(name) for name in names] if as_integers else names)


def block_parts(plan: Plan, parts: Sequence[NDArray[np.int64]], reading: TextRows) -> list[BlockPart]:
    """The parts that have these blocks."""
    return [
        BlockPart(f"part {number} of {len(parts)}", plan, tuple(blocks.tolist()), reading)
        for number, blocks in enumerate(parts, 1)
    ]


def held_out_rows(plan: Plan, reading: TextRows) -> Rows:
    """Held-out rows of blocks spread over the source."""
    n_blocks = len(plan.blocks)
    spread = np.unique(np.linspace(0, n_blocks - 1, min(n_blocks, _BLOCKS_HELD_OUT)).astype(int))
    return BlockPart("the held-out rows", plan, tuple(spread.tolist()), reading, held=True).rows()


def batches_of(dataset: Dataset | Plan) -> Iterator[Batch]:
    """The batches of a whole dataset, one after the other."""
    return read(dataset.plan() if isinstance(dataset, Dataset) else dataset)


def features_of(vectorizer: Any, dataset: Dataset) -> Any:
    """The matrix of all rows of a dataset; labels are not looked at."""
    batches = batches_of(replace(dataset, label=None, labelled=False))
    return stacked([matrix_of(vectorizer, batch) for batch in batches if len(batch)])


def matrix_of(vectorizer: Any, batch: Batch) -> Any:
    """What the vectorizer makes of a batch's texts."""
    from scipy.sparse import issparse

    from manymill.text.hashing import HashingVectorizer

    texts: Any = _column(batch) if type(vectorizer) is HashingVectorizer else batch.texts()
    X = vectorizer.transform(texts)
    return X.tocsr() if issparse(X) else np.asarray(X)


def _column(batch: Batch) -> Any:
    """The texts as an Arrow column that lies where the batch does."""
    import pyarrow as pa

    buffers = [None, pa.py_buffer(batch.offsets), pa.py_buffer(batch.data)]
    return pa.Array.from_buffers(pa.large_string(), len(batch), buffers)


def stacked(matrices: Sequence[Any]) -> Any:
    """Matrices one below the other.

    Raises
    ------
    PlanError
        If there is none.
    """
    from scipy.sparse import issparse, vstack

    if not matrices:
        raise PlanError("there is no row to read", "look at the labels and texts of the files")
    if len(matrices) == 1:
        return matrices[0]
    return vstack(matrices, format="csr") if issparse(matrices[0]) else np.concatenate(matrices)
