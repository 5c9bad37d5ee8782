"""Open a block of any format as an iterator of batches that are read but not yet parsed."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import replace
from functools import partial

import numpy as np

from manymill import _core
from manymill.data.batches import MAX_LISTED_BAD_ROWS, NO_ROOM, OTHER_CLASS, TOO_LONG, BadRow, Batch, Labels
from manymill.data.chunks import DELIMITER, Piece, cut_range, cut_stream, cutter_for, is_utf8
from manymill.data.column_roles import missing_column
from manymill.data.compression import ByteStream, open_stream
from manymill.data.dataset import Block, ColumnNames, Plan, SourceFile
from manymill.data.files import open_file, unreadable
from manymill.errors import SourceError


class PendingBatch:
    """A batch that is read but not parsed. Calling it parses the batch and releases the bytes; it works once.

    Parameters
    ----------
    call : callable
        Returns the batch.
    held_bytes : int
        Bytes held until the call.
    is_long : bool
        Whether the call reads a record much longer than a block, so that it should not run ahead of its use.
    """

    __slots__ = ("_call", "held_bytes", "is_long")

    def __init__(self, call: Callable[[], Batch], held_bytes: int = 0, *, is_long: bool = False) -> None:
        self._call: Callable[[], Batch] | None = call
        self.held_bytes, self.is_long = held_bytes, is_long

    def __call__(self) -> Batch:
        """Parse the batch."""
        call, self._call = self._call, None
        assert call is not None, "a batch is parsed once"
        return call()

    def then(self, function: Callable[[Batch], Batch]) -> PendingBatch:
        """Apply a function to the batch once it is parsed."""
        return PendingBatch(lambda: function(self()), self.held_bytes, is_long=self.is_long)


PendingBatches = Generator[PendingBatch, None, None]


def parse_piece(plan: Plan, number: int, piece: Piece) -> Batch:
    """Parse a piece of the file with this number in the plan."""
    file = plan.files[number]
    parsed = _parse(file, plan.columns, plan.dataset.labelled, plan.max_record_bytes, piece)
    bad = tuple(BadRow(file.path, f"byte {at}", reason, detail) for at, reason, detail in parsed.bad)
    counts = Counter(row.reason for row in piece.bad) + Counter(dict(parsed.bad_counts))
    label = Labels(tuple(parsed.classes), parsed.codes) if plan.dataset.labelled else None
    return Batch(
        data=parsed.data,
        offsets=parsed.offsets,
        label=label,
        weight=parsed.weight if plan.columns.weight is not None else None,
        position=parsed.position,
        file=number,
        bad=piece.bad + bad,
        bad_counts=dict(counts),
        n_bytes=piece.n_bytes,
        labels_are_integers=bool(parsed.labels_are_integers and len(parsed.codes)),
        span=(piece.position, piece.position + len(piece.data)),
    )


def _parse(
    file: SourceFile, columns: ColumnNames, labelled: bool, max_record_bytes: int, piece: Piece
) -> _core.Parsed:
    data, position = piece.data, piece.position
    if file.format == "jsonl":
        assert columns.text is not None
        return _core.parse_json_lines(
            data, position, max_record_bytes, text=columns.text, label=columns.label, weight=columns.weight
        )
    if file.format == "fasttext":
        return _core.parse_fasttext(data, position, max_record_bytes, labelled=labelled)
    if file.format == "reviews":
        return _core.parse_reviews(data, position, max_record_bytes, labelled=labelled)
    names = file.column_names
    assert columns.text is not None
    return _core.parse_csv(
        data,
        position,
        max_record_bytes,
        delimiter=DELIMITER[file.format],
        n_columns=len(names),
        text=names.index(columns.text),
        label=None if columns.label is None else names.index(columns.label),
        weight=None if columns.weight is None else names.index(columns.weight),
    )


def _then(batches: PendingBatches, function: Callable[[Batch], Batch]) -> PendingBatches:
    """Apply a function to every batch once it is parsed."""
    with closing(batches):
        for pending in batches:
            yield pending.then(function)


def _explain_memory_limit(plan: Plan, batch: Batch) -> Batch:
    """Give records above the memory limit their own reason, and the memory that they need."""
    if TOO_LONG not in batch.bad_counts:
        return batch
    detail = (
        f"more than {plan.record_room:,} bytes need {plan.record_memory / 1e6:,.0f} MB of memory; raise --memory or "
        "lower --max-record"
    )
    bad = [
        replace(row, reason=NO_ROOM, detail=detail) if row.reason == TOO_LONG else row for row in batch.bad
    ]
    counts = {NO_ROOM if reason == TOO_LONG else reason: n for reason, n in batch.bad_counts.items()}
    return replace(batch, bad=tuple(bad), bad_counts=counts)


def _select_classes(plan: Plan, classes: frozenset[str], batch: Batch) -> Batch:
    """Select the rows whose label is one of ``classes``; the others become bad rows."""
    if batch.label is None or classes.issuperset(batch.label.names):
        return batch
    known = np.array([name in classes for name in batch.label.names], np.bool_)
    selected = known[batch.label.codes]
    others = np.flatnonzero(~selected)
    if not len(others):
        return batch
    sizes = np.diff(batch.offsets)
    text = batch.data[batch.offsets[0] : batch.offsets[-1]]
    new_codes = np.cumsum(known, dtype=np.int32) - np.int32(1)
    return replace(
        batch,
        data=text[np.repeat(selected, sizes)],
        offsets=np.concatenate(([0], np.cumsum(sizes[selected]))).astype(np.int64),
        label=Labels(
            tuple(name for name in batch.label.names if name in classes),
            new_codes[batch.label.codes[selected]],
        ),
        weight=None if batch.weight is None else batch.weight[selected],
        position=batch.position[selected],
        bad=batch.bad + tuple(_bad_row(plan, batch, row) for row in others[:MAX_LISTED_BAD_ROWS].tolist()),
        bad_counts={**batch.bad_counts, OTHER_CLASS: len(others)},
    )


def locate_row(plan: Plan, batch: Batch, row: int) -> tuple[str, str]:
    """The file of a row of a batch, and its position there: ``"byte 1234"`` or ``"row 17"``."""
    file, position = plan.files[batch.file], int(batch.position[row])
    path = os.path.join(file.path, file.members[position][0]) if file.format == "folder" else file.path
    unit = "row" if file.format in ("folder", "parquet", "memory") else "byte"
    return path, f"{unit} {position}"


def _bad_row(plan: Plan, batch: Batch, row: int) -> BadRow:
    assert batch.label is not None
    path, where = locate_row(plan, batch, row)
    return BadRow(path, where, OTHER_CLASS, batch.label.names[batch.label.codes[row]])


_PIECE_BYTES = 1 << 20
# A line that extends so far beyond its block is read when it is used: prefetching several could take too much memory.
_LONG_BYTES = 4 << 20


def is_stream(plan: Plan, block: Block) -> bool:
    """Whether a block may be large and is read incrementally: an unsplittable file, or a large row group."""
    file = plan.files[block.file]
    return not file.cuttable or (file.format == "parquet" and block.raw_bytes > 4 * _PIECE_BYTES)


def open_block(plan: Plan, block: Block) -> PendingBatches:
    """Iterate over the batches of a block: a step of the iterator reads, a call of its item parses.

    Raises
    ------
    SourceError
        If the file was removed or changed since the plan was made, or is corrupt.
    """
    batches = _open(plan, block)
    if plan.max_record_bytes < plan.dataset.max_record_bytes:
        batches = _then(batches, partial(_explain_memory_limit, plan))
    if plan.dataset.labelled and plan.dataset.classes is not None:
        batches = _then(batches, partial(_select_classes, plan, frozenset(plan.dataset.classes)))
    return batches


def _open(plan: Plan, block: Block) -> PendingBatches:
    format = plan.files[block.file].format
    if format == "memory":
        return _memory(plan, block)
    if format == "parquet":
        return _parquet(plan, block)
    if format == "folder":
        return _folder(plan, block)
    return _range(plan, block) if plan.files[block.file].cuttable else _stream(plan, block)


def _range(plan: Plan, block: Block) -> PendingBatches:
    piece = _cut_range(plan, block, patience=_LONG_BYTES)
    if piece is None:
        yield PendingBatch(partial(_parse_range, plan, block), is_long=True)
    else:
        yield PendingBatch(partial(parse_piece, plan, block.file, piece), piece.data.nbytes)


def _parse_range(plan: Plan, block: Block) -> Batch:
    piece = _cut_range(plan, block)
    assert piece is not None
    return parse_piece(plan, block.file, piece)


def _cut_range(plan: Plan, block: Block, patience: int | None = None) -> Piece | None:
    file = plan.files[block.file]
    with open_file(file, plan.dataset.storage_options) as raw:
        return cut_range(
            raw,
            block.start,
            block.stop,
            path=file.path,
            data_start=file.data_start,
            max_record_bytes=plan.max_record_bytes,
            patience=patience,
        )


def open_text(plan: Plan, file: SourceFile) -> ByteStream:
    """The uncompressed bytes of a text file of the plan.

    Raises
    ------
    SourceError
        If the file was removed or changed since the plan was made.
    """
    return open_stream(
        open_file(file, plan.dataset.storage_options),
        file.path,
        file.compression,
        window_bytes=file.decoder_bytes,
        max_bytes=plan.dataset.max_decompressed_bytes,
    )


def _stream(plan: Plan, block: Block) -> PendingBatches:
    file, dataset = plan.files[block.file], plan.dataset
    stream = open_text(plan, file)
    try:
        pieces = cut_stream(
            stream,
            cutter_for(file.format),
            path=file.path,
            data_start=file.data_start,
            encoding=dataset.encoding,
            piece_bytes=_PIECE_BYTES,
            max_record_bytes=plan.max_record_bytes,
        )
        for piece in pieces:
            pending = PendingBatch(partial(parse_piece, plan, block.file, piece), piece.data.nbytes)
            del piece
            yield pending
        if file.compression is None and stream.stored_bytes() != file.size:
            raise SourceError(
                f"{file.path} changed while being read: {stream.stored_bytes():,} bytes, not {file.size:,}",
                "do not write to a source while it is being read",
            )
    finally:
        stream.close()


def _parquet(plan: Plan, block: Block) -> PendingBatches:
    import pyarrow as pa

    from manymill.data.memory import check_types, to_batch
    from manymill.data.parquet import open_parquet, record_batches, row_groups

    file, dataset, names = plan.files[block.file], plan.dataset, plan.columns
    columns = [name for name in (names.text, names.label, names.weight) if name is not None]
    parquet, raw = open_parquet(file, dataset.storage_options)
    try:
        schema = parquet.schema_arrow
        for name in columns:
            if name not in schema.names:
                raise missing_column(file.path, name, schema.names)
        types = [
            None if name is None else schema.field(name).type
            for name in (names.text, names.label, names.weight)
        ]
        assert types[0] is not None
        check_types(file.path, types[0], types[1], types[2])
        groups = row_groups(raw, file)
        row = sum(group.n_rows for group in groups[: block.start])
        n_rows = sum(group.n_rows for group in groups[block.start : block.stop])
        share = file.size * n_rows // max(1, sum(group.n_rows for group in groups))
        per_batch = max(1, min(65536, n_rows * _PIECE_BYTES // max(1, block.raw_bytes)))
        n_reported = 0
        end = row + n_rows
        batches = record_batches(
            parquet,
            raw,
            file,
            range(block.start, block.stop),
            columns,
            n_rows=per_batch,
            n_bytes=4 * _PIECE_BYTES,
        )
        for table in batches:
            done = share * (row + table.num_rows - (end - n_rows)) // max(1, n_rows)
            make = partial(
                to_batch,
                table.column(names.text),
                None if names.label is None else table.column(names.label),
                None if names.weight is None else table.column(names.weight),
                path=file.path,
                file=block.file,
                first_row=row,
                n_bytes=done - n_reported,
                max_record_bytes=plan.max_record_bytes,
            )
            yield PendingBatch(make, table.nbytes)
            row, n_reported = row + table.num_rows, done
    except (pa.ArrowException, OSError) as error:
        if isinstance(error, SourceError):
            raise
        raise SourceError(
            f"{file.path}: row groups {block.start} to {block.stop - 1} cannot be read: {error}",
            "download or write the file again",
        ) from error
    finally:
        raw.close()


def _memory(plan: Plan, block: Block) -> PendingBatches:
    memory = plan.dataset.memory
    if memory is None:
        raise SourceError("the plan is for data in memory, which it no longer has", "make a new plan")
    yield PendingBatch(partial(memory.batch, block.start, block.stop, block.file))


def _folder(plan: Plan, block: Block) -> PendingBatches:
    """Members ``start`` to ``stop`` of a folder tree; the first folder of a member's path is its label."""
    file, dataset = plan.files[block.file], plan.dataset
    texts, labels, bad, rows, n_bytes = [], [], [], [], 0
    for row in range(block.start, block.stop):
        name, size = file.members[row]
        path = os.path.join(file.path, name)
        if size > plan.max_record_bytes:
            bad.append(BadRow(path, f"row {row}", TOO_LONG, f"{size} bytes"))
            continue
        try:
            with open(path, "rb") as member:
                data = member.read(size + 1)
        except OSError as error:
            raise unreadable(path, error) from error
        if len(data) != size:
            raise SourceError(
                f"{path} changed since the plan was made: it had {size:,} bytes",
                "do not write to a source while it is being read; make a new plan",
            )
        n_bytes += size
        try:
            texts.append(data.decode("utf-8-sig" if is_utf8(dataset.encoding) else dataset.encoding))
        except UnicodeDecodeError as error:
            reason = "invalid UTF-8" if is_utf8(dataset.encoding) else f"invalid {dataset.encoding}"
            bad.append(BadRow(path, f"row {row}", reason, f"at byte {error.start} of the file"))
            continue
        labels.append(name.split("/", 1)[0])
        rows.append(row)
    yield PendingBatch(partial(_folder_batch, plan, block, texts, labels, bad, rows, n_bytes), n_bytes)


def _folder_batch(
    plan: Plan,
    block: Block,
    texts: list[str],
    labels: list[str],
    bad: list[BadRow],
    rows: list[int],
    n_bytes: int,
) -> Batch:
    encoded = [text.encode() for text in texts]
    return Batch(
        data=np.frombuffer(b"".join(encoded), np.uint8),
        offsets=np.cumsum([0, *map(len, encoded)], dtype=np.int64),
        label=Labels.of(labels) if plan.dataset.labelled else None,
        weight=None,
        position=np.array(rows, np.int64),
        file=block.file,
        bad=tuple(bad),
        bad_counts=dict(Counter(row.reason for row in bad)),
        n_bytes=n_bytes,
    )
