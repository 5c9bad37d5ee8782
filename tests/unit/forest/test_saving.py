"""Saved forests predict the same, and damaged or hostile folders are refused."""

import contextlib
import json

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_diabetes, load_iris
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import (
    BaggingClassifier,
    BaggingRegressor,
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)

from manymill import load_forest, save_forest
from manymill.errors import ModelError, PlanError
from manymill.forest import nodes
from manymill.storage import checked_json

X, y = load_iris(return_X_y=True)
WORDS = np.array(["birch", "larch", "oak"])[y]


@pytest.fixture
def saved(tmp_path):
    forest = ExtraTreesClassifier(4, random_state=0).fit(X, WORDS)
    save_forest(tmp_path, forest, facts={"rows": 150})
    return tmp_path


@pytest.mark.parametrize(
    "forest",
    [
        RandomForestClassifier(5, random_state=0, class_weight="balanced"),
        ExtraTreesClassifier(5, random_state=0, criterion="entropy", bootstrap=True),
        BaggingClassifier(n_estimators=5, random_state=0),
        BaggingClassifier(n_estimators=5, random_state=0, max_features=2, max_samples=4),
    ],
)
def test_a_classifier_that_was_saved_votes_to_the_same_bits(forest, tmp_path):
    save_forest(tmp_path, forest.fit(X, WORDS))
    loaded = load_forest(tmp_path)
    assert type(loaded) is type(forest)
    assert loaded.predict(X).tolist() == forest.predict(X).tolist()
    assert loaded.predict_proba(X).tobytes() == forest.predict_proba(X).tobytes()


@pytest.mark.parametrize("kind", [RandomForestRegressor, ExtraTreesRegressor, BaggingRegressor])
def test_a_regressor_that_was_saved_predicts_the_same_bits(kind, tmp_path):
    rows, target = load_diabetes(return_X_y=True)
    forest = kind(n_estimators=5, random_state=0).fit(rows, target)
    save_forest(tmp_path, forest)
    assert load_forest(tmp_path).predict(rows).tobytes() == forest.predict(rows).tobytes()


def test_missing_values_go_where_they_went(tmp_path):
    rows = np.where(np.random.default_rng(0).random(X.shape) < 0.3, np.nan, X)
    forest = RandomForestClassifier(5, random_state=0).fit(rows, WORDS)
    save_forest(tmp_path, forest)
    assert load_forest(tmp_path).predict_proba(rows).tobytes() == forest.predict_proba(rows).tobytes()


def test_several_outputs_are_kept(tmp_path):
    forest = RandomForestClassifier(5, random_state=0).fit(X, np.stack([y, y % 2], axis=1))
    save_forest(tmp_path, forest)
    for ours, theirs in zip(load_forest(tmp_path).predict_proba(X), forest.predict_proba(X), strict=True):
        assert ours.tobytes() == theirs.tobytes()


def test_importances_names_and_facts_are_kept(tmp_path):
    import pandas as pd

    frame = pd.DataFrame(X, columns=["a", "b", "c", "d"])
    forest = RandomForestClassifier(5, random_state=0, max_depth=3).fit(frame, WORDS)
    save_forest(tmp_path, forest, facts={"rows": 150, "columns": ["a"]})
    loaded = load_forest(tmp_path)
    assert loaded.feature_importances_.tobytes() == forest.feature_importances_.tobytes()
    assert loaded.predict(frame).tolist() == forest.predict(frame).tolist()
    assert loaded.facts_ == {"rows": 150, "columns": ["a"]}
    assert loaded.get_params() == forest.get_params()


@given(st.floats(allow_nan=False), st.floats(allow_nan=False, width=32))
def test_a_threshold_of_four_bytes_decides_as_that_of_eight(threshold, x):
    rounded = nodes.round_down(np.array([threshold]))[0]
    assert (np.float64(x) <= threshold) == (np.float32(x) <= rounded)


def test_the_same_forest_gives_the_same_bytes_and_another_takes_its_place(saved):
    before = {path.name: path.read_bytes() for path in saved.glob("*.*") if path.is_file()}
    save_forest(saved, ExtraTreesClassifier(4, random_state=1).fit(X, WORDS))
    assert len(list(saved.glob("nodes-*"))) == 1
    save_forest(saved, ExtraTreesClassifier(4, random_state=0).fit(X, WORDS), facts={"rows": 150})
    assert before == {path.name: path.read_bytes() for path in saved.glob("*.*") if path.is_file()}


@pytest.mark.parametrize(
    "forest",
    [
        BaggingClassifier(LinearDiscriminantAnalysis(), n_estimators=2).fit(X, y),
        LinearDiscriminantAnalysis().fit(X, y),
        RandomForestClassifier(),
    ],
)
def test_what_is_no_forest_of_trees_is_refused(forest, tmp_path):
    with pytest.raises(PlanError):
        save_forest(tmp_path, forest)
    assert not list(tmp_path.iterdir())


def test_labels_that_json_cannot_tell_are_refused_and_the_old_forest_stays(saved):
    days = np.array(["2020-01-01", "2021-01-01", "2022-01-01"], "datetime64[D]")[y]
    with pytest.raises(ModelError, match=r"JSON|classes"):
        save_forest(saved, ExtraTreesClassifier(2).fit(X, days))
    assert load_forest(saved).facts_ == {"rows": 150}


def test_a_folder_without_a_forest_says_so(tmp_path):
    with pytest.raises(ModelError, match="does not contain a forest"):
        load_forest(tmp_path)


def rewritten(folder, **changes):
    """The description with other entries, and a checksum that is right."""
    content = json.loads((folder / "forest.json").read_bytes())
    content.pop("checksum")
    (folder / "forest.json").write_bytes(checked_json.dump({**content, **changes}))


@pytest.mark.parametrize(
    "changes",
    [
        {"kind": "os.system"},
        {"kind": "GradientBoostingClassifier"},
        {"kind": "BaggingRegressor"},
        {"trees": "DecisionTreeClassifier"},
        {"classes": []},
        {"classes": [["a", "b"]]},
        {"classes": [["b", "a", "c"]]},
        {"classes": [[1, "a", None]]},
        {"n_features": [4, 5]},
        {"n_features": [10, 4]},
        {"n_features": 4},
        {"n_outputs": 2},
        {"n_outputs": 2**40},
        {"n_trees": 2**30},
        {"n_nodes": 2**30},
        {"n_nodes": -1},
        {"feature_names": ["a"]},
        {"feature_names": [1, 2, 3, 4]},
        {"member_features": [[0, 1]]},
        {"parameters": {"criterion": "__import__"}},
        {"parameters": []},
        {"nodes_checksum": "../../etc/passwd"},
        {"format_version": 2},
        {"format": "other"},
        {"more": 1},
    ],
)
def test_a_description_that_cannot_be_is_refused(saved, changes):
    rewritten(saved, **changes)
    with pytest.raises(ModelError, match=r"forest\.json|nodes-|parameters"):
        load_forest(saved)


def test_a_flipped_bit_is_found(saved):
    path = next(saved.glob("nodes-*"))
    data = bytearray(path.read_bytes())
    data[-30] ^= 1
    path.write_bytes(data)
    with pytest.raises(ModelError, match="do not match their checksum"):
        load_forest(saved)


def test_a_file_that_was_cut_off_is_named(saved):
    path = next(saved.glob("nodes-*"))
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ModelError, match=r"nodes-\w+\.safetensors: it has \d+ bytes instead"):
        load_forest(saved)


def tensors(n_nodes=3, **changes):
    """A tree of a root and two leaves, and what a test makes wrong of it."""
    arrays = {
        "tree_sizes": np.array([n_nodes]),
        "left_child": np.array([1, -1, -1]),
        "right_child": np.array([2, -1, -1]),
        "feature": np.array([0, -2, -2]),
        "threshold": np.array([0.5, -2, -2], np.float32),
        "impurity": np.zeros(3),
        "n_node_samples": np.array([2, 1, 1]),
        "weighted_n_node_samples": np.array([2.0, 1, 1]),
        "missing_go_to_left": np.zeros(3, np.uint8),
        "value": np.array([0.5, 0, 1]).reshape(3, 1, 1),
    }
    return {**arrays, **{name: np.array(value) for name, value in changes.items()}}


def test_a_right_tree_passes():
    assert nodes.check_nodes(tensors(), 1, probabilities=True).tolist() == [1]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tree_sizes": [2]}, "tree_sizes"),
        ({"tree_sizes": [4, -1]}, "tree_sizes"),
        ({"tree_sizes": [2**62] * 4 + [3]}, "tree_sizes"),  # adds up to 3 where it wraps around
        ({"left_child": [0, -1, -1]}, "left_child at node 0"),  # its own child
        ({"left_child": [2, -1, -1]}, "left_child at node 1"),  # two parents, and a node that nobody has
        ({"left_child": [3, -1, -1]}, "left_child at node 0"),  # beyond the end
        ({"right_child": [2, 0, -1]}, "right_child at node 1"),  # half a leaf
        ({"left_child": [-1, -1, -1], "right_child": [-1, -1, -1]}, "left_child at node 1"),
        ({"left_child": [1, -5, -1], "right_child": [2, 1, -1]}, "left_child at node 1"),
        ({"feature": [1, -2, -2]}, "feature at node 0"),
        ({"feature": [-1, -2, -2]}, "feature at node 0"),
        ({"threshold": [np.nan, 0, 0]}, "threshold at node 0"),
        ({"missing_go_to_left": [0, 2, 0]}, "missing_go_to_left at node 1"),
        ({"n_node_samples": [2, 0, 1]}, "n_node_samples at node 1"),
        ({"impurity": [0, np.inf, 0]}, "impurity at node 1"),
        ({"value": [[[0.5]], [[2.0]], [[0.0]]]}, "value at node 1"),
        ({"value": [[[0.5]], [[0.0]], [[np.nan]]]}, "value at node 2"),
    ],
)
def test_nodes_that_are_no_tree_are_refused_with_their_place(changes, message):
    with pytest.raises(ModelError, match=message):
        nodes.check_nodes(tensors(**changes), 1, probabilities=True)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.integers(0, 2**20), byte=st.integers(0, 255))
def test_whatever_byte_is_changed_loading_ends_with_an_error_or_a_forest_that_predicts(saved, place, byte):
    path = next(saved.glob("nodes-*"))
    whole = path.read_bytes()
    data = bytearray(whole)
    data[place % len(data)] = byte
    path.write_bytes(data)
    with contextlib.suppress(ModelError):
        assert load_forest(saved, verify=False).predict(X).shape == (150,)
    path.write_bytes(whole)
