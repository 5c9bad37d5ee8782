"""A block opened: batches still to be parsed, whatever the format. Here the formats come together.

Pieces of text to batches, by the parser of their format.

Rows of the classes that were asked for; those of another are left out, and counted.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import replace
from functools import partial

import numpy as np

from manymill import _core
from manymill.data.batches import NO_ROOM, TOO_LONG, BadRow, Batch, Labels
from manymill.data.chunks import DELIMITER, Piece, cut_range, cut_stream, cutter_for, is_utf8
from manymill.data.column_roles import missing_column
from manymill.data.compression import open_stream
from manymill.data.dataset import Block, ColumnNames, Plan, SourceFile
from manymill.data.files import open_file, unreadable
from manymill.errors import SourceError


class Parse:
    """A batch still to be parsed. It can be called once: what it holds is let go then.

    Parameters
    ----------
    call : callable
        Gives the batch.
    held_bytes : int
        What it holds until it is called.
    is_long : bool
        Whether the call reads a record that is much longer than a block: not to be called ahead of its use.
    """

    __slots__ = ("_call", "held_bytes", "is_long")

    def __init__(self, call: Callable[[], Batch], held_bytes: int = 0, *, is_long: bool = False) -> None:
        self._call: Callable[[], Batch] | None = call
        self.held_bytes, self.is_long = held_bytes, is_long

    def __call__(self) -> Batch:
        """The batch."""
        call, self._call = self._call, None
        assert call is not None, "a batch is parsed once"
        return call()

    def then(self, function: Callable[[Batch], Batch]) -> Parse:
        """The same, with a function called on the batch."""
        return Parse(lambda: function(self()), self.held_bytes, is_long=self.is_long)


Parses = Generator[Parse, None, None]


def parse_piece(plan: Plan, number: int, piece: Piece) -> Batch:
    """The rows of a piece of file ``number``."""
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


OTHER_CLASS = "other class"
# More bad rows than any ledger shows are not described.
_KEPT_BAD_ROWS = 1000


def filtered(plan: Plan, parses: Parses) -> Parses:
    """What gives batches, as what gives batches of the plan's classes alone."""
    assert plan.dataset.classes is not None
    classes = frozenset(plan.dataset.classes)
    with closing(parses):
        for parse in parses:
            yield parse.then(lambda batch: keep_classes(plan, batch, classes))


def explained(plan: Plan, parses: Parses) -> Parses:
    """The same batches; a record for which the promised memory has no room says so, and how much it needs."""
    with closing(parses):
        for parse in parses:
            yield parse.then(partial(_explain, plan))


def _explain(plan: Plan, batch: Batch) -> Batch:
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


def keep_classes(plan: Plan, batch: Batch, classes: frozenset[str]) -> Batch:
    """The rows of a batch whose label is one of ``classes``; every other is a bad row."""
    if batch.label is None or classes.issuperset(batch.label.names):
        return batch
    known = np.array([name in classes for name in batch.label.names], np.bool_)
    kept = known[batch.label.codes]
    others = np.flatnonzero(~kept)
    if not len(others):
        return batch
    sizes = np.diff(batch.offsets)
    text = batch.data[batch.offsets[0] : batch.offsets[-1]]
    place = np.cumsum(known, dtype=np.int32) - np.int32(1)
    return replace(
        batch,
        data=text[np.repeat(kept, sizes)],
        offsets=np.concatenate(([0], np.cumsum(sizes[kept]))).astype(np.int64),
        label=Labels(
            tuple(name for name in batch.label.names if name in classes), place[batch.label.codes[kept]]
        ),
        weight=None if batch.weight is None else batch.weight[kept],
        position=batch.position[kept],
        bad=batch.bad + tuple(_bad_row(plan, batch, row) for row in others[:_KEPT_BAD_ROWS].tolist()),
        bad_counts={**batch.bad_counts, OTHER_CLASS: len(others)},
    )


def place_of(plan: Plan, batch: Batch, row: int) -> tuple[str, str]:
    """The file of a row of a batch, and where in it the row is: ``"byte 1234"`` or ``"row 17"``."""
    file, position = plan.files[batch.file], int(batch.position[row])
    path = os.path.join(file.path, file.members[position][0]) if file.format == "folder" else file.path
    unit = "row" if file.format in ("folder", "parquet", "memory") else "byte"
    return path, f"{unit} {position}"


def _bad_row(plan: Plan, batch: Batch, row: int) -> BadRow:
    assert batch.label is not None
    path, where = place_of(plan, batch, row)
    return BadRow(path, where, OTHER_CLASS, batch.label.names[batch.label.codes[row]])


_PIECE_BYTES = 1 << 20
# A line that goes on so far beyond its block is read when its turn has come: several at a time may be too much.
_LONG_BYTES = 4 << 20


def is_stream(plan: Plan, block: Block) -> bool:
    """Whether a block may be long and is read bit by bit: a file that cannot be cut, or a large row group."""
    file = plan.files[block.file]
    return not file.cuttable or (file.format == "parquet" and block.raw_bytes > 4 * _PIECE_BYTES)


def open_block(plan: Plan, block: Block) -> Parses:
    """The batches of a block: each step of the iterator reads, each call of what it gives parses.

    Raises
    ------
    SourceError
        If the file vanished or changed since the plan was made, or is corrupt.
    """
    parses = _open(plan, block)
    if plan.max_record_bytes < plan.dataset.max_record_bytes:
        parses = explained(plan, parses)
    named = plan.dataset.labelled and plan.dataset.classes is not None
    return filtered(plan, parses) if named else parses


def _open(plan: Plan, block: Block) -> Parses:
    format = plan.files[block.file].format
    if format == "memory":
        return _memory(plan, block)
    if format == "parquet":
        return _parquet(plan, block)
    if format == "folder":
        return _folder(plan, block)
    return _range(plan, block) if plan.files[block.file].cuttable else _stream(plan, block)


def _range(plan: Plan, block: Block) -> Parses:
    piece = _cut_range(plan, block, patience=_LONG_BYTES)
    if piece is None:
        yield Parse(partial(_parse_range, plan, block), is_long=True)
    else:
        yield Parse(partial(parse_piece, plan, block.file, piece), piece.data.nbytes)


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


def _stream(plan: Plan, block: Block) -> Parses:
    file, dataset = plan.files[block.file], plan.dataset
    stream = open_stream(
        open_file(file, dataset.storage_options),
        file.path,
        file.compression,
        window_bytes=file.decoder_bytes,
        max_bytes=dataset.max_decompressed_bytes,
    )
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
            parse = Parse(partial(parse_piece, plan, block.file, piece), piece.data.nbytes)
            del piece
            yield parse
        if file.compression is None and stream.stored_bytes() != file.size:
            raise SourceError(
                f"{file.path} changed while being read: {stream.stored_bytes():,} bytes, not {file.size:,}",
                "do not write to a source while it is being read",
            )
    finally:
        stream.close()


def _parquet(plan: Plan, block: Block) -> Parses:
    import pyarrow as pa

    from manymill.data.memory import check_types, to_batch
    from manymill.data.parquet import batches_of, open_parquet, row_groups

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
        given = 0
        end = row + n_rows
        batches = batches_of(
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
                n_bytes=done - given,
                max_record_bytes=plan.max_record_bytes,
            )
            yield Parse(make, table.nbytes)
            row, given = row + table.num_rows, done
    except (pa.ArrowException, OSError) as error:
        if isinstance(error, SourceError):
            raise
        raise SourceError(
            f"{file.path}: row groups {block.start} to {block.stop - 1} cannot be read: {error}",
            "get the file again",
        ) from error
    finally:
        raw.close()


def _memory(plan: Plan, block: Block) -> Parses:
    memory = plan.dataset.memory
    if memory is None:
        raise SourceError("the plan is of data in memory, and that is gone", "make the plan anew")
    yield Parse(partial(memory.batch, block.start, block.stop, block.file))


def _folder(plan: Plan, block: Block) -> Parses:
    """Members ``start`` to ``stop`` of a folder tree: the label is the first folder of each one's path."""
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
                "do not write to a source while it is being read; make the plan anew",
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
    yield Parse(partial(_folder_batch, plan, block, texts, labels, bad, rows, n_bytes), n_bytes)


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
