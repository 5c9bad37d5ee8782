"""Classes and sizes from a sample spread over the source: all of it if it is small."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace

import numpy as np

from manymill.constants import WINDOW_BYTES
from manymill.data.batches import TOO_LONG, Batch
from manymill.data.blocks import OTHER_CLASS, is_stream, open_block
from manymill.data.dataset import Block, Plan, SourceFile
from manymill.display import quoted
from manymill.errors import SchemaError, SourceError
from manymill.events import Observer, Sampled

# A spread sample takes pieces of this size: large enough to hold rows, small enough for many places.
_PIECE_BYTES = 1 << 18
# What a stream gives at once, about.
_BATCH_BYTES = 1 << 20
_TOLD_SECONDS = 1.0
# Streams have to be read from their beginning to know their end; up to this size they are.
_WHOLE_STREAMS_BYTES = 64 << 20
# Of many large streams, the heads of so many are sampled: each costs about 1 MB.
_HEADS = 64
# So many labels of one row each, and such a share of them among the rows of a sample, are worth a word.
_LEAST_ALONE = 20
_NEW_CLASSES = 0.01
# How the rows of a stream that is sorted by class can be mixed.
_MIX = {
    "parquet": "Shuffle it, or write smaller row groups.",
    "compressed": "Shuffle it, or store it uncompressed.",
    "whole": "Shuffle it, or store it as JSON lines or Parquet.",
}


class SampleProgress:
    """Tells an observer about every second how far the reading of a file is."""

    def __init__(self, observe: Observer) -> None:
        self._observe = observe
        self._started = self._told = time.monotonic()

    def tell(self, file: SourceFile, n_stored: int, n_rows: int) -> None:
        """So many bytes of the file, as stored, have been read, and so many rows in all."""
        now = time.monotonic()
        if now - self._told < _TOLD_SECONDS:
            return
        self._told = now
        self._observe(Sampled(file.path, n_stored, file.size, n_rows, now - self._started))


@dataclass(slots=True)
class _Sample:
    progress: SampleProgress
    n_rows: int = 0
    n_bad: int = 0
    text_bytes: int = 0
    raw_bytes: int = 0
    longest: int = 0
    integers: bool = True
    classes: Counter[str] = field(default_factory=Counter)
    first_bad: Batch | None = None

    def add(self, batch: Batch, most: int) -> None:
        """Count a batch; a record may have ``most`` bytes."""
        self.n_rows += len(batch)
        self.n_bad += batch.n_bad
        self.text_bytes += batch.text_bytes
        self.longest = max(self.longest, batch.longest_record, most if TOO_LONG in batch.bad_counts else 0)
        if batch.bad and self.first_bad is None:
            self.first_bad = batch
        if batch.label is not None and len(batch):
            self.integers &= batch.labels_are_integers
            self.classes.update(batch.label.counts())

    def tell(self, plan: Plan, block: Block, n_stored: int) -> None:
        """Say now and then how far it is."""
        self.progress.tell(plan.files[block.file], n_stored, self.n_rows)


def sampled(plan: Plan, sample_bytes: int, observe: Observer) -> Plan:
    """The plan with classes, sizes and warnings filled in.

    Raises
    ------
    SourceError
        If the sample has no row at all.
    """
    sample = _Sample(SampleProgress(observe))
    warnings: list[str] = []
    streams = [block for block in plan.blocks if is_stream(plan, block)]
    cut = [block for block in plan.blocks if not is_stream(plan, block)]
    total = sum(max(1, block.raw_bytes) for block in plan.blocks)
    exact = True
    for block in _spread(plan, cut, sample_bytes):
        with closing(open_block(plan, block)) as parses:
            for parse in parses:
                batch = parse()
                if not len(batch) and block.raw_bytes >= _PIECE_BYTES:
                    # No line starts in it, or the one that does is no row: nobody knows how long the others are.
                    sample.longest = plan.dataset.max_record_bytes
                sample.add(batch, plan.dataset.max_record_bytes)
                sample.tell(plan, block, max(0, block.stop - block.start))
        sample.raw_bytes += max(1, block.raw_bytes)
    if sample.raw_bytes < sum(max(1, block.raw_bytes) for block in cut):
        exact = False
    whole = sum(block.raw_bytes for block in streams) <= _WHOLE_STREAMS_BYTES
    budget = _WHOLE_STREAMS_BYTES * 2 if whole else sample_bytes // max(1, len(streams))
    # Records that are no text, such as one that never ends, are no reason to read a file to its end.
    most = max(budget, _WHOLE_STREAMS_BYTES * 2)
    heads: list[tuple[Block, Counter[str], bool]] = []
    if not whole and len(streams) > _HEADS:
        exact = False
        streams = [streams[i] for i in np.linspace(0, len(streams) - 1, _HEADS).astype(int).tolist()]
    for block in streams:
        counts, ended = _head(plan, block, sample, budget, most)
        exact &= ended
        heads.append((block, counts, ended))
    if not sample.n_rows:
        raise _no_rows(plan, sample)
    if plan.dataset.labelled:
        warnings += _label_warning(plan, sample, exact)
        warnings += [text for head in heads if (text := _sorted_warning(plan, *head, sample.classes))]
    scale = 1.0 if exact else max(1.0, total / max(1, sample.raw_bytes))
    if sample.n_bad:
        share = sample.n_bad / (sample.n_rows + sample.n_bad)
        warnings.append(f"{share:.1%} of the sampled records are no rows: {_example(sample)}.")
    return replace(
        plan,
        warnings=plan.warnings + tuple(warnings),
        class_counts=dict(sorted({**dict.fromkeys(plan.dataset.classes or (), 0), **sample.classes}.items())),
        n_rows=round(sample.n_rows * scale),
        text_bytes=round(sample.text_bytes * scale),
        exact=exact,
        labels_are_integers=bool(sample.integers and sample.classes),
        longest_record=min(sample.longest, plan.dataset.max_record_bytes),
    )


def _spread(plan: Plan, blocks: list[Block], sample_bytes: int) -> Iterator[Block]:
    """All blocks if they are few; else pieces of some of them, evenly spaced."""
    if sum(block.raw_bytes for block in blocks) <= sample_bytes:
        yield from blocks
        return
    n_pieces = max(1, min(len(blocks), sample_bytes // _PIECE_BYTES))
    for number in np.linspace(0, len(blocks) - 1, n_pieces).astype(int).tolist():
        block = blocks[number]
        if plan.files[block.file].format in ("jsonl", "fasttext"):
            stop = min(block.stop, block.start + _PIECE_BYTES)
            block = replace(block, stop=stop, raw_bytes=stop - block.start)
        yield block


def _head(plan: Plan, block: Block, sample: _Sample, budget: int, most: int) -> tuple[Counter[str], bool]:
    """Sample the beginning of a stream: its classes, and whether it ended.

    ``budget`` is of text, ``most`` of all that is read; a stream without a row goes on until there is one.
    """
    before = Counter(sample.classes)
    n_bytes = n_stored = n_read = 0
    parses = open_block(plan, block)
    ended = True
    for parse in parses:
        batch = parse()
        sample.add(batch, plan.dataset.max_record_bytes)
        n_bytes += batch.text_bytes
        n_stored += batch.n_bytes
        n_read += max(batch.text_bytes, _BATCH_BYTES)
        sample.tell(plan, block, n_stored)
        if n_bytes >= budget or (n_read >= most and sample.n_rows):
            ended = False
            parses.close()
            break
    share = min(1.0, n_stored / max(1, plan.files[block.file].size))
    sample.raw_bytes += max(1, block.raw_bytes if ended else round(block.raw_bytes * share))
    return sample.classes - before, ended


def _label_warning(plan: Plan, sample: _Sample, exact: bool) -> list[str]:
    """A sentence where the sample suggests that further rows have further classes."""
    alone = [name for name, n in sample.classes.items() if n == 1]
    # The share of rows whose label was met once is that of further rows with a new one (Good and Turing).
    share = len(alone) / sample.n_rows
    if plan.dataset.classes or len(alone) < _LEAST_ALONE or share < (0.5 if exact else _NEW_CLASSES):
        return []
    # `exact` means that all classes are known: then only a column that is hardly one of labels is worth a word.
    more = "" if exact else f"; of the other rows about {share:.0%} will have a label that is new"
    return [
        f"{len(alone):,} of {len(sample.classes):,} labels were met in one row only, such as {quoted(alone[0], 40)}"
        f"{more}. If these are not classes, name another column with --label (label= in Python), or the classes to "
        "learn with --classes (classes=)."
    ]


def _sorted_warning(
    plan: Plan, block: Block, counts: Counter[str], ended: bool, classes: Counter[str]
) -> str:
    if ended or block.raw_bytes <= WINDOW_BYTES or counts.total() < 100 or len(counts) > 1:
        return ""
    path = plan.files[block.file].path
    (only,) = counts
    if len(classes) > 1 and len([b for b in plan.blocks if b.file != block.file]):
        return ""  # the other streams, read side by side, bring the other classes
    file = plan.files[block.file]
    how = _MIX["parquet" if file.format == "parquet" else "whole"]
    if file.compression and file.format in ("jsonl", "fasttext"):
        how = _MIX["compressed"]
    return (
        f"The first {counts.total():,} rows of {path} are all of class {quoted(only)}: the file seems to be sorted "
        f"by class and cannot be read from the middle, so its rows will not mix. {how}"
    )


def _example(sample: _Sample) -> str:
    if sample.first_bad is None:
        return ""
    row = sample.first_bad.bad[0]
    return f"{row.reason} in {row.file}, {row.where} ({row.detail})"


def _no_rows(plan: Plan, sample: _Sample) -> Exception:
    path = plan.files[0].path
    if not sample.n_bad:
        return SourceError(f"{path} has no rows", "there is nothing to read")
    what = f"none of the first {sample.n_bad:,} records of {path} is a row: {_example(sample)}"
    others_only = sample.first_bad is not None and {row.reason for row in sample.first_bad.bad} == {
        OTHER_CLASS
    }
    return SchemaError(
        what, f"name {'other classes' if others_only else 'columns, format or encoding otherwise'}"
    )
