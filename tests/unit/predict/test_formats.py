import io
import json

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import csv, parquet

from manymill.predict.formats import FORMATS, format_named

names = st.text(st.characters(exclude_categories=["Cs"]), max_size=10)
rows = st.lists(st.tuples(names, st.integers(-(2**63), 2**63 - 1), st.floats(width=32)), max_size=20)


def batch(rows, name="label"):
    labels, places, scores = zip(*rows, strict=True) if rows else ((), (), ())
    columns = {name: pa.array(labels, pa.string()), "row": pa.array(places, pa.int64())}
    return pa.RecordBatch.from_pydict({**columns, "score": pa.array(np.array(scores, "f4"))})


def written(form, *batches):
    file, form = io.BytesIO(), format_named(form)
    writer = form.writer(file, batches[0].schema)
    for part in batches:
        writer.write(form.encode(part))
    writer.close()
    return file.getvalue()


@given(rows, names.filter(lambda name: name not in ("row", "score")))
@settings(deadline=None)
def test_json_lines_are_read_back_as_written(rows, name):
    lines = written("jsonl", batch(rows, name)).decode().split("\n")
    assert lines.pop() == ""
    for line, (label, place, score) in zip(lines, rows, strict=True):
        expected = np.float32(score) if np.isfinite(score) else None
        found = json.loads(line)
        assert (found[name], found["row"]) == (label, place)
        assert found["score"] is None if expected is None else np.float32(found["score"]) == expected


@given(rows, rows)
@settings(deadline=None)
def test_batches_follow_each_other_as_if_they_were_one(first, second):
    for form in ("jsonl", "csv"):
        assert written(form, batch(first), batch(second)) == written(form, batch(first + second))


@pytest.mark.parametrize("form", FORMATS)
def test_a_file_without_rows_can_be_read(form):
    data = written(form, batch([]))
    if form == "parquet":
        assert parquet.read_table(io.BytesIO(data)).column_names == ["label", "row", "score"]
    elif form == "csv":
        assert csv.read_csv(io.BytesIO(data)).column_names == ["label", "row", "score"]
    else:
        assert data == b""


def test_a_slice_of_a_batch_is_written_as_that_slice():
    whole = batch([(str(i), i, i / 2) for i in range(9)])
    for form in ("jsonl", "csv"):
        assert written(form, whole.slice(2, 3)) == written(
            form, batch([(str(i), i, i / 2) for i in (2, 3, 4)])
        )


def test_parquet_collects_batches_into_large_row_groups():
    part = batch([("a", i, 0.5) for i in range(1000)])
    file = parquet.ParquetFile(io.BytesIO(written("parquet", *[part] * 400)))
    assert file.metadata.num_rows == 400_000
    assert file.num_row_groups == 2
