import io
import json
import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import csv, parquet

from manymill import _core
from manymill.errors import PlanError, RowError, RunFolderError, SourceError
from manymill.model import LinearModel, probabilities
from manymill.predict import Columns, predict, predict_stream
from manymill.storage.outputs import Outputs


def read_lines(path):
    return [json.loads(line) for line in Path(path).read_text().splitlines()]


def expected_scores(model: LinearModel, path):
    """The slow twin: one document at a time, in float64."""
    analyzer, result = model.analyzer, []
    hasher = _core.Hasher(ngram_range=analyzer.ngram_range, lowercase=analyzer.lowercase)
    for row in read_lines(path):
        hashed = hasher.hash_strings([row["text"]])
        rows = hashed.to_rows(analyzer.n_features, value=analyzer.value, norm=analyzer.norm)
        _, indices, values = rows.arrays()
        result.append(values.astype(float) @ model.weights[indices].astype(float) + model.intercept)
    return np.array(result)


@pytest.mark.parametrize("classes", [("neg", "pos"), ("a", "b", "c"), (5, 3, 4)])
def test_every_row_has_the_label_and_score_of_the_slow_twin(make_model, write_rows, plan, tmp_path, classes):
    model, path = make_model(classes), write_rows("in.jsonl", 60)
    (result,) = predict(model, plan(path), tmp_path / "out", columns=Columns(scores=True), threads=2)
    scores = expected_scores(model, path)
    by_class = np.hstack([-scores, scores]) if len(classes) == 2 else scores
    rows = read_lines(result.part)
    assert [row["label"] for row in rows] == [classes[i] for i in by_class.argmax(axis=1)]
    np.testing.assert_allclose([row["score"] for row in rows], by_class.max(axis=1), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(
        [[row[f"score_{c}"] for c in classes] for row in rows], by_class, rtol=1e-3, atol=1e-5
    )


def test_probabilities_are_those_of_the_scores(make_model, write_rows, plan, tmp_path):
    model, path = make_model(("a", "b", "c")), write_rows("in.jsonl", 20)
    columns = Columns(probabilities=True)
    (result,) = predict(model, plan(path), tmp_path / "out", columns=columns, threads=1)
    given = [[row[f"probability_{c}"] for c in "abc"] for row in read_lines(result.part)]
    np.testing.assert_allclose(given, probabilities(expected_scores(model, path), "softmax"), rtol=1e-4)


@pytest.mark.parametrize("form", ["jsonl", "csv", "parquet"])
def test_part_files_have_the_same_bytes_for_any_number_of_threads(model, write_rows, plan, tmp_path, form):
    paths = [write_rows("a.jsonl", 300), write_rows("b.jsonl", 1), write_rows("c.jsonl", 200, bad_every=9)]
    parts = []
    for threads in (1, 4):
        results = predict(model, plan(*paths), tmp_path / f"{threads}", format=form, threads=threads)
        parts.append([Path(result.part).read_bytes() for result in results])
    assert parts[0] == parts[1]


def test_all_formats_say_the_same(model, write_rows, plan, tmp_path):
    path, columns = write_rows("in.jsonl", 150), Columns(scores=True, probabilities=True)
    part = {}
    for form in ("jsonl", "csv", "parquet"):
        (result,) = predict(model, plan(path), tmp_path / "out", format=form, columns=columns, threads=2)
        part[form] = result.part
    table = parquet.read_table(part["parquet"])
    rows = read_lines(part["jsonl"])
    assert list(rows[0]) == table.column_names == csv.read_csv(part["csv"]).column_names
    for name in table.column_names:
        values = table[name].to_pylist()
        for other in ([row[name] for row in rows], csv.read_csv(part["csv"])[name].to_pylist()):
            assert (
                other == values if name in ("position", "label") else other == pytest.approx(values, rel=1e-6)
            )


def test_rows_are_named_by_their_place_and_bad_rows_go_to_a_ledger(model, write_rows, plan, tmp_path):
    path = write_rows("in.jsonl", 40, bad_every=10)
    (result,) = predict(model, plan(path), tmp_path / "out", threads=2)
    text = path.read_bytes()
    for row in read_lines(result.part):
        assert text[row["position"] :].startswith(b'{"text"')
    assert (result.n_rows, sum(result.bad_counts.values())) == (36, 4)
    assert [row["file"] for row in read_lines(result.bad_rows)] == [str(path)] * 4


def test_rows_of_parquet_are_named_by_their_number(model, plan, tmp_path):
    texts = ["a", None, "b", "c"]
    parquet.write_table(pa.table({"text": pa.array(texts)}), tmp_path / "in.parquet", row_group_size=2)
    (result,) = predict(model, plan(tmp_path / "in.parquet"), tmp_path / "out", threads=2)
    assert parquet.read_table(result.part)["position"].to_pylist() == [0, 2, 3]


def test_a_byte_order_mark_counts_in_the_position_as_in_the_file(model, plan, tmp_path):
    path = tmp_path / "in.jsonl"
    path.write_bytes(b'\xef\xbb\xbf{"text": "a"}\n{"text": "b"}\n')
    (result,) = predict(model, plan(path), tmp_path / "out", threads=2)
    assert [row["position"] for row in read_lines(result.part)] == [3, 17]


def test_a_finished_part_is_skipped_and_only_a_changed_input_made_again(model, write_rows, plan, tmp_path):
    paths, out = [write_rows("a.jsonl", 5), write_rows("b.jsonl", 5, bad_every=2)], tmp_path / "out"
    first = predict(model, plan(*paths), out, threads=2)
    again = predict(model, plan(*paths), out, threads=2)
    assert [result.skipped for result in again] == [True, True]
    assert [r.n_rows for r in again] == [r.n_rows for r in first]
    assert [r.bad_counts for r in again] == [r.bad_counts for r in first]
    write_rows("b.jsonl", 9)
    third = predict(model, plan(*paths), out, threads=2)
    assert [result.skipped for result in third] == [True, False]
    assert third[1].n_rows == 9
    assert not third[1].bad_counts


def test_another_model_or_other_columns_make_parts_again(make_model, write_rows, plan, tmp_path):
    model, the_plan, out = make_model(seed=1), plan(write_rows("a.jsonl", 5)), tmp_path / "out"
    predict(model, the_plan, out, threads=1)
    assert not predict(make_model(seed=2), the_plan, out, threads=1)[0].skipped
    assert not predict(make_model(seed=2), the_plan, out, columns=Columns(scores=True), threads=1)[0].skipped


def test_a_part_that_is_gone_is_made_again(model, write_rows, plan, tmp_path):
    the_plan, out = plan(write_rows("a.jsonl", 5)), tmp_path / "out"
    (first,) = predict(model, the_plan, out, threads=1)
    whole = Path(first.part).read_bytes()
    os.remove(first.part)
    (second,) = predict(model, the_plan, out, threads=1)
    assert not second.skipped
    assert Path(second.part).read_bytes() == whole


@pytest.mark.parametrize("damage", ["cut part", "change part", "damage record"])
def test_a_part_that_is_not_as_recorded_is_replaced_only_if_asked(model, write_rows, plan, tmp_path, damage):
    the_plan, out = plan(write_rows("a.jsonl", 5)), tmp_path / "out"
    part = Path(predict(model, the_plan, out, threads=1)[0].part)
    whole = part.read_bytes()
    if damage == "cut part":
        os.truncate(part, 10)
    elif damage == "change part":
        part.write_bytes(whole.swapcase())
    else:
        (out / ".manymill" / "a.jsonl.done").write_text("[1]")
    damaged = part.read_bytes()
    with pytest.raises(RunFolderError, match=r"a\.jsonl exists, and is not an unchanged output of manymill"):
        predict(model, the_plan, out, threads=1)
    assert part.read_bytes() == damaged
    (again,) = predict(model, the_plan, out, threads=1, overwrite=True)
    assert not again.skipped
    assert part.read_bytes() == whole


def test_a_list_of_bad_rows_that_was_damaged_is_made_again_with_its_part(model, write_rows, plan, tmp_path):
    path = write_rows("a.jsonl", 30, bad_every=7)
    (first,) = predict(model, plan(path), tmp_path / "out", threads=1)
    listed = Path(first.bad_rows).read_bytes()
    for damaged in (listed[:-9], listed.replace(b":", b";", 1), b""):
        Path(first.bad_rows).write_bytes(damaged)
        (again,) = predict(model, plan(path), tmp_path / "out", threads=1)
        assert not again.skipped
        assert Path(first.bad_rows).read_bytes() == listed


def test_a_record_with_any_byte_changed_is_not_believed(model, write_rows, plan, tmp_path):
    path = write_rows("a.jsonl", 30)
    predict(model, plan(path), tmp_path / "out", threads=1)
    record = tmp_path / "out" / ".manymill" / "a.jsonl.done"
    whole = record.read_bytes()
    for place in range(0, len(whole), 7):
        record.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises(
            RunFolderError, match=r"a\.jsonl exists, and is not an unchanged output of manymill"
        ):
            predict(model, plan(path), tmp_path / "out", threads=1)


def test_a_list_of_bad_rows_that_cannot_be_written_is_told_and_the_part_kept(
    model, write_rows, plan, tmp_path, monkeypatch
):
    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Outputs, "write_bad_rows", full)
    (result,) = predict(model, plan(write_rows("a.jsonl", 9, bad_every=2)), tmp_path / "out", threads=1)
    assert "No space left" in result.warning
    assert result.bad_rows is None
    assert Path(result.part).exists()


def test_an_unreadable_input_leaves_the_parts_before_it_and_no_half_part(model, write_rows, plan, tmp_path):
    paths, out = [write_rows(f"{name}.jsonl", 200) for name in "abc"], tmp_path / "out"
    the_plan = plan(*paths)
    paths[1].unlink()
    with pytest.raises(SourceError, match=r"b\.jsonl"):
        predict(model, the_plan, out, threads=3)
    left = sorted(path.name for path in out.rglob("*") if path.is_file())
    assert set(left) <= {"a.jsonl", "a.jsonl.done", ".lock", "work-lock", ".manymill.json"}
    write_rows("b.jsonl", 200)
    results = predict(model, plan(*paths), out, threads=3)
    assert [result.n_rows for result in results] == [200, 200, 200]


def test_a_strict_plan_stops_at_a_bad_row_and_keeps_nothing_of_that_part(model, write_rows, plan, tmp_path):
    the_plan = plan(write_rows("a.jsonl", 50, bad_every=20), strict=True)
    with pytest.raises(RowError, match=r"a\.jsonl"):
        predict(model, the_plan, tmp_path / "out", threads=2)
    assert not (tmp_path / "out" / "a.jsonl").exists()


class FullDisk:
    """A file that takes some bytes and then no more."""

    def __init__(self, file, room):
        self.file, self.room = file, room

    def __getattr__(self, name):
        return getattr(self.file, name)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.file.close()

    def write(self, data):
        self.room -= len(data)
        if self.room < 0:
            raise OSError(28, "No space left on device")
        return self.file.write(data)


@pytest.mark.parametrize("form", ["jsonl", "csv", "parquet"])
def test_a_full_disk_is_a_clear_error_and_leaves_the_old_part(
    make_model, write_rows, plan, tmp_path, monkeypatch, form
):
    the_plan, out = plan(write_rows("a.jsonl", 200)), tmp_path / "out"
    (old,) = predict(make_model(seed=1), the_plan, out, format=form, threads=1)
    before = Path(old.part).read_bytes()
    opened = open
    monkeypatch.setattr(
        "manymill.predict.parts.open", lambda *args: FullDisk(opened(*args), 1000), raising=False
    )
    with pytest.raises(RunFolderError, match=f"a.{form}: No space left"):
        predict(make_model(seed=2), the_plan, out, format=form, threads=2)
    assert Path(old.part).read_bytes() == before
    assert not list(out.rglob(".manymill-work-*"))


def test_two_predictions_into_one_folder_at_once_are_refused(model, write_rows, plan, tmp_path):
    the_plan = plan(write_rows("a.jsonl", 5))

    def second(result):
        with pytest.raises(RunFolderError, match="another prediction"):
            predict(model, the_plan, tmp_path / "out", threads=1)

    assert len(predict(model, the_plan, tmp_path / "out", threads=1, on_part=second)) == 1


def test_what_the_model_cannot_give_is_refused_before_reading(make_model, write_rows, plan, tmp_path):
    the_plan, model = plan(write_rows("a.jsonl", 5)), make_model(loss="hinge")
    with pytest.raises(PlanError, match="hinge"):
        predict(model, the_plan, tmp_path / "out", columns=Columns(probabilities=True), threads=1)
    with pytest.raises(PlanError, match="excel"):
        predict(model, the_plan, tmp_path / "out", format="excel", threads=1)
    assert not (tmp_path / "out").exists()


def test_a_stream_has_the_rows_of_all_inputs_in_order_with_their_names(model, write_rows, plan):
    paths, stream = [write_rows("b.jsonl", 30), write_rows("a.jsonl", 40, bad_every=20)], io.BytesIO()
    ledger = predict_stream(model, plan(*paths), stream, threads=3)
    rows = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [row["file"] for row in rows] == [str(paths[0])] * 30 + [str(paths[1])] * 38
    assert (ledger.n_used, ledger.n_rejected) == (68, 2)


def test_a_stream_and_a_part_of_one_input_have_the_same_bytes(model, write_rows, plan, tmp_path):
    the_plan = plan(write_rows("a.jsonl", 90))
    for form in ("jsonl", "csv"):
        stream = io.BytesIO()
        predict_stream(model, the_plan, stream, format=form, threads=2)
        (result,) = predict(model, the_plan, tmp_path / "out", format=form, threads=2)
        assert Path(result.part).read_bytes() == stream.getvalue()


def test_a_reader_that_has_gone_ends_the_stream(model, write_rows, plan):
    reading, writing = os.pipe()
    os.close(reading)
    with pytest.raises(BrokenPipeError), open(writing, "wb", buffering=0) as stream:
        predict_stream(model, plan(write_rows("a.jsonl", 3000)), stream, threads=2)


def test_thousands_of_classes_are_scored_in_bounded_pieces(
    make_model, write_rows, plan, tmp_path, monkeypatch
):
    model = make_model(tuple(f"class {i}" for i in range(500)), n_features=64)
    the_plan = plan(write_rows("a.jsonl", 50))
    whole, pieces = io.BytesIO(), io.BytesIO()
    predict_stream(model, the_plan, whole, threads=1)
    monkeypatch.setattr("manymill.scoring.MAX_SCORES", 1200)
    predict_stream(model, the_plan, pieces, threads=2)
    assert pieces.getvalue() == whole.getvalue()
