"""A corpus hashed once for a whole search: read once, each n-gram setting in files of its own, mapped by all workers.

::

    texts or files ──read──► batches ──hash, once a form, on other threads──► hashes, ends   (a folder a form)
                                     └──────────────────────────────────────► sizes, keys, labels

Hashes are raw, so ``n_features``, values, norms, weights of features and all that concerns learning are tried over the
same files. What is there already, from an earlier search over the same texts, is not written again.
"""

from __future__ import annotations

import json
import os
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import ExitStack
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from manymill import _core
from manymill.data.batches import Batch, row_keys
from manymill.data.column_store import ATTEMPTS, ColumnStore, ColumnWriter, MappedColumns
from manymill.data.dataset import Dataset, Plan
from manymill.data.hashed_texts import DOCUMENT_COLUMNS, HASH_COLUMNS, Form, HashedTexts
from manymill.data.memory import complete_texts
from manymill.data.reader import read
from manymill.engine.local import available_threads, map_in_order, workers
from manymill.errors import PlanError, SchemaError, SourceError
from manymill.events import Event
from manymill.linear.state import ClassIndex

# Goes into the names of the files: another version of hashes or columns has other names.
_VERSION = 1
# Of hashed texts that stay for later searches; pairs of words take 1.4 bytes for a byte of text.
LIMIT_BYTES = 16 << 30
_LABEL_COLUMNS: dict[str, np.dtype[Any]] = {"codes": np.dtype("<i4"), "weights": np.dtype("<f4")}


@dataclass(frozen=True, eq=False)
class HashedCorpus:
    """Texts hashed for a search, with their labels; a context manager that lets the files go.

    Attributes
    ----------
    texts : HashedTexts
        What estimators take in place of the texts; picked by row like an array.
    y : ndarray of shape (n_rows,)
        Labels: those given, or those of the Dataset, in the order of its files.
    sample_weight : ndarray of float32, shape (n_rows,), or None
        The weights of a Dataset that has some.
    bytes_written : int
        0 if all was there.
    notes : tuple of str
        What there is to know of how a Dataset was read: guesses, and records that are no rows.
    """

    texts: HashedTexts
    y: NDArray[Any]
    sample_weight: NDArray[np.float32] | None
    bytes_written: int
    notes: tuple[str, ...]
    _store: ColumnStore

    @classmethod
    def of(
        cls,
        X: Any,
        y: ArrayLike | None = None,
        *,
        forms: Sequence[Form] = (((1, 1), True),),
        folder: str | os.PathLike[str] | None = None,
        limit_bytes: int = LIMIT_BYTES,
        threads: int | None = None,
        stop: Callable[[], bool] = lambda: False,
        run: str | os.PathLike[str] | None = None,
    ) -> Self:
        """The corpus of texts or of a Dataset, read and hashed if it is not in the folder yet.

        Memory is bounded: a few batches and the numbers of classes, whatever the size of the data.

        Parameters
        ----------
        X : sequence of str of shape (n_rows,), or Dataset
        y : array-like of shape (n_rows,), optional
            Labels; left out with a Dataset, which has its own.
        forms : sequence of ((least, greatest), lowercase)
            Numbers of words of an n-gram, and whether text is lower-cased: everything that hashes depend on.
        folder : path, optional
            Where the files are; ``manymill/hashed-texts`` in the user's folder of caches if not given.
        limit_bytes : int
            What may stay in the folder afterwards, but for a quarter of the disk; what was used longest ago goes first.
        threads : int, optional
            Threads that hash; all processors if not given.
        stop : callable
            Asked now and then whether nobody wants the corpus any more.
        run : path, optional
            The run folder, which takes the files where the user's folder of caches cannot be used.

        Raises
        ------
        CancelledError
            If `stop` says so.
        SchemaError
            If a text is missing or no string; if there are no labels, or labels of a Dataset are given.
        PlanError
            If the Dataset is the standard input, which cannot be recognised.
        SourceError
            If files cannot be read, or the folder not be written.
        """
        in_memory = not isinstance(X, Dataset)
        if in_memory == (y is None) or not (in_memory or X.labelled):
            raise SchemaError("a search needs labels", "give y with texts, and leave it out with a Dataset")
        dataset = Dataset.from_memory(complete_texts(X)) if in_memory else X

        def notice(event: Event) -> None:
            # The sample of a compressed file may take long.
            if stop():
                raise CancelledError("nobody wants the corpus any more")

        plan = dataset.plan(observe=notice)
        if any(file.path == "-" for file in plan.files):
            raise PlanError("the standard input cannot be searched", "write it to a file first")
        store = ColumnStore("hashed texts", folder, limit_bytes, run=run)
        try:
            made = _Hashing(plan, store, tuple(dict.fromkeys(forms)), threads or available_threads(), stop)
            texts, written = made.texts()
            labels, weights = (_complete(np.asarray(y)), None) if in_memory else made.labels()
            if len(labels) != len(texts):
                raise SchemaError(f"{len(texts)} texts, but {len(labels)} labels")
            notes = made.notes()
            if not len(texts):
                raise PlanError("there are no rows to search over", notes[-1] if notes else "give some texts")
            store.trim()
        except BaseException:
            store.close()
            raise
        return cls(texts, labels, weights, written, notes, store)

    def close(self) -> None:
        """Let the files go: they stay for the next search, within the limit."""
        self._store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _complete(labels: NDArray[Any]) -> NDArray[Any]:
    """The labels, if none is missing: None, or what is not equal to itself."""
    if labels.dtype.kind not in "Of":
        return labels
    missing = [place for place, label in enumerate(labels.tolist()) if label is None or label != label]
    if missing:
        raise SchemaError(
            f"labels[{missing[0]}] is missing, as are {len(missing):,} in all", "leave such rows out"
        )
    return labels


class _Hashing:
    """The columns of a plan in a store: found, or written."""

    def __init__(
        self, plan: Plan, store: ColumnStore, forms: Sequence[Form], threads: int, stop: Callable[[], bool]
    ) -> None:
        self._plan, self._store, self._forms, self._threads = plan, store, forms, threads
        self._stop = stop
        self._described: tuple[MappedColumns, dict[str, Any]]
        source = _digest(plan)
        self._documents = f"{source}-documents"
        self._names = {form: f"{source}-{_name_of(form)}" for form in forms}
        self._columns: dict[str, np.dtype[Any]] = {
            **DOCUMENT_COLUMNS,
            **(_LABEL_COLUMNS if plan.dataset.labelled else {}),
        }

    def texts(self) -> tuple[HashedTexts, int]:
        """The hashed texts, and the bytes that were written for them."""
        written = 0
        for _ in range(ATTEMPTS):
            found = self._found()
            if found is not None:
                return found, written
            written += self._write()
        raise SourceError(
            "another search removes the hashed texts of this one as soon as they are written",
            "give both a greater limit_bytes, or folders of their own",
        )

    def labels(self) -> tuple[NDArray[Any], NDArray[np.float32] | None]:
        """Labels and weights of the rows, as the files have them."""
        columns, about = self._described
        index = ClassIndex.in_order(about["classes"])
        names: NDArray[Any] = np.array(about["classes"])
        if self._plan.labels_are_integers and index.are_integers:
            names = names.astype(np.int64)
        weights = np.array(columns["weights"]) if about["weighted"] else None
        return names[columns["codes"]], weights

    def notes(self) -> tuple[str, ...]:
        """What there is to know of how the rows were read."""
        columns, about = self._described
        bad, n_rows = about.get("bad", {}), len(columns["sizes"])
        notes = [*self._plan.notes, *(f"warning {warning}" for warning in self._plan.warnings)]
        if bad:
            n_bad = sum(bad.values())
            reasons = ", ".join(f"{n:,} {reason}" for reason, n in bad.items())
            notes.append(f"bad     {n_bad:,} of {n_rows + n_bad:,} records are no rows: {reasons}")
        return tuple(notes)

    def _found(self) -> HashedTexts | None:
        documents = self._store.find(self._documents, self._columns)
        forms = {form: self._store.find(name, HASH_COLUMNS) for form, name in self._names.items()}
        if documents is None:
            return None
        self._described = documents
        there = {form: found[0] for form, found in forms.items() if found is not None}
        return HashedTexts(documents[0], there) if len(there) == len(forms) else None

    def _write(self) -> int:
        """Read everything once, and write what is missing."""
        missing = {
            form: name for form, name in self._names.items() if self._store.find(name, HASH_COLUMNS) is None
        }
        with ExitStack() as stack:
            documents = None
            if self._store.find(self._documents, self._columns) is None:
                documents = stack.enter_context(self._store.writing(self._documents, self._columns))
            writers = {
                form: stack.enter_context(self._store.writing(name, HASH_COLUMNS))
                for form, name in missing.items()
            }
            ends = dict.fromkeys(missing, 0)
            described = _Documents(documents) if documents is not None else None
            for batch, hashed in self._batches(tuple(missing)):
                if self._stop():
                    raise CancelledError("nobody wants the corpus any more")
                for form, part in hashed.items():
                    writers[form].append("hashes", part.hashes())
                    positions = part.indptr()
                    writers[form].append("ends", positions[1:] + ends[form])
                    ends[form] += int(positions[-1])
                if described is not None:
                    described.add(batch)
            if described is not None:
                described.finish()
        return sum(w.n_bytes for w in (*writers.values(), *([documents] if documents else ())))

    def _batches(self, forms: Sequence[Form]) -> Iterator[tuple[Batch, dict[Form, _core.HashedBatch]]]:
        hashers = {form: _core.Hasher(ngram_range=form[0], lowercase=form[1]) for form in forms}

        def hashed(batch: Batch) -> tuple[Batch, dict[Form, _core.HashedBatch]]:
            n = len(batch)
            picked = np.zeros(n, np.uint32), np.arange(n, dtype=np.uint32)
            texts = [(batch.data, batch.offsets)]
            return batch, {form: hasher.hash_utf8(texts, *picked) for form, hasher in hashers.items()}

        ahead = 2 * self._threads
        with workers(self._threads) as executor:
            batches = read(self._plan, keyed=True, executor=executor, look_ahead=ahead)
            yield from map_in_order(hashed, batches, executor=executor, look_ahead=ahead)


class _Documents:
    """What is written of documents besides their hashes."""

    def __init__(self, writer: ColumnWriter) -> None:
        self._writer = writer
        self._index = ClassIndex()
        self._weighted = False
        self._bad: Counter[str] = Counter()

    def add(self, batch: Batch) -> None:
        """Write sizes, keys, labels and weights of a batch."""
        self._bad.update(batch.bad_counts)
        if not len(batch):  # all of its records are bad
            return
        self._writer.append("sizes", np.diff(batch.offsets))
        self._writer.append("keys", row_keys(batch) if batch.keys is None else batch.keys)
        if batch.label is None:
            return
        self._index.add(batch.label.names)
        self._writer.append("codes", self._index.encode(batch.label))
        self._weighted |= batch.weight is not None
        ones = np.ones(len(batch), np.float32)
        self._writer.append("weights", ones if batch.weight is None else batch.weight)

    def finish(self) -> None:
        """Tell the classes, and what was left out."""
        self._writer.about.update(
            classes=self._index.names, weighted=self._weighted, bad=dict(self._bad.most_common())
        )


def _name_of(form: Form) -> str:
    (least, greatest), lowercase = form
    return f"words-{least}-{greatest}{'' if lowercase else '-cased'}"


def _digest(plan: Plan) -> str:
    """A name for the rows that a plan reads: it changes when they do."""
    told = plan.to_json()
    # Letters and words are those of the Unicode version of this Python.
    identity = [
        _VERSION,
        unicodedata.unidata_version,
        told["dataset"],
        told["files"],
        told["columns"],
        plan.urls,  # two queries of one server may give files of one size
    ]
    digest = blake2b(json.dumps(identity, sort_keys=True).encode("utf-8", "surrogateescape"), digest_size=16)
    if plan.dataset.memory is not None:
        for batch in read(plan):
            digest.update(np.diff(batch.offsets).data)
            digest.update(batch.data[batch.offsets[0] : batch.offsets[-1]].data)
    return digest.hexdigest()
