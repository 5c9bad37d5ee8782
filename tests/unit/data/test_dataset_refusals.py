"""A source that cannot be read is refused with the reason and a hint."""

import re
import sys

import pytest
import zstandard

from manymill.data import files
from manymill.data.dataset import scan
from manymill.data.reader import read
from manymill.errors import SchemaError, SettingsError, SourceError


def _tree(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("one, two")


@pytest.mark.parametrize(
    "encoding", ["idna", "punycode", "undefined", "hex", "rot13", "nope", "utf\0", "base64"]
)
def test_an_encoding_that_gives_no_text_is_refused(encoding):
    with pytest.raises(SettingsError, match=r"encoding=.* is invalid: expected a text encoding"):
        scan("a.jsonl", encoding=encoding)


def test_a_missing_url_does_not_name_the_working_directory():
    with pytest.raises(SourceError) as caught:
        scan("memory://not/there.jsonl").plan()
    assert "does not exist" in str(caught.value)
    assert "working directory" not in str(caught.value)


def test_a_closed_standard_input_is_told(monkeypatch):
    monkeypatch.setattr(files, "_spools", [])
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(SourceError, match="the standard input is closed"):
        scan("-").plan()


def test_a_folder_tree_may_be_named_as_one(tmp_path):
    _tree(tmp_path, "pos/1.csv", "neg/2.csv")
    plan = scan(tmp_path, format="folder").plan()
    assert sorted(row for batch in read(plan) for row in batch.labels()) == ["neg", "pos"]


def test_a_file_is_no_folder_tree(tmp_path):
    _tree(tmp_path, "a.txt")
    with pytest.raises(SourceError, match=r"a\.txt is not a folder"):
        scan(tmp_path / "a.txt", format="folder").plan()


def test_a_folder_of_train_and_test_is_no_tree_of_classes(tmp_path):
    _tree(tmp_path, "README", "train/urls.txt", "train/pos/1.txt", "train/neg/2.txt", "test/pos/1.txt")
    with pytest.raises(SourceError, match=r"test, train: splits of a data set.*name one of them: .*/train"):
        scan(tmp_path).plan()


def test_classes_may_be_called_train_and_test(tmp_path):
    _tree(tmp_path, "train/1.txt", "test/1.txt")
    assert scan(tmp_path).plan().class_counts == {"test": 1, "train": 1}


def test_plain_texts_without_folders_of_classes_are_refused(tmp_path):
    _tree(tmp_path, "1.txt", "2.txt")
    with pytest.raises(SourceError, match="contains plain text files but no class folders"):
        scan(tmp_path).plan()


def test_a_cut_off_file_that_gives_nothing_is_not_called_empty(tmp_path):
    (tmp_path / "a.jsonl.zst").write_bytes(zstandard.compress(b'{"text": "a", "label": "b"}\n' * 9)[:12])
    with pytest.raises(SourceError, match="is truncated"):
        scan(tmp_path / "a.jsonl.zst").plan()


def test_a_text_inside_an_object_is_a_missing_text(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"document_": {"text": "fine"}, "label": "b"}\n' * 3)
    with pytest.raises(SchemaError, match="no column looks like text"):
        scan(tmp_path / "a.jsonl").plan()


def test_a_label_that_is_named_as_the_weight_is_told(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"text": "fine", "label": "b"}\n' * 3)
    with pytest.raises(SchemaError, match=r"looks like a label.*'label' is already the weight"):
        scan(tmp_path / "a.jsonl", weight="label").plan()


@pytest.mark.parametrize(
    "parameter",
    [
        {"text": 0}, {"label": ["label"]}, {"weight": 1.0}, {"encoding": None}, {"classes": 3}, {"strict": 1},
        {"labelled": "no"}, {"max_record_bytes": 2**63}, {"source": 3}, {"source": [3]},
    ],
    ids=str,
)  # fmt: skip
def test_a_parameter_of_another_type_is_named_with_its_value(parameter):
    ((name, value),) = parameter.items()
    with pytest.raises(SettingsError, match=re.escape(f"{name}={value!r} is invalid: expected ")):
        scan(**{"source": "a.jsonl", **parameter})
