"""Damaged and hostile model folders raise ModelError, without a crash or a large allocation."""

import json
import os
import pickle
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from manymill.errors import ModelError
from manymill.hash_form import word_form
from manymill.model import Analyzer, ModelDescription, load_model, manifest, save_model
from manymill.storage import checked_json


@pytest.fixture
def folder(tmp_path):
    analyzer = Analyzer(**vars(word_form()), value="log", norm=None, n_features=2)
    description = ModelDescription(classes=("a", "b"), loss="log", analyzer=analyzer, facts={"rows": 1.5})
    save_model(tmp_path, description, np.ones((2, 1), "f4"), np.ones(1, "f4"))
    return tmp_path


def weights_file(folder):
    (path,) = folder.glob("weights-*.safetensors")
    return path


def forge(folder, **changes):
    """Rewrite model.json with changed entries and a checksum that fits them."""
    content = json.loads((folder / "model.json").read_text())
    del content["checksum"]
    content |= changes
    text = checked_json.dump(content)
    (folder / "model.json").write_bytes(text)


def refused(folder, data, path):
    path.write_bytes(data)
    try:
        load_model(folder)
    except ModelError as error:
        return str(folder) in str(error)
    return False


def flipped(whole):
    for bit in range(8 * len(whole)):
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        yield bytes(damaged)


def test_every_flipped_bit_of_the_weights_is_found(folder):
    path = weights_file(folder)
    assert all(refused(folder, damaged, path) for damaged in flipped(path.read_bytes()))


def test_every_flipped_bit_of_the_manifest_is_found(folder):
    for damaged in flipped((folder / "model.json").read_bytes()):
        with pytest.raises(ModelError):
            manifest.load(damaged)


@pytest.mark.parametrize("name", ["model.json", "weights"])
def test_every_cut_and_any_extra_byte_is_found(folder, name):
    path = folder / name if name == "model.json" else weights_file(folder)
    whole = path.read_bytes()
    for length in range(len(whole)):
        assert refused(folder, whole[:length], path), f"{length} bytes"
    assert refused(folder, whole + b"\n", path)
    assert refused(folder, whole + whole, path)


@given(data=st.binary(max_size=200) | st.text(alphabet='{}[]",:\\u0d8 1e9NaInfity-').map(str.encode))
@settings(max_examples=300, deadline=None)
def test_any_bytes_as_a_manifest_are_refused(data):
    with pytest.raises(ModelError):
        manifest.load(data)


@pytest.mark.parametrize(
    "text",
    [
        b'{"a": 1, "a": 2}',
        b'{"format": NaN}',
        b'{"format": 1e999}',
        b'{"format": "\\ud800"}',
        b'{"format": "manymill-model", "format_version": 1, "x": "\\ud800"}',
        b'{"format": "manymill-model", "format_version": true}',
        b"[" * 9_000 + b"]" * 9_000,
        b'{"format": "manymill-model", "format_version": 1, "x": ' + b"[" * 900 + b"]" * 900 + b"}",
        b"1" * 10_000,
    ],
)
def test_json_that_manymill_would_not_write_is_refused(text):
    with pytest.raises(ModelError):
        manifest.load(text)


ANALYZER = {**vars(word_form()), "stop_words": [], "value": "log", "norm": None, "n_features": 2}


@pytest.mark.parametrize(
    "changes",
    [
        {"format": "pickle"},
        {"kind": "forest"},
        {"loss": "exec"},
        {"loss": ["log"]},
        {"classes": ["a"]},
        {"classes": [["a"], ["b"]]},
        {"classes": "ab"},
        {"classes": ["a", "b", "c"]},
        {"fit_intercept": 1},
        {"facts": []},
        {"analyzer": []},
        {"analyzer": {**ANALYZER, "n_features": 2**30}},
        {"analyzer": {**ANALYZER, "n_features": 2**31}},
        {"analyzer": {**ANALYZER, "n_features": 10**100}},
        {"analyzer": {**ANALYZER, "n_features": True}},
        {"analyzer": {**ANALYZER, "ngram_range": [2, 1]}},
        {"analyzer": {**ANALYZER, "norm": {}}},
        {"analyzer": {**ANALYZER, "ngram_range": None}},
        {"analyzer": {**ANALYZER, "char_ngram_range": [3]}},
        {"analyzer": {**ANALYZER, "char_ngram_range": [0, 3]}},
        {"analyzer": {**ANALYZER, "char_ngram_range": [3, True]}},
        {"analyzer": {**ANALYZER, "char_analyzer": "word"}},
        {"analyzer": {**ANALYZER, "char_analyzer": None}},
        {"analyzer": {**ANALYZER, "token_pattern": "(a+)+b"}},
        {"analyzer": {**ANALYZER, "token_pattern": []}},
        {"analyzer": {**ANALYZER, "stop_words": "the"}},
        {"analyzer": {**ANALYZER, "stop_words": [1]}},
        {"analyzer": {**ANALYZER, "stop_words": None}},
        {"analyzer": {**ANALYZER, "strip_accents": "os.system"}},
        {"analyzer": {**ANALYZER, "strip_accents": []}},
        {"probability": "log"},
        {"probability": None},
        {"probability": []},
        {"temperature": 0.0},
        {"analyzer": {**ANALYZER, "more": 1}},
        {"format_version": 0},
        {"unicode_version": None},
        {"more": 1},
    ],
)
def test_a_lie_with_a_right_checksum_is_refused(folder, changes):
    forge(folder, **changes)
    with pytest.raises(ModelError, match=r"model\.json"):
        load_model(folder)


@pytest.mark.parametrize("name", ["../weights-0000000000000000.safetensors", "/etc/passwd", "model.json"])
def test_a_weights_file_elsewhere_is_refused(folder, name):
    entry = json.loads((folder / "model.json").read_text())["weights_file"]
    forge(folder, weights_file={**entry, "name": name})
    with pytest.raises(ModelError, match="weights_file name"):
        load_model(folder)


def test_a_shape_that_fits_only_model_json_costs_no_memory(folder):
    entry = json.loads((folder / "model.json").read_text())["weights_file"]
    n, size = 2**30, manifest.Layout(n_columns=2**30, n_outputs=1).n_bytes
    tensors = {**entry["tensors"], "weights": {"dtype": "float32", "shape": [n, 1]}}
    forge(
        folder,
        analyzer={**ANALYZER, "n_features": n},
        weights_file={**entry, "bytes": size, "tensors": tensors},
    )
    tracemalloc.start()
    with pytest.raises(ModelError, match=f"instead of {size}"):
        load_model(folder)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 200_000


@pytest.mark.parametrize("name", ["model.json", "weights"])
def test_links_are_not_followed(folder, tmp_path_factory, name):
    path = folder / name if name == "model.json" else weights_file(folder)
    moved = tmp_path_factory.mktemp("elsewhere") / "file"
    os.replace(path, moved)
    path.symlink_to(moved)
    with pytest.raises(ModelError, match=path.name):
        load_model(folder)


@pytest.mark.parametrize("name", ["model.json", "weights"])
def test_a_pipe_in_place_of_a_file_is_refused_at_once(folder, name):
    path = folder / name if name == "model.json" else weights_file(folder)
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(ModelError, match=path.name):
        load_model(folder)


def test_a_missing_weights_file_is_named(folder):
    path = weights_file(folder)
    path.unlink()
    with pytest.raises(ModelError, match=path.name):
        load_model(folder)


class Bomb:
    def __reduce__(self):
        return (os.mkdir, ("exploded",))


@pytest.mark.parametrize("name", ["model.json", "weights", "folder"])
def test_a_pickle_named_as_a_model_is_not_executed(folder, name, monkeypatch):
    monkeypatch.chdir(folder)
    path = {"model.json": folder / name, "weights": weights_file(folder), "folder": folder / "model.pkl"}[
        name
    ]
    path.write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(ModelError):
        load_model(path if name == "folder" else folder)
    assert not (folder / "exploded").exists()


def test_an_empty_or_missing_folder_is_no_model(tmp_path):
    for folder in (tmp_path, tmp_path / "missing"):
        with pytest.raises(ModelError, match="is not a model folder"):
            load_model(folder)


def test_without_verifying_only_the_weights_bytes_go_unseen(folder):
    path = weights_file(folder)
    path.write_bytes(path.read_bytes()[:-1] + b"\x40")
    assert load_model(folder, verify=False).weights.shape == (2, 1)
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(ModelError, match="bytes instead of"):
        load_model(folder, verify=False)
