"""A block opened: batches still to be parsed, whatever the format. Here the formats come together."""

from __future__ import annotations

import os
from collections import Counter
from functools import partial

import numpy as np

from manymill.data.batches import TOO_LONG, BadRow, Batch
from manymill.data.compression import open_stream
from manymill.data.cutting import Piece, cut_range, cut_stream, cutter_for, is_utf8
from manymill.data.files import open_file, unreadable
from manymill.data.filtering import explained, filtered
from manymill.data.guessing import missing_column
from manymill.data.labels import Labels
from manymill.data.parsing import Parse, Parses, parse_piece
from manymill.data.plan import Block, Plan
from manymill.errors import SourceError

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

    from manymill.data.columnar import check_types, to_batch
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
