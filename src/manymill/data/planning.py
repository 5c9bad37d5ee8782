"""Make the plan of a dataset: resolve files, cut blocks, infer columns, and sample classes and sizes.

Reads only heads, footers and the sample, unless the source is smaller than these.
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
from manymill.data.files import FORMAT_OF, describe, extensions, find_files, folder_tree, folder_tree_blocks
from manymill.data.formats import Head, bom_length, find_format, read_head, stored_compression
from manymill.data.parquet import (
    broken_parquet,
    decoder_bytes,
    flat_columns,
    head_rows,
    largest_page,
    open_parquet,
    row_groups,
)
from manymill.data.sampling import SampleProgress, add_statistics
from manymill.display import quoted
from manymill.errors import SchemaError, SourceError
from manymill.events import Observer
from manymill.validation import check_integer

if TYPE_CHECKING:
    from manymill.data.dataset import Dataset

# Total size of the file heads that are cached; further heads are read again when needed.
_HEADS_BYTES = 16 << 20
# Limit of values in the first rows, and in one JSON object: each takes about 100 bytes.
_MAX_VALUES = 2_000_000
# Limit of values in the rows after the first, and of columns considered for inference.
_FURTHER_VALUES = 200_000
_MAX_COLUMNS = 10_000
# Memory for the name and the value of a column, and the number of values in the program's base memory.
_COLUMN_BYTES = 250
_USUAL_VALUES = 50_000
_CUTTABLE = ("jsonl", "fasttext")


def make_plan(dataset: Dataset, *, block_bytes: int, sample_bytes: int, observe: Observer) -> Plan:
    """Make the plan of a dataset; see :meth:`Dataset.plan`."""
    check_integer(block_bytes, "block_bytes", 1)
    if dataset.memory is not None:
        plan = _memory_plan(dataset, block_bytes)
        return add_statistics(plan, sample_bytes, observe)
    paths, trees = find_files(dataset.source, dataset.storage_options, format=dataset.format)
    if paths and dataset.format == "folder":
        raise SourceError(f"{paths[0]} is not a folder", "name a folder with one sub-folder per class")
    if trees and dataset.format not in (None, "folder"):
        raise SourceError(
            f"the directory {trees[0]} has no files of the format {dataset.format}", "name the files"
        )
    if paths and trees:
        raise SourceError(
            f"{paths[0]} is a data file, but {trees[0]} is a folder tree", "read them separately"
        )
    notes: tuple[str, ...] = ()
    columns = ColumnNames()
    blocks: list[Block] = []
    head_bytes = 0
    if trees:
        files = [folder_tree(path) for path in trees]
        notes = (f"The labels are the names of the sub-folders of {trees[0]}.",) if dataset.labelled else ()
        for number, file in enumerate(files):
            blocks += folder_tree_blocks(number, file, block_bytes)
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
    return add_statistics(plan, sample_bytes, observe)


def inspect_files(
    dataset: Dataset, paths: list[str], observe: Observer = lambda event: None
) -> tuple[list[SourceFile], list[bytes], list[str]]:
    """Open data files to detect their format and layout.

    Returns
    -------
    files : list of SourceFile
        The files that are not empty, all of one format.
    heads : list of bytes
        Their first bytes; empty for a head that must be read again.
    notes : list of str
        A note for each empty file.

    Raises
    ------
    SourceError
        If a file cannot be opened, formats differ, or all files are empty.
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
                "read files of one format at a time, or set the format with --format (format= in Python)",
            )
        raw_bytes = size
        if file.compression:
            n, stored = beginning.n_bytes, beginning.stored_bytes
            raw_bytes = n if beginning.is_complete else max(n, n * size // max(1, stored))
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
    files, heads, notes = inspect_files(dataset, paths, observe)
    if dataset.format is None and FORMAT_OF.get(extensions(files[0].path)[0]) != files[0].format:
        notes.append(
            f"{files[0].path} is read as {files[0].format}; choose another format with --format (format= in Python)."
        )
    if any(file.path == "-" for file in files):
        notes.append(
            "The standard input is copied to a temporary file so that it can be read more than once."
        )
    columns, column_notes, head_bytes = _columns(dataset, files, heads, observe)
    blocks: list[Block] = []
    for number, file in enumerate(files):
        blocks += _blocks(dataset, number, file, block_bytes)
    return files, columns, tuple(notes) + column_notes, blocks, head_bytes


def _head(dataset: Dataset, file: SourceFile, observe: Observer) -> Head:
    progress = SampleProgress(observe)
    return read_head(
        file,
        dataset.storage_options,
        format=dataset.format,
        encoding=dataset.encoding,
        max_record_bytes=dataset.max_record_bytes,
        max_bytes=dataset.max_decompressed_bytes,
        report=lambda n_stored: progress.report(file, n_stored, 0),
    )


def _find_format(dataset: Dataset, path: str, head: bytes) -> str:
    """The format of a file; plain text files found in a folder are rejected, whatever their first line looks like."""
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
            f"{folder} contains plain text files but no class folders: the class of {path} is unknown",
            "put the files of each class into a sub-folder, or set the format with --format (format= in Python)",
        )
    return format


def _layout(dataset: Dataset, file: SourceFile, format: str, head: bytes) -> dict[str, Any]:
    """Fields of `SourceFile` that depend on the format: where the records start, and whether it can be cut."""
    if format == "parquet":
        if file.compression:
            raise SourceError(
                f"{file.path}: compressed Parquet files are not supported", "decompress it first"
            )
        parquet, raw = open_parquet(file, dataset.storage_options)
        with raw:
            groups = row_groups(raw, file)
            n_bytes = sum(group.n_bytes for group in groups)
            page_bytes = largest_page(raw, file, flat_columns(parquet))
        if dataset.max_decompressed_bytes is not None and n_bytes > dataset.max_decompressed_bytes:
            raise SourceError(
                f"{file.path} decompresses to {n_bytes:,} bytes, the limit is {dataset.max_decompressed_bytes:,}",
                "raise --max-decompressed (max_decompressed_bytes= in Python) if the file is trusted",
            )
        n_rows = sum(group.n_rows for group in groups)
        return {"cuttable": True, "end": n_rows, "decoder_bytes": decoder_bytes(page_bytes)}
    utf8 = is_utf8(dataset.encoding)
    start = bom_length(head) if utf8 else 0
    end = file.size if utf8 and file.compression is None else None
    cuttable = format in _CUTTABLE and end is not None
    if format not in ("csv", "tsv"):
        return {"cuttable": cuttable, "data_start": start, "end": end}
    text = head[start:] if utf8 else head.decode(dataset.encoding, "ignore").encode()
    cutter = _core.CsvCutter(delimiter=DELIMITER[format])
    ends = cutter.feed(text)
    if ends is None:
        check_header_end(file.path, text, cutter.in_quotes, dataset.max_record_bytes)
    header = [field.decode("utf-8", "replace").removeprefix("\ufeff") for field in _fields(text, format)]
    requested = [column for column in (dataset.text, dataset.label, dataset.weight) if column is not None]
    # The first row of a file without a header may contain the requested number itself.
    if all(column.isdecimal() for column in requested) and not set(requested) <= set(header):
        return {"data_start": start, "end": end, "column_names": tuple(str(i) for i in range(len(header)))}
    if len(set(header)) < len(header):
        twice = next(name for name, n in Counter(header).items() if n > 1)
        raise SchemaError(
            f"{file.path}: the header contains {quoted(twice)} twice",
            "for a file without a header, name the columns by number, such as --text 1 --label 0 (text='1' in Python)",
        )
    start += ends[0] if ends else len(text)
    return {"data_start": start, "end": end, "column_names": tuple(header)}


def _fields(record: bytes, format: str) -> list[bytes]:
    return _core.csv_header(record, delimiter=DELIMITER[format])


def _columns(
    dataset: Dataset, files: list[SourceFile], heads: list[bytes], observe: Observer
) -> tuple[ColumnNames, tuple[str, ...], int]:
    """The columns to read, inferred from the first file and checked in all; their notes; and the memory needed."""
    format = files[0].format
    requested = ColumnNames(dataset.text, dataset.label, dataset.weight)
    if format not in ("jsonl", "csv", "tsv", "parquet"):
        if dataset.text or dataset.label or dataset.weight:
            raise SchemaError(
                f"{files[0].path}: the format {format} has no named columns",
                "leave out --text, --label and --weight (text=, label= and weight= in Python)",
            )
        return ColumnNames(), (), 0
    columns, rows, n_values = _first_rows(dataset, files[0], heads[0])
    doubt: tuple[str, ...] = ()
    if format in ("csv", "tsv"):
        if dataset.labelled:
            refuse_other_delimiter(files[0].path, columns)
        doubt = header_doubt(files[0].path, columns, rows, requested)
    try:
        chosen, notes = choose_columns(files[0].path, columns, rows, requested, labelled=dataset.labelled)
    except SchemaError as error:
        raise SchemaError(error.what, " ".join([f"{error.hint}.", *doubt]) if doubt else error.hint) from None
    selected = [name for name in (chosen.text, chosen.label, chosen.weight) if name is not None]
    for file, head in zip(files[1:], heads[1:], strict=True):
        names, _, n_more = _first_rows(dataset, file, head or _head(dataset, file, observe).data)
        n_values = max(n_values, n_more)
        for name in selected:
            if name not in names:
                raise missing_column(file.path, name, names)
    return chosen, notes + doubt, _COLUMN_BYTES * max(0, n_values - _USUAL_VALUES)


def _first_rows(
    dataset: Dataset, file: SourceFile, head: bytes
) -> tuple[list[str], list[Mapping[str, Any]], int]:
    """The column names, the rows of the head, and the number of values in memory for these."""
    if file.format == "parquet":
        return *_first_parquet_rows(dataset, file), 0
    text = head if is_utf8(dataset.encoding) else head.decode(dataset.encoding, "ignore").encode()
    if file.format in ("csv", "tsv"):
        names, rows = file.column_names, []
        requested = (dataset.text, dataset.label, dataset.weight)
        beyond = [i for i, name in enumerate(names[_MAX_COLUMNS:], _MAX_COLUMNS) if name in requested]
        considered = [*range(min(len(names), _MAX_COLUMNS)), *beyond]
        rest = text[file.data_start :]
        for _ in range(min(200, max(1, _MAX_VALUES // len(names)))):
            ends = _core.CsvCutter(delimiter=DELIMITER[file.format]).feed(rest)
            record = rest[: ends[0]] if ends else rest
            if not record:
                break
            fields = _fields(record, file.format)
            rows.append(
                {names[i]: fields[i].decode("utf-8", "replace") for i in considered if i < len(fields)}
            )
            rest = rest[len(record) :]
        return list(names), list(rows), len(names)
    columns: dict[str, None] = {}
    found: list[Mapping[str, Any]] = []
    n_values = most = 0
    for line in text.removeprefix(b"\xef\xbb\xbf").lstrip().split(b"\n", 1000)[:1000]:
        # An upper bound of the number of values, known before the line is parsed.
        most = max(most, n := line.count(b",") + line.count(b":"))
        if n > 2 * (_MAX_VALUES if not found else _FURTHER_VALUES) or n_values > _FURTHER_VALUES:
            break
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(row, dict):
            columns.update(dict.fromkeys(row))
            found.append(row)
            n_values += _n_values(row) if n > 20 else n // 2
    if not found and most > 2 * _MAX_VALUES:
        raise SourceError(
            f"{file.path}: its first JSON object has up to {most:,} values; column inference supports up to "
            f"{2 * _MAX_VALUES:,}",
            "remove fields",
        )
    if not found:
        raise SourceError(
            f"{file.path}: none of its first lines is a JSON object",
            "set the format with --format (format= in Python), or the encoding with --encoding (encoding=)",
        )
    return list(columns), found, n_values


def _n_values(row: Mapping[str, Any]) -> int:
    """Number of values of a JSON object, including nested ones."""
    inner: list[Any] = [row]
    n_values = 0
    while inner:
        value = inner.pop()
        n_values += len(value)
        values = value.values() if isinstance(value, dict) else value
        inner.extend(item for item in values if isinstance(item, dict | list))
    return n_values


def _first_parquet_rows(dataset: Dataset, file: SourceFile) -> tuple[list[str], list[Mapping[str, Any]]]:
    import pyarrow as pa

    parquet, raw = open_parquet(file, dataset.storage_options)
    with raw:
        columns = list(parquet.schema_arrow.names)
        if dataset.text and (dataset.label or not dataset.labelled):
            return columns, []
        try:
            return columns, head_rows(parquet, raw, file)
        except (pa.ArrowException, OSError) as error:
            raise broken_parquet(file, error) from error


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
    file = SourceFile("memory", 0, "", "memory", cuttable=True, raw_bytes=n_bytes, end=n_rows)
    blocks = tuple(
        Block(0, start, min(start + per_block, n_rows), block_bytes) for start in range(0, n_rows, per_block)
    )
    return Plan(dataset=dataset, files=(file,), blocks=blocks, columns=ColumnNames())
