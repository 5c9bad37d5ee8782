import json
from dataclasses import replace

import numpy as np
import pytest

from manymill import Dataset, scan
from manymill.data.ledger import Ledger
from manymill.engine.local import workers
from manymill.linear.row_stream import Lane
from manymill.linear.settings import Settings

N_ROWS = 300
TEXTS = [f"word{i} " * (1 + i % 7) for i in range(N_ROWS)]
LABELS = ["b" if i % 3 else "a" for i in range(N_ROWS)]
# Blocks of a few rows and windows of a few blocks, so that there are several of each.
SETTINGS = Settings(recipe="fast", n_features=2**30, window_bytes=4000, passes=3, value="count", norm=None)
PLAN = Dataset.from_memory(TEXTS, LABELS).plan(block_bytes=800)


@pytest.fixture
def lane():
    """Makes lanes whose threads end with the test."""
    with workers(4) as executor:

        def make(
            settings=SETTINGS,
            plan=PLAN,
            threads=2,
            classes=(),
            on_new_classes=lambda n_known, names, where: None,
        ):
            return Lane(
                plan,
                settings,
                executor=executor,
                threads=threads,
                classes=classes,
                ledger=Ledger(),
                on_new_classes=on_new_classes,
            )

        yield make


@pytest.fixture
def nothing_kept(monkeypatch):
    """Every pass reads and hashes anew, as with large data."""
    monkeypatch.setattr("manymill.linear.row_stream.CACHE_BYTES", 0)


def contents(lessons):
    """Each lesson's arrays as plain values."""
    return [
        (*(array.tolist() for array in lesson.rows.arrays()), lesson.classes.tolist(), lesson.share)
        for lesson in lessons
    ]


def rows_of(lessons):
    """Feature, count and class of each row; every row has one word, so one feature."""
    return [
        (int(feature), float(value), int(code))
        for lesson in lessons
        for feature, value, code in zip(*lesson.rows.arrays()[1:], lesson.classes, strict=True)
    ]


def test_a_pass_has_every_row_once(lane):
    found = rows_of(lane().feature_batches(0))
    assert len({feature for feature, _, _ in found}) == len(found) == N_ROWS
    assert sorted(value for _, value, _ in found) == sorted(1.0 + i % 7 for i in range(N_ROWS))


@pytest.mark.parametrize("again", [0, 1], ids=["first pass", "second pass"])
def test_lessons_do_not_depend_on_the_number_of_threads(lane, nothing_kept, again):
    one, many = (contents(lane(threads=n).feature_batches(again)) for n in (1, 4))
    assert len(one) > 1
    assert one == many


@pytest.mark.parametrize("cache_bytes", [0, 80 << 20], ids=["read again", "kept"])
def test_a_later_pass_has_the_same_rows_in_another_order(lane, monkeypatch, cache_bytes):
    monkeypatch.setattr("manymill.linear.row_stream.CACHE_BYTES", cache_bytes)
    stream = lane()
    first, second, third = (rows_of(stream.feature_batches(number)) for number in range(3))
    assert sorted(first) == sorted(second) == sorted(third)
    assert first != second != third != first


def test_kept_rows_are_hashed_once(lane, monkeypatch):
    stream = lane()
    first = rows_of(stream.feature_batches(0))
    monkeypatch.setattr("manymill.linear.row_stream.read", None)
    assert sorted(rows_of(stream.feature_batches(1))) == sorted(first)


def test_rows_larger_than_foreseen_are_not_kept(lane, monkeypatch):
    stream = lane()
    monkeypatch.setattr("manymill.linear.row_stream.CACHE_BYTES", 100)
    first = rows_of(stream.feature_batches(0))
    assert sorted(rows_of(stream.feature_batches(1))) == sorted(first)
    assert stream._cached is None


def test_another_seed_is_another_order(lane):
    other = Settings(**{**SETTINGS.to_json(), "seed": 1})
    assert rows_of(lane().feature_batches(0)) != rows_of(lane(other).feature_batches(0))


@pytest.fixture
def file_plan(tmp_path):
    """The same rows from a file."""
    path = tmp_path / "rows.jsonl"
    lines = (json.dumps({"text": t, "label": c}) for t, c in zip(TEXTS, LABELS, strict=True))
    path.write_text("\n".join(lines))
    return scan(path).plan(block_bytes=800)


def test_the_share_that_is_over_rises_to_one(lane, file_plan):
    shares = [lesson.share for lesson in lane(plan=file_plan).feature_batches(0)]
    assert shares == sorted(shares)
    assert 0 < shares[0] < 0.5
    assert shares[-1] == pytest.approx(1)


def test_held_out_rows_are_in_no_lesson_of_any_pass(lane, nothing_kept):
    stream = lane(Settings(**{**SETTINGS.to_json(), "holdout": 0.3}))
    learnt = {feature for number in range(2) for feature, _, _ in rows_of(stream.feature_batches(number))}
    held = {int(feature) for rows, _ in stream.holdout for feature in rows.arrays()[1]}
    assert len(held) + len(learnt) == N_ROWS
    assert held
    assert not held & learnt


def test_the_seed_does_not_choose_what_is_held_out(lane):
    def held_out(seed):
        stream = lane(Settings(**{**SETTINGS.to_json(), "holdout": 0.3, "seed": seed}))
        list(stream.feature_batches(0))
        return sorted(int(feature) for rows, _ in stream.holdout for feature in rows.arrays()[1])

    assert held_out(0) == held_out(1)


def test_classes_met_first_now_are_told_and_have_a_number(lane):
    reports = []
    stream = lane(plan=replace(PLAN, class_counts={"b": 1}), on_new_classes=lambda *new: reports.append(new))
    lessons = list(stream.feature_batches(0))
    ((n_known, names, where),) = reports
    assert (n_known, names) == (1, ("a",))
    assert LABELS[int(where.removeprefix("memory, row "))] == "a"
    assert stream.index.names == ("b", "a")
    assert lessons[-1].n_classes == len(stream.index) == 2


def test_classes_that_are_known_are_numbered_first_and_not_told(lane):
    reports = []
    stream = lane(classes=["b", "a", "never"], on_new_classes=lambda *new: reports.append(new))
    list(stream.feature_batches(0))
    assert stream.index.names == ("a", "b", "never")
    assert not reports


def test_rows_of_another_plan_come_in_their_own_order_and_unknown_classes_are_minus_one(lane):
    stream = lane(classes=["a", "b"])
    other = Dataset.from_memory(["one", "two words", "three"], ["b", "new", "a"]).plan()
    (rows, classes), *rest = stream.hash_plan(other)
    assert not rest
    assert np.diff(rows.arrays()[0]).tolist() == [1, 2, 1]
    assert classes.tolist() == [1, -1, 0]
