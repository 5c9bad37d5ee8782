"""How a plan is made: names to files, files to blocks, heads to columns, a sample to classes and sizes.

Reads heads, footers and the sample; never a whole source that is larger than that.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from manymill import _core
from manymill.data.chunks import DELIMITER, is_utf8
from manymill.data.column_roles import (
    check_header_end,
    choose_columns,
    header_doubt,
    missing_column,
    refuse_other_delimiter,
)
from manymill.data.dataset import Block, ColumnNames, Plan, SourceFile, source_file
from manymill.data.files import FORMAT_OF, describe, extensions, find_files, tree_blocks, tree_of
from manymill.data.formats import Head, bom_length, find_format, read_head, stored_compression
from manymill.data.parquet import (
    decoder_bytes,
    flat_columns,
    head_rows,
    largest_page,
    open_parquet,
    row_groups,
)
from manymill.data.sampling import SampleProgress, sampled
from manymill.display import quoted
from manymill.errors import SchemaError, SourceError
from manymill.events import Observer

if TYPE_CHECKING:
    from manymill.data.dataset import Dataset

# Heads of files that are held at a time; those of further ones are read again.
_HEADS_BYTES = 16 << 20
# Values of the first rows that are looked at, and of one JSON object: each takes about 100 bytes.
_MOST_VALUES = 2_000_000
# Of rows behind the first; and columns of a table that are guessed among.
_FURTHER_VALUES = 200_000
_MOST_COLUMNS = 10_000
# Memory for the name and the value of a column, and how many the program's own part has room for.
_COLUMN_BYTES = 250
_USUAL_VALUES = 50_000
_CUTTABLE = ("jsonl", "fasttext")


def make_plan(dataset: Dataset, *, block_bytes: int, sample_bytes: int, observe: Observer) -> Plan:
    """The plan of a dataset; :meth:`Dataset.plan` has the details."""
    if block_bytes < 1:
        raise ValueError(f"block_bytes is {block_bytes}, but has to be 1 or more")
    if dataset.memory is not None:
        plan = _memory_plan(dataset, block_bytes)
        return sampled(plan, sample_bytes, observe)
    paths, trees = find_files(dataset.source, dataset.storage_options, format=dataset.format)
    if paths and dataset.format == "folder":
        raise SourceError(f"{paths[0]} is no folder", "name a folder with one sub-folder per class")
    if trees and dataset.format not in (None, "folder"):
        raise SourceError(
            f"the directory {trees[0]} has no data files of the format {dataset.format}", "name the files"
        )
    if paths and trees:
        raise SourceError(
            f"{paths[0]} is a data file, {trees[0]} a folder tree", "read them one after the other"
        )
    notes: tuple[str, ...] = ()
    columns = ColumnNames()
    blocks: list[Block] = []
    head_bytes = 0
    if trees:
        files = [tree_of(path) for path in trees]
        notes = (f"The labels are the names of the sub-folders of {trees[0]}.",) if dataset.labelled else ()
        for number, file in enumerate(files):
            blocks += tree_blocks(number, file, block_bytes)
    else:
        files, columns, notes, blocks, head_bytes = _data_plan(dataset, paths, block_bytes, observe)
    plan = Plan(
        dataset=dataset,
        files=tuple(files),
        blocks=tuple(blocks),
        columns=columns,
        notes=notes,
        source_bytes=sum(file.size for file in files),
        head_bytes=head_bytes,
    )
    return sampled(plan, sample_bytes, observe)


def opened(
    dataset: Dataset, paths: list[str], observe: Observer = lambda event: None
) -> tuple[list[SourceFile], list[bytes], list[str]]:
    """The data files of one format that are not empty, their first bytes, and what is to be said of the others.

    Raises
    ------
    SourceError
        If one cannot be opened, formats differ, or nothing is in any.
    """
    options = dataset.storage_options
    files: list[SourceFile] = []
    heads: list[bytes] = []
    notes: list[str] = []
    empty: list[str] = []
    n_held = 0
    for path in paths:
        size, stamp = describe(path, options)
        if not size:
            empty.append(path)
            continue
        file = source_file(path, size, stamp)
        compression, window_bytes = stored_compression(file, options)
        file = replace(file, compression=compression, decoder_bytes=window_bytes)
        beginning = _head(dataset, file, observe)
        head = beginning.data
        if not head or head.isspace():
            empty.append(path)
            continue
        format = dataset.format or _find_format(dataset, path, head)
        if files and files[0].format != format:
            raise SourceError(
                f"{files[0].path} is {files[0].format}, {path} is {format}",
                "read files of one format at a time, or name the format with --format (format= in Python)",
            )
        raw_bytes = size
        if file.compression:
            n, stored = beginning.n_bytes, beginning.stored_bytes
            raw_bytes = n if beginning.whole else max(n, n * size // max(1, stored))
        files.append(
            replace(file, format=format, raw_bytes=raw_bytes, **_layout(dataset, file, format, head))
        )
        n_held += len(head)
        heads.append(head if len(files) == 1 or n_held <= _HEADS_BYTES else b"")
    if not files:
        what = f"{empty[0]} is empty" if len(empty) == 1 else f"all {len(empty)} files are empty"
        raise SourceError(what, "there is nothing to read")
    notes += [f"{path} is empty and was left out." for path in empty]
    return files, heads, notes


def _data_plan(
    dataset: Dataset, paths: list[str], block_bytes: int, observe: Observer
) -> tuple[list[SourceFile], ColumnNames, tuple[str, ...], list[Block], int]:
    files, heads, notes = opened(dataset, paths, observe)
    if dataset.format is None and FORMAT_OF.get(extensions(files[0].path)[0]) != files[0].format:
        notes.append(
            f"{files[0].path} looks like {files[0].format}; name another with --format (format= in Python)."
        )
    if any(file.path == "-" for file in files):
        notes.append(
            "The standard input was copied to a temporary file, so that it can be read more than once."
        )
    columns, guessed, head_bytes = _columns(dataset, files, heads, observe)
    blocks: list[Block] = []
    for number, file in enumerate(files):
        blocks += _blocks(dataset, number, file, block_bytes)
    return files, columns, tuple(notes) + guessed, blocks, head_bytes


def _head(dataset: Dataset, file: SourceFile, observe: Observer) -> Head:
    progress = SampleProgress(observe)
    return read_head(
        file,
        dataset.storage_options,
        format=dataset.format,
        encoding=dataset.encoding,
        max_record_bytes=dataset.max_record_bytes,
        max_bytes=dataset.max_decompressed_bytes,
        tell=lambda n_stored: progress.tell(file, n_stored, 0),
    )


def _find_format(dataset: Dataset, path: str, head: bytes) -> str:
    """The format of a file; plain text that was found in a folder is none, whatever its first line has in it."""
    folder = os.path.dirname(path)
    text = path not in dataset.source and extensions(path)[0] in (".txt", "") and os.path.isdir(folder)
    try:
        format = find_format(path, head, dataset.encoding)
    except SourceError:
        if not text:
            raise
        format = ""
    if text and format in ("", "csv"):
        raise SourceError(
            f"{folder} holds plain text files, but no folders of classes: the class of {path} is not known",
            "put the files of each class into a folder, or name the format with --format (format= in Python)",
        )
    return format


def _layout(dataset: Dataset, file: SourceFile, format: str, head: bytes) -> dict[str, Any]:
    """Where the records of a file start, and whether it can be cut."""
    if format == "parquet":
        if file.compression:
            raise SourceError(f"{file.path}: a compressed Parquet file cannot be read", "decompress it first")
        parquet, raw = open_parquet(file, dataset.storage_options)
        with raw:
            n_bytes = sum(group.n_bytes for group in row_groups(raw, file))
            page_bytes = largest_page(raw, file, flat_columns(parquet))
        if dataset.max_decompressed_bytes is not None and n_bytes > dataset.max_decompressed_bytes:
            raise SourceError(
                f"{file.path} decompresses to {n_bytes:,} bytes, the limit is {dataset.max_decompressed_bytes:,}",
                "raise --max-decompressed (max_decompressed_bytes= in Python) if the file is trusted",
            )
        return {"cuttable": True, "decoder_bytes": decoder_bytes(page_bytes)}
    utf8 = is_utf8(dataset.encoding)
    start = bom_length(head) if utf8 else 0
    cuttable = format in _CUTTABLE and file.compression is None and utf8
    if format not in ("csv", "tsv"):
        return {"cuttable": cuttable, "data_start": start}
    text = head[start:] if utf8 else head.decode(dataset.encoding, "ignore").encode()
    cutter = _core.CsvCutter(delimiter=DELIMITER[format])
    ends = cutter.feed(text)
    if ends is None:
        check_header_end(file.path, text, cutter.in_quotes, dataset.max_record_bytes)
    header = [field.decode("utf-8", "replace").removeprefix("\ufeff") for field in _fields(text, format)]
    asked = [column for column in (dataset.text, dataset.label, dataset.weight) if column is not None]
    # The first row of a file without a header may hold such a number itself.
    if all(column.isdecimal() for column in asked) and not set(asked) <= set(header):
        return {"data_start": start, "column_names": tuple(str(i) for i in range(len(header)))}
    if len(set(header)) < len(header):
        twice = next(name for name, n in Counter(header).items() if n > 1)
        raise SchemaError(
            f"{file.path}: the header has {quoted(twice)} twice",
            "for a file without a header name the columns by number: text='1', label='0'",
        )
    return {"data_start": start + (ends[0] if ends else len(text)), "column_names": tuple(header)}


def _fields(record: bytes, format: str) -> list[bytes]:
    return _core.csv_header(record, delimiter=DELIMITER[format])


def _columns(
    dataset: Dataset, files: list[SourceFile], heads: list[bytes], observe: Observer
) -> tuple[ColumnNames, tuple[str, ...], int]:
    """The columns to read, guessed from the first file and looked for in all; and the memory that they take."""
    format = files[0].format
    asked = ColumnNames(dataset.text, dataset.label, dataset.weight)
    if format not in ("jsonl", "csv", "tsv", "parquet"):
        if dataset.text or dataset.label or dataset.weight:
            raise SchemaError(
                f"{files[0].path}: {format} has no named columns", "leave text=, label= and weight= away"
            )
        return ColumnNames(), (), 0
    columns, rows, n_values = _look(dataset, files[0], heads[0])
    doubt: tuple[str, ...] = ()
    if format in ("csv", "tsv"):
        if dataset.labelled:
            refuse_other_delimiter(files[0].path, columns)
        doubt = header_doubt(files[0].path, columns, rows, asked)
    try:
        chosen, notes = choose_columns(files[0].path, columns, rows, asked, labelled=dataset.labelled)
    except SchemaError as error:
        raise SchemaError(error.what, " ".join([f"{error.hint}.", *doubt]) if doubt else error.hint) from None
    wanted = [name for name in (chosen.text, chosen.label, chosen.weight) if name is not None]
    for file, head in zip(files[1:], heads[1:], strict=True):
        there, _, n_there = _look(dataset, file, head or _head(dataset, file, observe).data)
        n_values = max(n_values, n_there)
        for name in wanted:
            if name not in there:
                raise missing_column(file.path, name, there)
    return chosen, notes + doubt, _COLUMN_BYTES * max(0, n_values - _USUAL_VALUES)


def _look(dataset: Dataset, file: SourceFile, head: bytes) -> tuple[list[str], list[Mapping[str, Any]], int]:
    """Names of the columns, the rows of the head, and how many values are held for that."""
    if file.format == "parquet":
        return *_look_parquet(dataset, file), 0
    text = head if is_utf8(dataset.encoding) else head.decode(dataset.encoding, "ignore").encode()
    if file.format in ("csv", "tsv"):
        names, rows = file.column_names, []
        asked = (dataset.text, dataset.label, dataset.weight)
        beyond = [i for i, name in enumerate(names[_MOST_COLUMNS:], _MOST_COLUMNS) if name in asked]
        looked_at = [*range(min(len(names), _MOST_COLUMNS)), *beyond]
        rest = text[file.data_start :]
        for _ in range(min(200, max(1, _MOST_VALUES // len(names)))):
            ends = _core.CsvCutter(delimiter=DELIMITER[file.format]).feed(rest)
            record = rest[: ends[0]] if ends else rest
            if not record:
                break
            fields = _fields(record, file.format)
            rows.append(
                {names[i]: fields[i].decode("utf-8", "replace") for i in looked_at if i < len(fields)}
            )
            rest = rest[len(record) :]
        return list(names), list(rows), len(names)
    columns: dict[str, None] = {}
    found: list[Mapping[str, Any]] = []
    n_values = most = 0
    for line in text.removeprefix(b"\xef\xbb\xbf").lstrip().split(b"\n", 1000)[:1000]:
        # An upper bound, told before a value is made.
        most = max(most, n := line.count(b",") + line.count(b":"))
        if n > 2 * (_MOST_VALUES if not found else _FURTHER_VALUES) or n_values > _FURTHER_VALUES:
            break
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(row, dict):
            columns.update(dict.fromkeys(row))
            found.append(row)
            n_values += _n_values(row) if n > 20 else n // 2
    if not found and most > 2 * _MOST_VALUES:
        raise SourceError(
            f"{file.path}: its first JSON object has up to {most:,} values, more than the {2 * _MOST_VALUES:,} that "
            "are looked at to find its columns",
            "leave columns out",
        )
    if not found:
        raise SourceError(
            f"{file.path}: none of its first lines is a JSON object",
            "name the format with --format (format= in Python), or the encoding",
        )
    return list(columns), found, n_values


def _n_values(row: Mapping[str, Any]) -> int:
    """Values of a JSON object, those of inner ones too."""
    inner: list[Any] = [row]
    n_values = 0
    while inner:
        value = inner.pop()
        n_values += len(value)
        values = value.values() if isinstance(value, dict) else value
        inner.extend(item for item in values if isinstance(item, dict | list))
    return n_values


def _look_parquet(dataset: Dataset, file: SourceFile) -> tuple[list[str], list[Mapping[str, Any]]]:
    import pyarrow as pa

    parquet, raw = open_parquet(file, dataset.storage_options)
    with raw:
        columns = list(parquet.schema_arrow.names)
        if dataset.text and (dataset.label or not dataset.labelled):
            return columns, []
        try:
            return columns, head_rows(parquet, raw, file)
        except (pa.ArrowException, OSError) as error:
            raise SourceError(f"{file.path} is a broken Parquet file: {error}", "get it again") from error


def _blocks(dataset: Dataset, number: int, file: SourceFile, block_bytes: int) -> list[Block]:
    if file.format == "parquet":
        _, raw = open_parquet(file, dataset.storage_options)
        with raw:
            groups = row_groups(raw, file)
        return [Block(number, i, i + 1, group.n_bytes) for i, group in enumerate(groups) if group.n_rows]
    if not file.cuttable:
        return [Block(number, 0, file.size, file.raw_bytes)]
    starts = range(file.data_start, file.size, block_bytes)
    return [
        Block(number, start, min(start + block_bytes, file.size), min(block_bytes, file.size - start))
        for start in starts
    ]


def _memory_plan(dataset: Dataset, block_bytes: int) -> Plan:
    assert dataset.memory is not None
    n_rows = len(dataset.memory)
    if not n_rows:
        raise SourceError("there are no texts", "the list is empty")
    n_bytes = dataset.memory.nbytes
    per_block = max(1, min(n_rows, n_rows * block_bytes // max(1, n_bytes)))
    file = SourceFile("memory", 0, "", "memory", cuttable=True, raw_bytes=n_bytes)
    blocks = tuple(
        Block(0, start, min(start + per_block, n_rows), block_bytes) for start in range(0, n_rows, per_block)
    )
    return Plan(dataset=dataset, files=(file,), blocks=blocks, columns=ColumnNames())
