"""Estimate classes and sizes from a sample spread over the source (the entire source if it is small)."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace

import numpy as np

from manymill import _core
from manymill.constants import WINDOW_BYTES
from manymill.data.batches import OTHER_CLASS, TOO_LONG, Batch
from manymill.data.blocks import is_stream, open_block
from manymill.data.dataset import Block, Plan, SourceFile
from manymill.data.ledger import describe_reason
from manymill.display import quoted
from manymill.errors import SchemaError, SourceError
from manymill.events import Observer, Sampled

# Size of the pieces of a spread sample: large enough to contain rows, small enough for many positions.
_PIECE_BYTES = 1 << 18
# Approximate size of a batch of a stream.
_BATCH_BYTES = 1 << 20
_REPORT_SECONDS = 1.0
# Streams can only be sampled from their beginning; up to this size they are read completely.
_COMPLETE_STREAMS_BYTES = 64 << 20
# Number of large streams whose heads are sampled: each costs about 1 MB.
_MAX_HEADS = 64
# A warning about too many classes needs this many labels with a single row, and this share of all rows.
_MIN_SINGLE_LABELS = 20
_MIN_SINGLE_SHARE = 0.01
# How to mix the rows of a stream that is sorted by class.
_SHUFFLE_HINTS = {
    "parquet": "Shuffle it, or write smaller row groups.",
    "compressed": "Shuffle it, or store it uncompressed.",
    "other": "Shuffle it, or store it as JSON lines or Parquet.",
}


class SampleProgress:
    """Reports the progress of sampling to an observer, about once a second."""

    def __init__(self, observe: Observer) -> None:
        self._observe = observe
        self._started = self._reported = time.monotonic()

    def report(self, file: SourceFile, n_stored: int, n_rows: int) -> None:
        """Report the stored bytes read of a file, and the total number of rows, unless reported recently."""
        now = time.monotonic()
        if now - self._reported < _REPORT_SECONDS:
            return
        self._reported = now
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
    unspaced: int = 0
    word_characters: int = 0
    ends: dict[int, int] = field(default_factory=dict)  # by file, of streams that were read to their end
    classes: Counter[str] = field(default_factory=Counter)
    first_bad: Batch | None = None

    def add(self, batch: Batch, max_record_bytes: int) -> None:
        """Add the statistics of a batch."""
        self.n_rows += len(batch)
        self.n_bad += batch.n_bad
        self.text_bytes += batch.text_bytes
        too_long = max_record_bytes if TOO_LONG in batch.bad_counts else 0
        self.longest = max(self.longest, batch.longest_record, too_long)
        if batch.bad and self.first_bad is None:
            self.first_bad = batch
        if batch.label is not None and len(batch):
            self.integers &= batch.labels_are_integers
            self.classes.update(batch.label.counts())
            self._count_characters(batch)

    def _count_characters(self, batch: Batch) -> None:
        if batch.hashed is None:
            first, rows = np.zeros(len(batch), np.uint32), np.arange(len(batch), dtype=np.uint32)
            unspaced, all_characters = _core.unspaced_characters([(batch.data, batch.offsets)], first, rows)
            self.unspaced += unspaced
            self.word_characters += all_characters

    def report(self, plan: Plan, block: Block, n_stored: int) -> None:
        """Report the progress now and then."""
        self.progress.report(plan.files[block.file], n_stored, self.n_rows)


def add_statistics(plan: Plan, sample_bytes: int, observe: Observer) -> Plan:
    """Sample the source, and fill in the classes, sizes and warnings of the plan.

    Raises
    ------
    SourceError, SchemaError
        If the sample has no row at all.
    """
    sample = _Sample(SampleProgress(observe))
    warnings: list[str] = []
    streams = [block for block in plan.blocks if is_stream(plan, block)]
    cut = [block for block in plan.blocks if not is_stream(plan, block)]
    total = sum(max(1, block.raw_bytes) for block in plan.blocks)
    exact = True
    for block in _spread(plan, cut, sample_bytes):
        with closing(open_block(plan, block)) as pending:
            for parse in pending:
                batch = parse()
                if not len(batch) and block.raw_bytes >= _PIECE_BYTES:
                    # No line starts in the piece, or only a bad one: record lengths are unknown.
                    sample.longest = plan.dataset.max_record_bytes
                sample.add(batch, plan.dataset.max_record_bytes)
                sample.report(plan, block, max(0, block.stop - block.start))
        sample.raw_bytes += max(1, block.raw_bytes)
    if sample.raw_bytes < sum(max(1, block.raw_bytes) for block in cut):
        exact = False
    complete = sum(block.raw_bytes for block in streams) <= _COMPLETE_STREAMS_BYTES
    text_budget = _COMPLETE_STREAMS_BYTES * 2 if complete else sample_bytes // max(1, len(streams))
    # Bad records, such as one that never ends, must not make sampling read a file to its end.
    read_budget = max(text_budget, _COMPLETE_STREAMS_BYTES * 2)
    heads: list[tuple[Block, Counter[str], bool]] = []
    if not complete and len(streams) > _MAX_HEADS:
        exact = False
        streams = [streams[i] for i in np.linspace(0, len(streams) - 1, _MAX_HEADS).astype(int).tolist()]
    for block in streams:
        counts, ended = _sample_head(plan, block, sample, text_budget, read_budget)
        exact &= ended
        heads.append((block, counts, ended))
    if not sample.n_rows:
        raise _no_rows(plan, sample)
    if plan.dataset.labelled:
        warnings += _label_warnings(plan, sample, exact)
        warnings += filter(None, (_sorted_warning(plan, *head, sample.classes) for head in heads))
    scale = 1.0 if exact else max(1.0, total / max(1, sample.raw_bytes))
    if sample.n_bad:
        share = sample.n_bad / (sample.n_rows + sample.n_bad)
        warnings.append(f"{share:.1%} of the sampled records are invalid: {_example(sample)}.")
    return replace(
        plan,
        files=tuple(
            replace(file, end=sample.ends.get(number, file.end)) for number, file in enumerate(plan.files)
        ),
        warnings=plan.warnings + tuple(warnings),
        class_counts=dict(sorted({**dict.fromkeys(plan.dataset.classes or (), 0), **sample.classes}.items())),
        n_rows=round(sample.n_rows * scale),
        text_bytes=round(sample.text_bytes * scale),
        exact=exact,
        labels_are_integers=bool(sample.integers and sample.classes),
        longest_record=min(sample.longest, plan.dataset.max_record_bytes),
        unspaced_share=sample.unspaced / max(1, sample.word_characters),
    )


def _spread(plan: Plan, blocks: list[Block], sample_bytes: int) -> Iterator[Block]:
    """All blocks if they fit into the sample; else evenly spaced pieces of them."""
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


def _sample_head(
    plan: Plan, block: Block, sample: _Sample, text_budget: int, read_budget: int
) -> tuple[Counter[str], bool]:
    """Sample the beginning of a stream; gives its classes, and whether it was read to its end.

    Reading stops after ``text_budget`` bytes of text, or ``read_budget`` bytes in total if there is any row.
    """
    before = Counter(sample.classes)
    n_bytes = n_stored = n_read = 0
    pending = open_block(plan, block)
    ended = True
    for parse in pending:
        batch = parse()
        sample.add(batch, plan.dataset.max_record_bytes)
        n_bytes += batch.text_bytes
        n_stored += batch.n_bytes
        n_read += max(batch.text_bytes, _BATCH_BYTES)
        sample.report(plan, block, n_stored)
        if n_bytes >= text_budget or (n_read >= read_budget and sample.n_rows):
            ended = False
            pending.close()
            break
    file = plan.files[block.file]
    if ended and file.end is None and batch.span is not None:
        sample.ends[block.file] = batch.span[1]
    share = min(1.0, n_stored / max(1, file.size))
    sample.raw_bytes += max(1, block.raw_bytes if ended else round(block.raw_bytes * share))
    return sample.classes - before, ended


def _label_warnings(plan: Plan, sample: _Sample, exact: bool) -> list[str]:
    """A warning if the label column may not hold classes, or the other rows likely have further classes."""
    single = [name for name, n in sample.classes.items() if n == 1]
    # Good-Turing estimate: the share of rows whose label occurs once is the probability of a new label.
    share = len(single) / sample.n_rows
    # If the sample is `exact`, all classes are known: only a column that hardly holds classes needs a warning.
    if (
        plan.dataset.classes
        or len(single) < _MIN_SINGLE_LABELS
        or share < (0.5 if exact else _MIN_SINGLE_SHARE)
    ):
        return []
    more = "" if exact else f"; about {share:.0%} of the other rows will have a new label"
    return [
        f"{len(single):,} of {len(sample.classes):,} labels occur in one row only, such as {quoted(single[0], 40)}"
        f"{more}. If these are not classes, choose another column with --label (label= in Python), or set the classes "
        "to learn with --classes (classes=)."
    ]


def _sorted_warning(
    plan: Plan, block: Block, counts: Counter[str], ended: bool, classes: Counter[str]
) -> str:
    """A warning if a stream seems to be sorted by class; else empty."""
    if ended or block.raw_bytes <= WINDOW_BYTES or counts.total() < 100 or len(counts) > 1:
        return ""
    path = plan.files[block.file].path
    (only,) = counts
    if len(classes) > 1 and len([b for b in plan.blocks if b.file != block.file]):
        return ""  # streams are read in parallel, and the others have the other classes
    file = plan.files[block.file]
    hint = _SHUFFLE_HINTS["parquet" if file.format == "parquet" else "other"]
    if file.compression and file.format in ("jsonl", "fasttext"):
        hint = _SHUFFLE_HINTS["compressed"]
    return (
        f"The first {counts.total():,} rows of {path} all have the class {quoted(only)}: the file seems to be sorted "
        f"by class and cannot be read from the middle, so its rows will not be shuffled. {hint}"
    )


def _example(sample: _Sample) -> str:
    if sample.first_bad is None:
        return ""
    row = sample.first_bad.bad[0]
    return f"{describe_reason(row.reason)} in {row.file}, {row.where} ({row.detail})"


def _no_rows(plan: Plan, sample: _Sample) -> Exception:
    path = plan.files[0].path
    if not sample.n_bad:
        return SourceError(f"{path} has no rows", "there is nothing to read")
    what = f"none of the first {sample.n_bad:,} records of {path} is valid: {_example(sample)}"
    reasons = {row.reason for row in sample.first_bad.bad} if sample.first_bad is not None else set()
    wrong = "the classes" if reasons == {OTHER_CLASS} else "the columns, the format and the encoding"
    return SchemaError(what, f"check {wrong}")
