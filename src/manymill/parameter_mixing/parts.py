"""Assign rows, or blocks of a dataset, to parts, and read the parts of a dataset.

Every row is in exactly one part, and rows of a part stay in order: so parts of a memory-mapped array are read forwards,
and a single part equals the data.

Blocks of a dataset are read and vectorized by the workers that fit them. The vectorizer needs no fitting, or has been
fitted. Rows are held out by a hash of their text, so that all workers hold out the same rows.
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
from manymill.parameter_mixing.fitting import PartRows

Partitioning = Literal["shuffled", "contiguous", "stratified"]
PARTITIONINGS = ("shuffled", "contiguous", "stratified")

# Several blocks per part make parts about equally large, and mix rows.
_BLOCKS_PER_PART = 4
_LEAST_BLOCK_BYTES, _BLOCK_BYTES = 1 << 14, 1 << 20
# Maximum number of blocks that held-out rows are read from, spread over the source: at most 64 MB of text.
_HELD_OUT_BLOCKS = 64


# ---- assign items


def assign_parts(
    n_items: int,
    n_parts: int,
    partitioning: Partitioning,
    rng: np.random.Generator,
    codes: NDArray[Any] | None = None,
) -> list[NDArray[np.int64]]:
    """Indices of the items of each part, ascending; sizes differ by one at most.

    Parameters
    ----------
    n_items, n_parts : int
        At least one item per part.
    partitioning : {"shuffled", "contiguous", "stratified"}
        Items are shuffled, split in order, or shuffled class by class, so that numbers of rows of a class in two parts
        differ by one at most.
    rng : numpy.random.Generator
        Not used by "contiguous".
    codes : ndarray of shape (n_items,), optional
        Classes of the items, for "stratified".

    Examples
    --------
    >>> import numpy as np
    >>> [part.tolist() for part in assign_parts(5, 2, "contiguous", np.random.default_rng(0))]
    [[0, 1, 2], [3, 4]]
    """
    if partitioning == "contiguous":
        return np.array_split(np.arange(n_items), n_parts)
    order = rng.permutation(n_items)
    if partitioning == "stratified":
        assert codes is not None
        order = order[np.argsort(codes[order], kind="stable")]
    return [np.sort(order[part::n_parts]) for part in range(n_parts)]


def split_held_out(
    n_rows: int, share: float, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Indices of training rows and of held-out rows, both ascending; at least one of each if ``share`` is not 0."""
    if not share or n_rows < 2:
        return np.arange(n_rows), np.arange(0)
    n_held_out = min(n_rows - 1, max(1, round(share * n_rows)))
    order = rng.permutation(n_rows)
    return np.sort(order[n_held_out:]), np.sort(order[:n_held_out])


# ---- blocks of a dataset


@dataclass(frozen=True, slots=True, eq=False)
class BatchEncoder:
    """Turns batches of texts and labels into rows.

    Parameters
    ----------
    vectorizer : transformer
        Only its ``transform`` is used.
    names : tuple of str or None
        The classes as strings, in the order of their indices; None for regression.
    share : float
        Share of rows that are held out.
    """

    vectorizer: Any
    names: tuple[str, ...] | None
    share: float

    def rows(self, batches: Iterable[Batch], *, held_out: bool | None) -> PartRows:
        """The rows of batches: those held out, the others, or all (None).

        Raises
        ------
        PlanError
            If a label is not one of the classes, or not a number for regression.
        """
        X, y, weights = [], [], []
        for batch in batches:
            selected = self._select(batch, held_out)
            if not selected.any():
                continue
            X.append(vectorize_batch(self.vectorizer, batch)[selected])
            y.append(self._encode_labels(batch)[selected])
            weights.append(np.ones(int(selected.sum())) if batch.weight is None else batch.weight[selected])
        if not X:
            return PartRows(None, np.zeros(0, np.int32), None)
        weight = np.concatenate(weights).astype(np.float64)
        return PartRows(stack_rows(X), np.concatenate(y), None if (weight == 1).all() else weight)

    def targets(self, batches: Iterable[Batch], *, held_out: bool | None) -> NDArray[Any]:
        """Only the labels of the rows; no text is vectorized."""
        labels = [
            self._encode_labels(batch)[self._select(batch, held_out)] for batch in batches if len(batch)
        ]
        return np.concatenate(labels) if labels else np.zeros(0, np.int32)

    def _select(self, batch: Batch, held_out: bool | None) -> NDArray[np.bool_]:
        selected = np.ones(len(batch), bool)
        if held_out is not None and batch.keys is not None:
            selected = (batch.keys < np.uint64(min(2**64 - 1, int(self.share * 2**64)))) == held_out
        return selected if batch.weight is None else selected & (batch.weight > 0)

    def _encode_labels(self, batch: Batch) -> NDArray[Any]:
        assert batch.label is not None
        if self.names is None:
            try:
                return np.array([float(name) for name in batch.label.names])[batch.label.codes]
            except ValueError as error:
                raise PlanError(
                    f"a label is not a number: {error}", "for regression, labels must be numbers"
                ) from error
        codes = ClassIndex.in_order(self.names).encode(batch.label)
        if len(codes) and codes.min() < 0:
            name = batch.label.names[batch.label.codes[int(np.argmin(codes))]]
            raise PlanError(
                f"the label {name!r} is not one of the {len(self.names)} classes in the sample of the source",
                "name all classes with scan(..., classes=[...])",
            )
        return codes


@dataclass(frozen=True, slots=True, eq=False)
class BlockPart:
    """A part that consists of blocks of a plan.

    Parameters
    ----------
    name : str
        Name of the part in messages.
    plan : Plan
    blocks : tuple of int
        Indices of the blocks, in the order in which they are read.
    encoder : BatchEncoder
    held_out : bool
        Whether its rows are the held-out rows of the blocks, or the others.
    """

    name: str
    plan: Plan
    blocks: tuple[int, ...]
    encoder: BatchEncoder
    held_out: bool = False

    def rows(self) -> PartRows:
        """Read and vectorize the rows; see :meth:`BatchEncoder.rows`."""
        return self.encoder.rows(self._batches(), held_out=self._selection)

    def targets(self) -> NDArray[Any]:
        """Read the labels."""
        return self.encoder.targets(self._batches(), held_out=self._selection)

    def _batches(self) -> Iterator[Batch]:
        return read(self.plan, order=self.blocks, keyed=self._selection is not None)

    @property
    def _selection(self) -> bool | None:
        return self.held_out if self.encoder.share > 0 else None


def plan_blocks(dataset: Dataset, n_parts: int) -> Plan:
    """The plan of a dataset, with blocks small enough for the number of parts.

    Raises
    ------
    SchemaError
        If the dataset has no labels.
    """
    if not dataset.labelled:
        raise SchemaError("the training rows have no labels", "leave out labelled=False")
    plan = dataset.plan(block_bytes=_BLOCK_BYTES)
    n_blocks = _BLOCKS_PER_PART * n_parts
    if dataset.memory is None and len(plan.blocks) < n_blocks and all(file.cuttable for file in plan.files):
        block_bytes = max(_LEAST_BLOCK_BYTES, plan.source_bytes // n_blocks)
        plan = dataset.plan(block_bytes=min(_BLOCK_BYTES, block_bytes))
    return plan


def can_assign_blocks(plan: Plan, n_parts: int) -> bool:
    """Whether there is a block for each part, and workers can read blocks themselves."""
    return plan.dataset.memory is None and len(plan.blocks) >= n_parts


def sampled_classes(plan: Plan) -> tuple[tuple[str, ...], NDArray[Any]]:
    """The classes of a plan, sorted: as strings, and as the labels of the model.

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
            f"all rows of the sample have the same label, {list(names)}: there is only one class",
            "name the classes with scan(..., classes=[...])",
        )
    return names, np.array([int(name) for name in names] if as_integers else names)


def block_parts(plan: Plan, parts: Sequence[NDArray[np.int64]], encoder: BatchEncoder) -> list[BlockPart]:
    """One part for each array of block indices."""
    return [
        BlockPart(f"part {number} of {len(parts)}", plan, tuple(blocks.tolist()), encoder)
        for number, blocks in enumerate(parts, 1)
    ]


def read_held_out_rows(plan: Plan, encoder: BatchEncoder) -> PartRows:
    """The held-out rows of blocks spread over the source."""
    n_blocks = len(plan.blocks)
    spread = np.unique(np.linspace(0, n_blocks - 1, min(n_blocks, _HELD_OUT_BLOCKS)).astype(int))
    return BlockPart("the held-out rows", plan, tuple(spread.tolist()), encoder, held_out=True).rows()


# ---- whole datasets


def read_batches(dataset: Dataset | Plan) -> Iterator[Batch]:
    """All batches of a dataset, in order."""
    return read(dataset.plan() if isinstance(dataset, Dataset) else dataset)


def vectorize_dataset(vectorizer: Any, dataset: Dataset) -> Any:
    """The matrix of all rows of a dataset; labels are not read."""
    batches = read_batches(replace(dataset, label=None, labelled=False))
    return stack_rows([vectorize_batch(vectorizer, batch) for batch in batches if len(batch)])


def vectorize_batch(vectorizer: Any, batch: Batch) -> Any:
    """The matrix of the texts of a batch."""
    from scipy.sparse import issparse

    from manymill.text.hashing import HashingVectorizer

    texts: Any = _arrow_texts(batch) if type(vectorizer) is HashingVectorizer else batch.texts()
    X = vectorizer.transform(texts)
    return X.tocsr() if issparse(X) else np.asarray(X)


def _arrow_texts(batch: Batch) -> Any:
    """The texts as an Arrow array on the memory of the batch."""
    import pyarrow as pa

    buffers = [None, pa.py_buffer(batch.offsets), pa.py_buffer(batch.data)]
    return pa.Array.from_buffers(pa.large_string(), len(batch), buffers)


def stack_rows(matrices: Sequence[Any]) -> Any:
    """Concatenate matrices row-wise.

    Raises
    ------
    PlanError
        If there are none.
    """
    from scipy.sparse import issparse, vstack

    if not matrices:
        raise PlanError("there are no rows to read", "check the labels and texts of the files")
    if len(matrices) == 1:
        return matrices[0]
    return vstack(matrices, format="csr") if issparse(matrices[0]) else np.concatenate(matrices)
