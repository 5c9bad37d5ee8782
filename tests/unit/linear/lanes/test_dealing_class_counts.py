"""Rows of each class are counted before lanes start."""

import json

import pytest

from manymill import Dataset, scan
from manymill.engine.selection import as_engine
from manymill.errors import SourceError
from manymill.linear.lanes.dealing import class_counts

LABELS = ["rare" if i == 777 else "b" if i % 3 else "a" for i in range(1000)]
COUNTS = {"a": 333, "b": 666, "rare": 1}


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps({"text": "word " * 9, "label": label}) + "\n" for label in LABELS))
    return path


def test_a_class_that_the_sample_missed_is_counted(file):
    plan = scan(file).plan(block_bytes=500, sample_bytes=2000)
    assert set(plan.class_counts) == {"a", "b"}
    with as_engine(threads=2) as engine:
        counts = class_counts(plan, engine)
    assert counts == COUNTS
    assert list(counts) == sorted(COUNTS)


def test_a_class_that_was_named_and_no_row_has_counts_0(file):
    plan = scan(file, classes=["b", "never"]).plan(block_bytes=500, sample_bytes=2000)
    with as_engine(threads=2) as engine:
        assert class_counts(plan, engine) == {"b": 666, "never": 0}


def test_data_in_memory_is_counted_here():
    plan = Dataset.from_memory(["some words"] * len(LABELS), LABELS).plan(block_bytes=500, sample_bytes=500)
    assert not plan.exact
    assert class_counts(plan, engine=None) == COUNTS


def test_what_the_plan_knows_exactly_is_not_read_again(file):
    plan = scan(file).plan()
    file.unlink()
    assert class_counts(plan, engine=None) == COUNTS


def test_a_file_that_has_changed_is_named(file):
    plan = scan(file).plan(block_bytes=500, sample_bytes=2000)
    file.write_text('{"text": "other", "label": "b"}\n')
    with as_engine(threads=2) as engine, pytest.raises(SourceError, match=r"rows\.jsonl"):
        class_counts(plan, engine)
