"""Texts hashed once for a whole search: read once, each analyzer setting in its own files, mapped by all workers.

::

    texts or files ──read──► batches ──hash for each form, on other threads──► hashes, ends   (a folder for each form)
                                     └───────────────────────────────────────► sizes, keys, labels

The files contain raw hashes, so all candidates use the same files whatever their ``n_features``, values, norms, feature
weights and training parameters. Files of an earlier search over the same texts are reused.
"""

from __future__ import annotations

import json
import os
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from hashlib import blake2b
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from manymill import _core
from manymill.data.batches import Batch, row_keys
from manymill.data.column_store import ATTEMPTS, ColumnStore, ColumnWriter, MappedColumns
from manymill.data.dataset import Dataset, Plan
from manymill.data.hashed_texts import DOCUMENT_COLUMNS, HASH_COLUMNS, HashedTexts
from manymill.data.memory import complete_texts
from manymill.data.reader import read
from manymill.engine.local import available_threads, map_in_order, workers
from manymill.errors import PlanError, SchemaError, SourceError
from manymill.events import Event
from manymill.hash_form import DocumentHasher, Form, word_form
from manymill.linear.state import ClassIndex

# Part of the fingerprint in the file names: increase it when hashes or columns change.
_VERSION = 2
# Default limit for the files of all searches; word pairs take 1.4 bytes for a byte of text.
LIMIT_BYTES = 16 << 30
_LABEL_COLUMNS: dict[str, np.dtype[Any]] = {"codes": np.dtype("<i4"), "weights": np.dtype("<f4")}


@dataclass(frozen=True, eq=False)
class HashedCorpus:
    """Hashed texts with their labels; a context manager that releases their files.

    Attributes
    ----------
    texts : HashedTexts
        Input of estimators in place of the texts; indexed by row like an array.
    y : ndarray of shape (n_rows,)
        The given labels, or those of the Dataset in the order of its files.
    sample_weight : ndarray of float32, shape (n_rows,), or None
        Weights of a Dataset, if it has any.
    bytes_written : int
        0 if all files existed.
    notes : tuple of str
        Messages about the reading of a Dataset: guessed settings, and bad records.
    """

    texts: HashedTexts
    y: NDArray[Any]
    sample_weight: NDArray[np.float32] | None
    bytes_written: int
    notes: tuple[str, ...]
    _store: ColumnStore

    @classmethod
    def build(
        cls,
        X: Any,
        y: ArrayLike | None = None,
        *,
        forms: Sequence[Form] = (word_form(),),
        folder: str | os.PathLike[str] | None = None,
        limit_bytes: int = LIMIT_BYTES,
        threads: int | None = None,
        stop: Callable[[], bool] = lambda: False,
        run: str | os.PathLike[str] | None = None,
    ) -> Self:
        """Hash texts or a Dataset, unless the folder contains the hashes already.

        Memory is bounded by a few batches and the class codes, for any size of the data.

        Parameters
        ----------
        X : sequence of str of shape (n_rows,), or Dataset
        y : array-like of shape (n_rows,), optional
            Labels; not with a Dataset, which contains its labels.
        forms : sequence of Form
            What the hashes of candidates depend on.
        folder : path, optional
            Folder of the files; ``manymill/hashed-texts`` in the user's cache folder by default.
        limit_bytes : int
            Maximum size of the folder afterwards, which is also limited to a quarter of the disk; the least recently
            used files are removed first.
        threads : int, optional
            Number of threads that hash; all processors by default.
        stop : callable
            Polled for each batch; True cancels.
        run : path, optional
            The run folder, which is used if the user's cache folder cannot be.

        Raises
        ------
        CancelledError
            If `stop` returns True.
        SchemaError
            If a text is missing or not a string, labels are missing, or are given with a Dataset.
        PlanError
            If the Dataset reads the standard input, which a search cannot read twice, or there are no rows.
        SourceError
            If files cannot be read, or the folder cannot be written.
        """
        in_memory = not isinstance(X, Dataset)
        if in_memory == (y is None) or not (in_memory or X.labelled):
            raise SchemaError("a search needs labels", "give y with texts, but not with a Dataset")
        dataset = Dataset.from_memory(complete_texts(X)) if in_memory else X

        def check_stop(event: Event) -> None:
            # Sampling a compressed file may take long.
            if stop():
                raise CancelledError(_CANCELLED)

        plan = dataset.plan(observe=check_stop)
        if any(file.path == "-" for file in plan.files):
            raise PlanError("a search cannot read the standard input", "write it to a file first")
        store = ColumnStore("hashed texts", folder, limit_bytes, run=run)
        try:
            threads = threads or available_threads()
            builder = _CorpusBuilder(plan, store, tuple(dict.fromkeys(forms)), threads, stop)
            texts, n_bytes = builder.texts()
            labels, weights = (_check_labels(np.asarray(y)), None) if in_memory else builder.labels()
            if len(labels) != len(texts):
                raise SchemaError(f"there are {len(texts)} texts, but {len(labels)} labels")
            notes = builder.notes()
            if not len(texts):
                raise PlanError("there are no rows to search over", notes[-1] if notes else "give some texts")
            store.trim()
        except BaseException:
            store.close()
            raise
        return cls(texts, labels, weights, n_bytes, notes, store)

    def close(self) -> None:
        """Release the files, which stay for the next search within the limit."""
        self._store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


_CANCELLED = "the search was stopped while its texts were hashed"


def _check_labels(labels: NDArray[Any]) -> NDArray[Any]:
    """Raise ``SchemaError`` if a label is missing: None, or NaN."""
    if labels.dtype.kind not in "Of":
        return labels
    missing = [index for index, label in enumerate(labels.tolist()) if label is None or label != label]
    if missing:
        raise SchemaError(
            f"labels[{missing[0]}] is missing, and {len(missing):,} labels in total", "remove these rows"
        )
    return labels


class _CorpusBuilder:
    """Finds the columns of a plan in a store, or writes them."""

    def __init__(
        self, plan: Plan, store: ColumnStore, forms: Sequence[Form], threads: int, stop: Callable[[], bool]
    ) -> None:
        self._plan, self._store, self._forms, self._threads = plan, store, forms, threads
        self._stop = stop
        self._documents: tuple[MappedColumns, dict[str, Any]]
        fingerprint = _plan_fingerprint(plan)
        self._document_name = f"{fingerprint}-documents"
        self._form_names = {form: f"{fingerprint}-{_form_name(form)}" for form in forms}
        self._columns: dict[str, np.dtype[Any]] = {
            **DOCUMENT_COLUMNS,
            **(_LABEL_COLUMNS if plan.dataset.labelled else {}),
        }

    def texts(self) -> tuple[HashedTexts, int]:
        """The hashed texts, and the number of bytes written for them."""
        n_bytes = 0
        for _ in range(ATTEMPTS):
            texts = self._find()
            if texts is not None:
                return texts, n_bytes
            n_bytes += self._write()
        raise SourceError(
            "another search keeps removing the hashed texts of this one to make space",
            "increase limit_bytes of both, or give them different folders",
        )

    def labels(self) -> tuple[NDArray[Any], NDArray[np.float32] | None]:
        """Labels and weights of the rows in the files."""
        columns, about = self._documents
        index = ClassIndex.in_order(about["classes"])
        names: NDArray[Any] = np.array(about["classes"])
        if self._plan.labels_are_integers and index.are_integers:
            names = names.astype(np.int64)
        weights = np.array(columns["weights"]) if about["weighted"] else None
        return names[columns["codes"]], weights

    def notes(self) -> tuple[str, ...]:
        """Messages about the reading of the rows."""
        columns, about = self._documents
        bad, n_rows = about.get("bad", {}), len(columns["sizes"])
        notes = [*self._plan.notes, *(f"warning {warning}" for warning in self._plan.warnings)]
        if bad:
            n_bad = sum(bad.values())
            reasons = ", ".join(f"{n:,} {reason}" for reason, n in bad.items())
            notes.append(f"bad     {n_bad:,} of {n_rows + n_bad:,} records were skipped: {reasons}")
        return tuple(notes)

    def _find(self) -> HashedTexts | None:
        documents = self._store.find(self._document_name, self._columns)
        forms = {form: self._store.find(name, HASH_COLUMNS) for form, name in self._form_names.items()}
        if documents is None:
            return None
        self._documents = documents
        complete = {form: found[0] for form, found in forms.items() if found is not None}
        return HashedTexts(documents[0], complete) if len(complete) == len(forms) else None

    def _write(self) -> int:
        """Read all rows once and write the missing files; gives the number of bytes written."""
        missing = {
            form: name
            for form, name in self._form_names.items()
            if self._store.find(name, HASH_COLUMNS) is None
        }
        with ExitStack() as stack:
            document_columns = None
            if self._store.find(self._document_name, self._columns) is None:
                writing = self._store.writing(self._document_name, self._columns)
                document_columns = stack.enter_context(writing)
            writers = {
                form: stack.enter_context(self._store.writing(name, HASH_COLUMNS))
                for form, name in missing.items()
            }
            n_hashes = dict.fromkeys(missing, 0)
            documents = _DocumentWriter(document_columns) if document_columns is not None else None
            for batch, hashed in self._batches(tuple(missing)):
                if self._stop():
                    raise CancelledError(_CANCELLED)
                for form, part in hashed.items():
                    writers[form].append("hashes", part.hashes())
                    positions = part.indptr()
                    writers[form].append("ends", positions[1:] + n_hashes[form])
                    n_hashes[form] += int(positions[-1])
                if documents is not None:
                    documents.add(batch)
            if documents is not None:
                documents.finish()
        all_writers = [*writers.values(), *([document_columns] if document_columns else ())]
        return sum(writer.n_bytes for writer in all_writers)

    def _batches(self, forms: Sequence[Form]) -> Iterator[tuple[Batch, dict[Form, _core.HashedBatch]]]:
        hashers = {form: DocumentHasher(form) for form in forms}

        def hash_batch(batch: Batch) -> tuple[Batch, dict[Form, _core.HashedBatch]]:
            n = len(batch)
            rows = np.zeros(n, np.uint32), np.arange(n, dtype=np.uint32)
            texts = [(batch.data, batch.offsets)]
            return batch, {form: hasher.hashes(texts, *rows) for form, hasher in hashers.items()}

        look_ahead = 2 * self._threads
        with workers(self._threads) as executor:
            batches = read(self._plan, keyed=True, executor=executor, look_ahead=look_ahead)
            yield from map_in_order(hash_batch, batches, executor=executor, look_ahead=look_ahead)


class _DocumentWriter:
    """Writes the columns of documents other than their hashes: sizes, keys, labels and weights."""

    def __init__(self, writer: ColumnWriter) -> None:
        self._writer = writer
        self._index = ClassIndex()
        self._weighted = False
        self._bad: Counter[str] = Counter()

    def add(self, batch: Batch) -> None:
        """Write the rows of a batch."""
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
        """Store the classes and the numbers of bad records."""
        self._writer.about.update(
            classes=self._index.names, weighted=self._weighted, bad=dict(self._bad.most_common())
        )


def _form_name(form: Form) -> str:
    record = json.dumps(asdict(form), sort_keys=True).encode()
    return f"hashes-{blake2b(record, digest_size=8).hexdigest()}"


def _plan_fingerprint(plan: Plan) -> str:
    """Fingerprint of the rows that a plan reads; it is part of file names."""
    record = plan.to_json()
    identity = [
        _VERSION,
        unicodedata.unidata_version,  # decides what is a letter
        record["dataset"],
        record["files"],
        record["columns"],
        plan.urls,  # two queries of one server may give files of the same size
    ]
    fingerprint = blake2b(
        json.dumps(identity, sort_keys=True).encode("utf-8", "surrogateescape"), digest_size=16
    )
    if plan.dataset.memory is not None:
        for batch in read(plan):
            fingerprint.update(np.diff(batch.offsets).data)
            fingerprint.update(batch.data[batch.offsets[0] : batch.offsets[-1]].data)
    return fingerprint.hexdigest()
