"""The plan warns if the labels of its sample suggest that more will come, or that they are not classes."""

import json

import pytest

from manymill import scan


def warnings_of(tmp_path, labels, **options):
    path = tmp_path / "rows.jsonl"
    path.write_text(
        "".join(json.dumps({"text": f"some text {i}", "label": x}) + "\n" for i, x in enumerate(labels))
    )
    plan = scan(path, **options).plan(block_bytes=300_000, sample_bytes=600_000)
    return [text for text in plan.warnings if "in one row only" in text]


@pytest.mark.parametrize("n_rows", [100, 20_000])
def test_a_column_of_free_text_as_the_label_is_told(tmp_path, n_rows):
    (warning,) = warnings_of(tmp_path, [f"\x1bcomment {i}" for i in range(n_rows)])
    assert warning.isprintable()
    assert "--label" in warning
    assert "--classes" in warning
    assert ("will have a new label" in warning) == (n_rows == 20_000)


def test_a_few_labels_among_many_that_are_new_are_told_with_their_share(tmp_path):
    labels = [f"own {i}" if i % 10 == 0 else "ab"[i % 2] for i in range(20_000)]
    (warning,) = warnings_of(tmp_path, labels)
    assert "about 10% of the other rows will have a new label" in warning


def test_ordinary_classes_are_not_told_nor_those_that_were_named(tmp_path):
    assert not warnings_of(tmp_path, [f"class {i % 300}" for i in range(20_000)])
    assert not warnings_of(tmp_path, ["a", "b", "c"])
    free = ["a", "b"] * 100 + [f"comment {i}" for i in range(400)]
    assert not warnings_of(tmp_path, free, classes=["a", "b"])
