"""Hashing files into one file: equal to scikit-learn's, whole or not at all."""

import json
import os
from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.datasets import load_svmlight_file
from sklearn.feature_extraction.text import HashingVectorizer

from manymill import scan
from manymill.errors import RowError, RunFolderError, SettingsError
from manymill.features import FeatureSettings, write_features
from manymill.hash_form import DocumentHasher, word_form

TEXTS = [f"some w{i} words ünïcödé {'more ' * (i % 9)}" for i in range(3000)]


def source(folder, labels, *, name="rows.jsonl", extra=""):
    path = folder / name
    rows = zip(TEXTS, labels * len(TEXTS), strict=False)
    lines = [json.dumps({"text": text, "label": label}) + "\n" for text, label in rows]
    path.write_text("".join(lines) + extra)
    return path


def write(path, out, *, labelled=True, threads=2, strict=False, block_bytes=1 << 14, **settings):
    kind = {key: settings.pop(key) for key in ("format", "compressed", "overwrite") if key in settings}
    plan = scan(str(path), labelled=labelled, strict=strict).plan(block_bytes=block_bytes)
    return write_features(plan, out, FeatureSettings(**settings), threads=threads, **kind)


def assert_same(X, Y):
    assert X.shape == Y.shape
    for name in ("data", "indices", "indptr"):
        assert getattr(X, name).dtype == getattr(Y, name).dtype
        np.testing.assert_array_equal(getattr(X, name), getattr(Y, name))


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"ngram_range": (1, 2), "n_features": 1000, "dtype": "float32"},
        {"lowercase": False, "norm": None, "binary": True, "alternate_sign": False},
        {"norm": "l1", "compressed": True},
        {"analyzer": "char_wb", "ngram_range": (2, 3)},
    ],
    ids=str,
)
def test_the_matrix_is_that_of_scikit_learn(tmp_path, settings):
    write(source(tmp_path, ["a", "b"]), tmp_path / "X.npz", **settings)
    settings = {key: value for key, value in settings.items() if key != "compressed"}
    settings["dtype"] = np.dtype(settings.get("dtype", "float64")).type
    assert_same(sp.load_npz(tmp_path / "X.npz"), HashingVectorizer(**settings).transform(TEXTS))


@pytest.mark.parametrize("characters", [None, (2, 3)])
def test_with_words_of_unicode_and_characters_the_features_are_those_of_a_training(tmp_path, characters):
    settings = {"unicode_words": True, "char_ngram_range": characters, "norm": None, "alternate_sign": False}
    write(source(tmp_path, ["a", "b"]), tmp_path / "X.npz", **settings, n_features=2**18, dtype="float32")
    form = replace(word_form((1, 1)), token_pattern=None, char_ngram_range=characters)
    offsets = np.cumsum([0, *(len(text.encode()) for text in TEXTS)])
    data = np.frombuffer("".join(TEXTS).encode(), np.uint8)
    every = np.arange(len(TEXTS), dtype=np.uint32)
    rows = DocumentHasher(form).rows(
        [(data, offsets)], np.zeros_like(every), every, 2**18, value="count", norm=None
    )
    indptr, indices, values = rows.arrays()
    expected = sp.csr_matrix((values, indices, indptr), (len(TEXTS), 2**18))
    assert (sp.load_npz(tmp_path / "X.npz") != expected).nnz == 0


@pytest.mark.parametrize("settings", [{"unicode_words": True}, {"char_ngram_range": (3, 3)}])
def test_features_beside_words_are_refused_without_words(settings):
    with pytest.raises(SettingsError, match="is invalid: expected only with analyzer='word'"):
        FeatureSettings(analyzer="char", **settings)


@pytest.mark.parametrize(("labels", "dtype"), [(["b", "ä"], "<U1"), ([3, -1], "int64"), ([2**70, 1], "<U22")])
def test_labels_stand_beside_the_matrix(tmp_path, labels, dtype):
    features = write(source(tmp_path, labels), tmp_path / "X.npz")
    found = np.load(features.labels)
    assert found.dtype == dtype
    assert [str(label) for label in found[:4]] == [str(label) for label in labels * 2]
    assert len(found) == features.n_rows == len(TEXTS)


@pytest.mark.parametrize("form", ["npz", "svmlight"])
def test_threads_and_blocks_decide_no_byte(tmp_path, form):
    path = source(tmp_path, ["a", "b"])
    for name, threads, block_bytes in (("one", 1, 1 << 20), ("three", 3, 1 << 12)):
        write(path, tmp_path / name, format=form, threads=threads, block_bytes=block_bytes)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "three").read_bytes()


def test_svmlight_reads_back_as_the_same_matrix(tmp_path):
    write(source(tmp_path, [7, -2]), tmp_path / "X.svm", format="svmlight")
    X, y = load_svmlight_file(str(tmp_path / "X.svm"), n_features=2**20, zero_based=False)
    Y = HashingVectorizer().transform(TEXTS)
    np.testing.assert_array_equal(X.data, Y.data)
    np.testing.assert_array_equal(X.indices, Y.indices)
    assert y.tolist() == [7.0, -2.0] * (len(TEXTS) // 2)


def test_svmlight_has_names_of_text_labels_beside_it(tmp_path):
    features = write(source(tmp_path, ["b", "a"]), tmp_path / "X.svm", format="svmlight")
    assert features.labels == str(tmp_path / "X.labels.json")
    assert json.loads((tmp_path / "X.labels.json").read_text()) == ["b", "a"]
    assert [line[:2] for line in (tmp_path / "X.svm").read_text().splitlines()[:3]] == ["0 ", "1 ", "0 "]


def test_svmlight_refuses_a_text_label_after_integers(tmp_path):
    late = json.dumps({"text": "late", "label": "none"}) + "\n"
    with pytest.raises(RowError, match="a later one is not"):
        write(source(tmp_path, [1, 2], extra=late), tmp_path / "X.svm", format="svmlight")


@pytest.mark.parametrize("form", ["npz", "svmlight"])
def test_without_labels_there_is_only_the_matrix(tmp_path, form):
    features = write(source(tmp_path, ["a"]), tmp_path / "out" / "X", labelled=False, format=form)
    assert features.labels is None
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [".manymill", "X"]


def test_bad_records_are_listed_and_left_out(tmp_path):
    features = write(source(tmp_path, ["a", "b"], extra="no JSON\n"), tmp_path / "X.npz")
    assert features.bad_counts == {"broken JSON": 1}
    assert json.loads((tmp_path / "X.bad_rows.jsonl").read_text())["reason"] == "broken JSON"
    assert sp.load_npz(tmp_path / "X.npz").shape[0] == len(TEXTS)


def test_a_run_that_fails_leaves_what_was_there(tmp_path):
    (tmp_path / "X.npz").write_text("old")
    with pytest.raises(RowError, match="invalid JSON"):
        write(
            source(tmp_path, ["a", "b"], extra="no JSON\n"), tmp_path / "X.npz", strict=True, overwrite=True
        )
    assert (tmp_path / "X.npz").read_text() == "old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["X.npz", "rows.jsonl"]


@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("X.npz", "npz"),
        ("X.labels.npy", "npz"),
        ("X.labels.json", "svmlight"),
        ("X.bad_rows.jsonl", "npz"),
        ("link", "npz"),
    ],
)
def test_what_is_read_is_never_replaced(tmp_path, name, form):
    path = source(tmp_path, ["a", "b"], name=name if name != "link" else "rows.jsonl")
    (tmp_path / "X.npz").hardlink_to(path) if name == "link" else None
    before = path.read_bytes()
    with pytest.raises(RunFolderError, match="is an input"):
        write(path, tmp_path / "X.npz", format=form)
    assert path.read_bytes() == before


def test_a_member_of_a_folder_that_is_read_is_never_replaced(tmp_path):
    for label in ("neg", "pos"):
        (tmp_path / "rows" / label).mkdir(parents=True)
        (tmp_path / "rows" / label / "1.txt").write_text("some text")
    with pytest.raises(RunFolderError, match="is an input"):
        write(tmp_path / "rows", tmp_path / "rows" / "pos" / "1.txt")


def test_a_matrix_needs_a_name(tmp_path):
    with pytest.raises(RunFolderError, match="is not a file name"):
        write(source(tmp_path, ["a"]), "")


def test_what_is_no_file_is_never_replaced(tmp_path):
    os.mkfifo(tmp_path / "X.npz")
    with pytest.raises(RunFolderError, match="is not a regular file"):
        write(source(tmp_path, ["a"]), tmp_path / "X.npz")


def test_labels_and_bad_rows_of_an_earlier_run_do_not_stand_beside_another_matrix(tmp_path):
    write(source(tmp_path, ["a", "b"], extra="no JSON\n"), tmp_path / "X.npz")
    write(source(tmp_path, ["a", "b"]), tmp_path / "X.npz", labelled=False)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".manymill", "X.npz", "rows.jsonl"]


def test_labels_of_others_beside_the_matrix_stay_and_are_told_of(tmp_path):
    np.save(tmp_path / "X.labels.npy", [1])
    features = write(source(tmp_path, ["a"]), tmp_path / "X.npz", labelled=False, overwrite=True)
    assert np.load(tmp_path / "X.labels.npy").tolist() == [1]
    assert "X.labels.npy is not from this run" in features.warnings[0]


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_file_that_was_changed_since_is_replaced_only_if_asked(tmp_path, overwrite):
    path, out = source(tmp_path, ["a", "b"]), tmp_path / "X.npz"
    write(path, out)
    (whole := out.read_bytes()) and out.write_bytes(whole + b"mine")
    if overwrite:
        write(path, out, overwrite=True)
    else:
        with pytest.raises(RunFolderError, match="is not an unchanged output"):
            write(path, out)
    assert out.read_bytes() == whole + (b"" if overwrite else b"mine")


def test_a_list_of_bad_rows_that_cannot_be_written_is_told(tmp_path, monkeypatch):
    def full(path, mode):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("manymill.data.ledger.open_own", full)
    features = write(source(tmp_path, ["a", "b"], extra="no JSON\n"), tmp_path / "X.npz")
    assert "No space left" in features.warnings[0]
    assert features.bad_rows is None


def test_bad_rows_stay_until_a_run_is_complete(tmp_path):
    write(source(tmp_path, ["a", "b"], extra="no JSON\n"), tmp_path / "X.npz")
    with pytest.raises(RowError, match="invalid JSON"):
        write(tmp_path / "rows.jsonl", tmp_path / "X.npz", strict=True)
    assert len((tmp_path / "X.bad_rows.jsonl").read_text().splitlines()) == 1


def test_a_text_as_a_label_is_an_error_and_takes_no_memory(tmp_path):
    late = json.dumps({"text": "late", "label": "long " * 10**6}) + "\n"
    with pytest.raises(RowError, match="a label has 5,000,000 characters"):
        write(source(tmp_path, ["a", "b"], extra=late), tmp_path / "X.npz")


def test_a_place_that_cannot_be_written_is_said(tmp_path):
    path = source(tmp_path, ["a", "b"])
    with pytest.raises(RunFolderError, match="cannot write"):
        write(path, path / "X.npz")


@pytest.mark.parametrize(
    "wrong", [{"n_features": 0}, {"n_features": 2**31}, {"ngram_range": (2, 1)}, {"ngram_range": (1, 2**31)}]
)
def test_settings_that_cannot_be_are_refused(wrong):
    with pytest.raises(SettingsError):
        FeatureSettings(**wrong)
