"""If classes are named, rows of all other classes are left out, whatever the format."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from manymill.data.dataset import Dataset, scan
from manymill.data.ledger import Ledger
from manymill.data.reader import read
from manymill.errors import SchemaError, SettingsError

ROWS = [("pos", "göod"), ("unsup", "never"), ("neg", ""), ("unsup", "mind"), ("pos", "fun")]
KEPT = [("neg", ""), ("pos", "fun"), ("pos", "göod")]


def _jsonl(folder):
    path = folder / "a.jsonl"
    path.write_text("".join(json.dumps({"text": t, "label": c, "w": 2}) + "\n" for c, t in ROWS))
    return path


def _csv(folder):
    (folder / "a.csv").write_text("label,text\n" + "".join(f"{c},{t}\n" for c, t in ROWS))
    return folder / "a.csv"


def _fasttext(folder):
    (folder / "a.ft").write_text("".join(f"__label__{c} {t}\n" for c, t in ROWS))
    return folder / "a.ft"


def _parquet(folder):
    columns = {"label": [c for c, _ in ROWS], "text": [t for _, t in ROWS]}
    pq.write_table(pa.table(columns), folder / "a.parquet")
    return folder / "a.parquet"


def _tree(folder):
    for number, (label, text) in enumerate(ROWS):
        (folder / "tree" / label).mkdir(parents=True, exist_ok=True)
        (folder / "tree" / label / f"{number}.txt").write_text(text)
    return folder / "tree"


@pytest.mark.parametrize("make", [_jsonl, _csv, _fasttext, _parquet, _tree])
def test_rows_of_another_class_are_left_out_and_counted(tmp_path, make):
    plan = scan(make(tmp_path), classes=["pos", "neg"], strict=True).plan()
    ledger, rows = Ledger(strict=True), []
    for batch in read(plan, seed=1):
        ledger.add(batch)
        rows += zip(batch.labels(), batch.texts(), strict=True)
    assert sorted(rows) == KEPT
    assert ledger.counts == {"other class": 2}
    assert [row.detail for row in ledger.first] == ["unsup", "unsup"]
    assert plan.class_counts == {"neg": 1, "pos": 2}


def test_data_in_memory_is_filtered_with_its_weights():
    from dataclasses import replace

    data = Dataset.from_memory([t for _, t in ROWS], [c for c, _ in ROWS], [1.0, 2.0, 3.0, 4.0, 5.0])
    (batch,) = read(replace(data, classes=("pos",)).plan())
    assert (batch.texts(), batch.weight.tolist(), batch.position.tolist()) == (
        ["göod", "fun"],
        [1, 5],
        [0, 4],
    )
    assert [row.where for row in batch.bad] == ["row 1", "row 2", "row 3"]


def test_a_row_of_another_class_is_placed_by_its_byte(tmp_path):
    path = _jsonl(tmp_path)
    (batch,) = read(scan(path, classes=["pos", "neg"]).plan())
    assert batch.bad[0].where == f"byte {len(path.read_bytes().splitlines(keepends=True)[0])}"


def test_a_named_class_that_is_not_in_the_sample_is_known(tmp_path):
    assert scan(_jsonl(tmp_path), classes=["pos", "rare"]).plan().class_counts == {"pos": 2, "rare": 0}


@pytest.mark.parametrize("classes", [[], "pos,neg", [""]])
def test_classes_have_to_be_a_list_of_labels(classes):
    with pytest.raises(SettingsError, match=r"classes=.* is invalid: expected"):
        scan("a.jsonl", classes=classes)


def test_without_labels_nothing_is_filtered(tmp_path):
    (batch,) = read(scan(_jsonl(tmp_path), classes=["pos"], labelled=False).plan())
    assert len(batch) == len(ROWS)


def test_classes_that_no_row_has_are_told(tmp_path):
    with pytest.raises(SchemaError, match=r"class not among the named classes.*check the classes"):
        scan(_jsonl(tmp_path), classes=["positive"]).plan()


def test_a_text_in_memory_may_be_of_any_length():
    data = Dataset.from_memory(["x " * (33 << 20), "y"], ["a", "b"])
    assert [batch.n_bad for batch in read(data.plan())] == [0, 0]


def test_every_block_of_data_in_memory_is_filtered_by_itself():
    from dataclasses import replace

    labels = [("pos", "neg", "unsup")[number * 7 % 3] for number in range(100)]
    data = Dataset.from_memory([f"text {number}" for number in range(100)], labels)
    plan = replace(data, classes=("pos", "unsup")).plan(block_bytes=60)
    rows = [row for batch in read(plan) for row in zip(batch.texts(), batch.labels(), strict=True)]
    assert len(plan.blocks) > 10
    assert rows == [(f"text {number}", label) for number, label in enumerate(labels) if label != "neg"]
