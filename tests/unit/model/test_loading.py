"""A model folder: saved, loaded, replaced."""

import json
import mmap
import sys

import numpy as np
import pytest

from manymill import TextClassifier
from manymill.errors import ModelError
from manymill.hash_form import word_form
from manymill.model import Analyzer, ModelDescription, load_model, locate_model, save_model


def describe(classes=("no", "yes"), n_features=8, **facts):
    analyzer = Analyzer(**vars(word_form((1, 2))), value="log", norm="l2", n_features=n_features)
    return ModelDescription(classes=classes, loss="log", analyzer=analyzer, facts=facts)


def save(folder, classes=("no", "yes"), n_features=8, seed=0, **facts):
    description = describe(classes, n_features, **facts)
    numbers = np.random.default_rng(seed).normal(size=(n_features + 1, description.n_outputs))
    weights, intercept = np.float32(numbers[:-1]), np.float32(numbers[-1])
    save_model(folder, description, weights, intercept)
    return description, weights, intercept


def weights_file(folder):
    (path,) = folder.glob("weights-*.safetensors")
    return path


@pytest.mark.parametrize("classes", [("no", "yes"), ("a", "ж", ""), (3, -1, 2**62)])
def test_a_model_comes_back_as_it_was_saved(tmp_path, classes):
    description, weights, intercept = save(tmp_path, classes, rows=10, holdout_accuracy=0.1)
    model = load_model(tmp_path)
    assert {name: getattr(model, name) for name in vars(description)} == vars(description)
    np.testing.assert_array_equal(model.weights, weights)
    np.testing.assert_array_equal(model.intercept, intercept)


def test_loaded_weights_are_mapped_read_only_and_aligned(tmp_path):
    save(tmp_path)
    model = load_model(tmp_path)
    owner = model.weights
    while isinstance(owner, np.ndarray):
        owner = owner.base
    assert isinstance(owner, mmap.mmap)
    assert not model.weights.flags.writeable
    assert not model.intercept.flags.writeable
    assert model.weights.ctypes.data % 64 == 0


def test_the_official_library_reads_the_weights(tmp_path):
    from safetensors.numpy import load_file

    _, weights, intercept = save(tmp_path, ("a", "b", "c"))
    tensors = load_file(weights_file(tmp_path))
    np.testing.assert_array_equal(tensors["weights"], weights)
    np.testing.assert_array_equal(tensors["intercept"], intercept)


def test_equal_models_give_equal_bytes_however_they_are_sliced(tmp_path):
    description, weights, intercept = save(tmp_path / "whole")
    save_model(tmp_path / "sliced", description, iter([weights[:3], weights[3:3], weights[3:]]), intercept)
    for name in ("model.json", weights_file(tmp_path / "whole").name):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "sliced" / name).read_bytes()


def test_saving_again_replaces_the_model_and_its_weights_file(tmp_path):
    save(tmp_path, seed=1)
    first = weights_file(tmp_path)
    _, weights, _ = save(tmp_path, seed=2)
    assert weights_file(tmp_path) != first
    np.testing.assert_array_equal(load_model(tmp_path).weights, weights)


def test_a_model_loaded_before_a_save_stays_as_it_was(tmp_path):
    _, weights, _ = save(tmp_path, seed=1)
    model = load_model(tmp_path)
    save(tmp_path, seed=2)
    np.testing.assert_array_equal(model.weights, weights)


def test_models_of_other_content_have_other_checksums(tmp_path):
    save(tmp_path / "a", rows=1)
    save(tmp_path / "b", rows=2)
    save(tmp_path / "c", rows=1)
    a, b, c = (load_model(tmp_path / name).checksum for name in "abc")
    assert a == c != b


def test_a_run_folder_and_its_model_folder_mean_the_same_model(tmp_path):
    save(tmp_path / "run" / "model")
    assert (
        locate_model(tmp_path / "run") == locate_model(tmp_path / "run" / "model") == tmp_path / "run/model"
    )


@pytest.mark.parametrize(
    ("weights", "intercept", "message"),
    [
        (np.zeros((7, 1), "f4"), np.zeros(1, "f4"), "7 rows"),
        (np.zeros((8, 2), "f4"), np.zeros(1, "f4"), "shape"),
        (np.zeros((8, 1), "f8"), np.zeros(1, "f4"), "float64"),
        (np.full((8, 1), np.nan, "f4"), np.zeros(1, "f4"), "NaN"),
        (np.zeros((8, 1), "f4"), np.full(1, np.inf, "f4"), "infinity"),
        (np.zeros((8, 1), "f4"), np.zeros(2, "f4"), "intercept"),
    ],
)
def test_numbers_that_do_not_fit_are_refused_and_leave_nothing(tmp_path, weights, intercept, message):
    with pytest.raises(ModelError, match=message):
        save_model(tmp_path, describe(), weights, intercept)
    assert {path.name for path in tmp_path.iterdir()} <= {".lock"}


@pytest.mark.parametrize("facts", [{"x": float("nan")}, {"x": object()}, {"x": "\ud800"}])
def test_facts_that_are_no_json_are_refused(tmp_path, facts):
    with pytest.raises(ModelError):
        save(tmp_path, **facts)
    assert {path.name for path in tmp_path.iterdir()} <= {".lock"}


@pytest.mark.parametrize(
    "classes", [("a",), ("a", "a"), ("a", 1), (True, False), ("a", "\ud800"), (0, 2**63)]
)
def test_classes_that_cannot_be_told_apart_or_written_are_refused(tmp_path, classes):
    with pytest.raises(ModelError):
        save(tmp_path, classes)


def test_loading_a_model_unpickles_nothing(tmp_path):
    save(tmp_path)
    seen = []
    sys.addaudithook(lambda event, args: seen.append(event) if event == "pickle.find_class" else None)
    load_model(tmp_path)
    assert seen == []


def test_a_newer_format_names_the_version_that_is_needed(tmp_path):
    save(tmp_path)
    content = json.loads((tmp_path / "model.json").read_text())
    content |= {"format_version": 3, "requires_manymill": "7.1", "novelty": []}
    (tmp_path / "model.json").write_text(json.dumps(content))
    with pytest.raises(ModelError, match=r"needs manymill >= 7\.1"):
        load_model(tmp_path)


@pytest.mark.parametrize("value", ["x", None, [1], {}, True])
def test_facts_of_other_types_are_ignored_by_a_classifier(tmp_path, value):
    save(tmp_path, passes=value, holdout_accuracy=value, settings=value)
    classifier = TextClassifier.load(tmp_path)
    assert (classifier.n_iter_, classifier.holdout_score_, classifier.feature_weights) == (0, None, None)
