"""Which rows are the last ones of a file, for every kind of file."""

import bz2
import gzip
import io
import json
import lzma
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from manymill import Dataset, scan
from manymill.data.reader import read
from manymill.data.tails import Tails, with_ends
from manymill.errors import SourceError

# Of one length each, so that a share of the bytes is that share of the rows.
TEXTS = [f"row {i:03}" for i in range(200)]
LABELS = [("good", "evil")[i % 2] for i in range(200)]


def _jsonl(rows):
    return "".join(json.dumps({"text": text, "label": label}) + "\n" for text, label in rows)


def _csv(rows, delimiter=","):
    header = delimiter.join(["label", "text"]) + "\n"
    return header + "".join(f"{label}{delimiter}{text}\n" for text, label in rows)


WRITERS = {
    "jsonl": _jsonl,
    "csv": _csv,
    "tsv": lambda rows: _csv(rows, "\t"),
    "ft": lambda rows: "".join(f"__label__{label} {text}\n" for text, label in rows),
    "review": lambda rows: "".join(
        f"<review>\n<rating>5.0</rating>\n<review_text>\n{text}\n</review_text>\n</review>\n"
        for text, _ in rows
    ),
}
COMPRESSIONS = {
    "": bytes,
    ".gz": gzip.compress,
    ".zst": zstandard.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
}


def tail_texts(plan, share):
    tails = Tails(plan, share)
    return [
        text
        for batch in read(plan)
        for text, held in zip(batch.texts(), tails.mask(batch), strict=True)
        if held
    ]


def measured(plan, threads=2, **options):
    with ThreadPoolExecutor(threads) as executor:
        return with_ends(plan, executor, **options)


def forgetting(plan):
    """The plan as if its sample had not reached the end of any file."""
    return replace(plan, files=tuple(replace(file, end=None) for file in plan.files))


@pytest.mark.parametrize("compression", COMPRESSIONS)
@pytest.mark.parametrize("format", WRITERS)
def test_the_last_rows_are_the_same_share_of_every_text_format(tmp_path, format, compression):
    path = tmp_path / f"rows.{format}{compression}"
    rows = [(text, "good") for text in TEXTS]
    path.write_bytes(COMPRESSIONS[compression](WRITERS[format](rows).encode()))
    plan = scan(path).plan(block_bytes=500)
    assert tail_texts(plan, 0.25) == TEXTS[150:]
    assert tail_texts(measured(forgetting(plan)), 0.25) == TEXTS[150:]


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16"])
def test_a_share_of_a_file_in_another_encoding_is_one_of_its_text_in_utf_8(tmp_path, encoding):
    # In UTF-8 the first half of the rows is longer than the second.
    texts = [f"{'é' if i < 100 else 'e'}{i:03}" for i in range(200)]
    lines = "text,label\n" + "".join(f"{text},a\n" for text in texts)
    path = tmp_path / "rows.csv"
    path.write_bytes(lines.encode(encoding))
    plan = scan(path, encoding=encoding, format="csv").plan()
    # 100 rows of 8 bytes and 100 of 7: the last quarter of 1,500 bytes are 375, 53 rows.
    assert tail_texts(measured(plan), 0.25) == texts[-53:]


def test_a_record_belongs_to_the_side_where_it_starts(tmp_path):
    path = tmp_path / "rows.ft"
    path.write_text("__label__a short\n__label__a " + "long " * 100 + "\n__label__b last\n")
    assert tail_texts(scan(path).plan(), 0.4) == ["last"]


@pytest.mark.parametrize("group", [7, 64, 1000])
def test_rows_of_parquet_are_counted(tmp_path, group):
    texts = [f"{i} {'x' * (10 * i)}" for i in range(200)]
    out = io.BytesIO()
    pq.write_table(pa.table({"text": texts, "label": LABELS}), out, row_group_size=group)
    (tmp_path / "rows.parquet").write_bytes(out.getvalue())
    assert tail_texts(scan(tmp_path / "rows.parquet").plan(), 0.1) == texts[180:]


@pytest.mark.parametrize("n_rows", [1, 2, 3, 10, 101])
def test_rows_in_memory_are_counted_and_one_is_always_left(n_rows):
    plan = Dataset.from_memory(TEXTS[:n_rows], LABELS[:n_rows]).plan(block_bytes=30)
    n_held = round(0.5 * n_rows)
    assert n_held < n_rows
    assert tail_texts(plan, 0.5) == TEXTS[n_rows - n_held : n_rows]


def test_rows_that_are_bad_or_of_other_classes_count_as_rows():
    plan = Dataset.from_memory([*TEXTS[:8], None, "last"], ["a"] * 10).plan()
    assert tail_texts(plan, 0.2) == ["last"]


def test_each_file_has_a_tail(tmp_path):
    for number, part in enumerate((TEXTS[:50], TEXTS[50:])):
        data = _jsonl((text, "a") for text in part).encode()
        (tmp_path / f"{number}.jsonl.gz").write_bytes(gzip.compress(data))
    plan = forgetting(scan(tmp_path).plan())
    assert tail_texts(measured(plan), 0.2) == TEXTS[40:50] + TEXTS[170:]


def test_each_class_of_a_folder_tree_has_a_tail(tmp_path):
    for folder, n in (("ham", 10), ("ham spam", 5), ("spam", 1)):
        (tmp_path / folder).mkdir()
        for i in range(n):
            (tmp_path / folder / f"{i:02}.txt").write_text(f"{folder} {i}")
    held = tail_texts(scan(tmp_path).plan(block_bytes=20), 0.4)
    assert sorted(held) == ["ham 6", "ham 7", "ham 8", "ham 9", "ham spam 3", "ham spam 4"]


def test_nothing_is_read_for_files_whose_end_is_known(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text(_jsonl(zip(TEXTS, LABELS, strict=True)))
    plan = scan(path).plan()
    path.unlink()
    assert measured(plan) == plan


@pytest.mark.parametrize("threads", [1, 3])
def test_a_file_that_is_cut_off_ends_the_measuring_of_all(tmp_path, threads):
    data = gzip.compress(_jsonl(zip(TEXTS, LABELS, strict=True)).encode())
    for name in "abc":
        (tmp_path / f"{name}.jsonl.gz").write_bytes(data)
    plan = forgetting(scan(tmp_path).plan())
    cut = tmp_path / "b.jsonl.gz"
    cut.write_bytes(data[:-20])
    stamp = str(cut.stat().st_mtime_ns)
    files = [
        replace(file, size=len(data) - 20, stamp=stamp) if file.path == str(cut) else file
        for file in plan.files
    ]
    with pytest.raises(SourceError, match="truncated"):
        measured(replace(plan, files=tuple(files)), threads)


def test_a_file_that_was_changed_is_refused(tmp_path):
    path = tmp_path / "rows.jsonl.gz"
    path.write_bytes(gzip.compress(_jsonl(zip(TEXTS, LABELS, strict=True)).encode()))
    plan = forgetting(scan(path).plan())
    path.write_bytes(gzip.compress(b"{}"))
    with pytest.raises(SourceError, match="since the plan was made"):
        measured(plan)
