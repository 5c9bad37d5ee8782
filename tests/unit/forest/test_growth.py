"""A fit in progress: events, early stopping, and resuming after a crash."""

import json
import os
import pickle
import subprocess
import sys
import textwrap
import threading
import warnings

import numpy as np
import pytest
from scipy.sparse import csc_array, csr_array
from sklearn.datasets import make_classification, make_regression
from sklearn.ensemble import (
    AdaBoostClassifier,
    BaggingClassifier,
    GradientBoostingClassifier,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.tree._tree import NODE_DTYPE

from manymill.errors import RunFolderError, SchemaError, SettingsError
from manymill.events import ForestGrown, TreeGrown
from manymill.forest.estimators import PartitionedForestClassifier, PartitionedForestRegressor
from manymill.forest.reports import ForestWarning
from manymill.run_folder import read_events
from manymill.storage.tensors import arrays_in, write_arrays
from reference.trees import bits

X, Y = make_classification(400, 8, n_informative=5, random_state=0)
MODES = ["shared", "partitions", "patches"]


def test_every_tree_is_told_of_and_then_the_forest():
    events = []
    PartitionedForestClassifier(n_estimators=6, n_partitions=3, mode="partitions").fit(
        X, Y, observe=events.append
    )
    trees, (end,) = events[:-1], events[-1:]
    assert sorted(event.tree for event in trees) == [1, 2, 3, 4, 5, 6]
    assert {(event.trees, type(event)) for event in trees} == {(6, TreeGrown)}
    assert {event.partition for event in trees} == {1, 2, 3}
    assert isinstance(end, ForestGrown)
    assert end.n_nodes == sum(event.n_nodes for event in trees)


@pytest.mark.parametrize("mode", MODES)
def test_what_ctrl_c_leaves_is_the_beginning_of_the_whole(mode):
    def interrupt(event):
        if isinstance(event, TreeGrown) and event.tree == 9:
            raise KeyboardInterrupt

    grown = PartitionedForestClassifier(n_estimators=40, mode=mode, n_partitions=4, engine=1)
    with pytest.warns(ForestWarning, match="the fit was interrupted: the forest has 8 of 40 trees"):
        grown.fit(X, Y, observe=interrupt)
    assert grown.report_.interrupted
    whole = PartitionedForestClassifier(n_estimators=40, mode=mode, n_partitions=4).fit(X, Y)
    assert bits(grown.forest_) == bits(whole.forest_)[:8]
    grown.set_params(warm_start=True).fit(X, Y)
    assert bits(grown.forest_) == bits(whole.forest_)


def test_ctrl_c_before_the_first_tree_ends_the_fit():
    def interrupt(event):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        PartitionedForestClassifier(n_estimators=5).fit(X, Y, observe=interrupt)


def test_the_trees_so_far_are_a_forest_for_another_thread():
    seen = []

    def look(event):
        if isinstance(event, TreeGrown) and event.tree == 5:
            asking = threading.Thread(target=lambda: seen.append(grown.partial()))
            asking.start()
            asking.join()

    grown = PartitionedForestClassifier(RandomForestClassifier(), n_estimators=8, engine=1)
    with pytest.raises(NotFittedError):
        grown.partial()
    grown.fit(X, Y, observe=look)
    assert bits(seen[0]) == bits(grown.forest_)[:4]
    assert seen[0].score(X, Y) > 0.8
    assert grown.partial() is grown.forest_


@pytest.mark.parametrize("engine", [1, 3])
def test_growing_stops_when_the_held_out_score_has_settled_whoever_grows(engine):
    asked = {"n_estimators": 200, "early_stopping": True, "n_trees_no_change": 10, "tol": 0.02}
    grown = PartitionedForestClassifier(validation_fraction=0.25, engine=engine, **asked).fit(X, Y)
    assert grown.report_.settled
    assert grown.report_.n_held_out == 100
    assert grown.report_.n_trees == len(grown.forest_.estimators_) < 100
    again = PartitionedForestClassifier(validation_fraction=0.25, engine=1, **asked).fit(X, Y)
    assert bits(again.forest_) == bits(grown.forest_)


@pytest.mark.parametrize("mode", MODES)
def test_growing_stops_when_the_out_of_bag_score_has_settled(mode):
    forest = RandomForestRegressor(300, max_depth=4)
    rows, targets = make_regression(300, 5, random_state=0)
    grown = PartitionedForestRegressor(forest, mode=mode, n_partitions=2, early_stopping=True, tol=0.02)
    assert 20 < len(grown.fit(rows, targets).forest_.estimators_) < 200
    assert 0.4 < grown.oob_score_ < 1


def test_out_of_bag_scores_say_what_they_are_of():
    forest = RandomForestClassifier(60, oob_score=True)
    whole = PartitionedForestClassifier(forest).fit(X, Y)
    own = RandomForestClassifier(60, oob_score=True, random_state=0).fit(X, Y)
    assert (whole.oob_score_, whole.oob_score_kind_) == (own.oob_score_, "whole")
    parts = PartitionedForestClassifier(forest, mode="partitions", n_partitions=2).fit(X, Y)
    assert parts.oob_score_kind_ == "per-partition"
    alone = RandomForestClassifier(60, oob_score=True, random_state=0).fit(X[:200], Y[:200]).oob_score_
    assert abs(parts.oob_score_ - alone) < 0.06


def test_the_report_scores_the_forest_and_each_part():
    grown = PartitionedForestClassifier(n_estimators=40, mode="partitions", n_partitions=4)
    report = grown.fit(X[:300], Y[:300], validation=(X[300:], Y[300:])).report_
    assert report.score == grown.score(X[300:], Y[300:])
    assert [part.n_trees for part in report.parts] == [10] * 4
    assert sum(part.n_rows for part in report.parts) == 300
    assert max(part.score for part in report.parts) <= report.score + 0.05
    assert (
        np.sum([part.class_counts for part in report.parts], axis=0).tolist() == np.bincount(Y[:300]).tolist()
    )
    assert "4 partitions alone" in report.words()


def test_rows_that_no_tree_sees_are_warned_of():
    with pytest.warns(ForestWarning, match="5 of 8 partitions have no tree"):
        PartitionedForestClassifier(n_estimators=3, mode="partitions").fit(X, Y)


KILLED = """
    import os, sys
    from sklearn.datasets import make_classification
    from manymill.forest.estimators import PartitionedForestClassifier
    X, Y = make_classification(400, 8, n_informative=5, random_state=0)
    n = 0
    def kill(event):
        global n
        n += 1
        if n == 7:
            os.kill(os.getpid(), 9)
    forest = PartitionedForestClassifier(n_estimators=16, n_partitions=4, mode=sys.argv[1])
    forest.fit(X, Y, run=sys.argv[2], observe=kill)
"""


def test_a_killed_fit_goes_on_to_the_same_bytes(tmp_path):
    run = tmp_path / "run"
    script = [sys.executable, "-c", textwrap.dedent(KILLED), "partitions", str(run)]
    path = os.pathsep.join(sys.path)
    assert subprocess.run(script, env={**os.environ, "PYTHONPATH": path}).returncode == -9
    events = []
    asked = {"n_estimators": 16, "n_partitions": 4, "mode": "partitions"}
    grown = PartitionedForestClassifier(**asked).fit(X, Y, run=run, observe=events.append)
    whole = PartitionedForestClassifier(**asked).fit(X, Y)
    assert 1 <= sum(isinstance(event, TreeGrown) for event in events) <= 9
    assert pickle.dumps(grown.forest_) == pickle.dumps(whole.forest_)
    assert sum(isinstance(event, TreeGrown) for event in read_events(run)) == 16


def tree_file(tmp_path, number):
    """The file of a tree in the checkpoint of a run."""
    (file,) = (tmp_path / "run" / "checkpoint").glob(f"tree-{number}-*")
    return file


def change_tree(file, change):
    """Change the arrays of a tree's file and give it the name that suits: what a hostile checkpoint may hold."""
    arrays = {name: array.copy() for name, array in arrays_in(np.fromfile(file, np.uint8)).items()}
    change(arrays)
    checksum = write_arrays(file, arrays).partition(":")[2][:16]
    file.rename(file.with_name(f"{file.name.rpartition('-')[0]}-{checksum}.safetensors"))


@pytest.mark.parametrize("mode", MODES)
def test_trees_that_are_not_there_yet_are_grown(mode, tmp_path):
    asked = {"n_estimators": 12, "n_partitions": 4, "mode": mode, "max_features": 0.5}
    whole = PartitionedForestClassifier(**asked).fit(X, Y, run=tmp_path / "run")
    for number in (0, 5, 11):
        tree_file(tmp_path, number).unlink()
    events = []
    again = PartitionedForestClassifier(**asked).fit(X, Y, run=tmp_path / "run", observe=events.append)
    assert sorted(event.tree for event in events if isinstance(event, TreeGrown)) == [1, 6, 12]
    assert bits(again.forest_) == bits(whole.forest_)


def test_a_bagging_goes_on_with_its_columns(tmp_path):
    asked = BaggingClassifier(n_estimators=5, max_features=0.5)
    PartitionedForestClassifier(asked).fit(X, Y, run=tmp_path / "run")
    events = []
    again = PartitionedForestClassifier(asked, n_estimators=6).fit(
        X, Y, run=tmp_path / "run", observe=events.append
    )
    assert [event.tree for event in events if isinstance(event, TreeGrown)] == [6]
    whole = PartitionedForestClassifier(asked, n_estimators=6).fit(X, Y)
    assert (again.predict_proba(X) == whole.predict_proba(X)).all()


@pytest.mark.parametrize("change", ["rows", "depth", "seed"])
def test_trees_of_other_rows_or_settings_are_not_gone_on_with(change, tmp_path):
    PartitionedForestClassifier(n_estimators=4).fit(X, Y, run=tmp_path / "run")
    events = []
    forest = RandomForestClassifier(max_depth=2) if change == "depth" else None
    seed = 1 if change == "seed" else 0
    rows = X + 1 if change == "rows" else X
    PartitionedForestClassifier(forest, n_estimators=4, random_state=seed).fit(
        rows, Y, run=tmp_path / "run", observe=events.append
    )
    assert sum(isinstance(event, TreeGrown) for event in events) == 4


@pytest.mark.parametrize("damage", ["empty", "other", "cut", "longer", "bit"])
def test_a_damaged_tree_is_grown_again_and_its_file_named(damage, tmp_path):
    grown = PartitionedForestClassifier(n_estimators=4).fit(X, Y, run=tmp_path / "run")
    file = tree_file(tmp_path, 2)
    content = file.read_bytes()
    changed = bytearray(content)
    changed[-9] ^= 4
    damaged = {
        "empty": b"",
        "other": b"PK nothing",
        "cut": content[:-1],
        "longer": content + b"\0",
        "bit": changed,
    }
    file.write_bytes(damaged[damage])
    with pytest.warns(ForestWarning, match=file.name):
        again = PartitionedForestClassifier(n_estimators=4).fit(X, Y, run=tmp_path / "run")
    assert bits(again.forest_) == bits(grown.forest_)
    assert file.read_bytes() == content


@pytest.mark.parametrize(
    "name", ["nodes", "columns", "classes", "values", "forest", "number", "facts", "missing"]
)
def test_a_tree_that_cannot_be_of_this_forest_is_grown_again(name, tmp_path):
    grown = PartitionedForestClassifier(n_estimators=4).fit(X, Y, run=tmp_path / "run")

    def change(arrays):
        facts = json.loads(arrays["facts"].tobytes())
        if name == "nodes":
            arrays["nodes"].view(NODE_DTYPE)["left_child"][0] = 10**6
        elif name == "columns":
            facts["n_features"] = 10**6
        elif name == "classes":
            arrays["classes0"] = np.array([0, 7])
        elif name == "values":
            arrays["values"] = arrays["values"].astype(np.float32)
        elif name == "forest":
            facts["forest"] = "another"
        elif name == "number":
            facts["number"] = 3
        elif name == "facts":
            facts = [1]
        else:
            del arrays["values"]
        arrays["facts"] = np.frombuffer(json.dumps(facts).encode(), np.uint8)

    change_tree(tree_file(tmp_path, 2), change)
    with pytest.warns(ForestWarning, match="its tree is grown again"):
        again = PartitionedForestClassifier(n_estimators=4).fit(X, Y, run=tmp_path / "run")
    assert bits(again.forest_) == bits(grown.forest_)


def test_the_transpose_of_a_matrix_is_other_data(tmp_path):
    square = csr_array(np.triu(np.abs(X[:8])))
    for rows in (square, csc_array((square.data, square.indices, square.indptr), square.shape)):
        events = []
        PartitionedForestClassifier(n_estimators=2).fit(
            rows, Y[:8], run=tmp_path / "run", observe=events.append
        )
        assert sum(isinstance(event, TreeGrown) for event in events) == 2


def test_a_checkpoint_folder_with_something_of_others_is_refused_and_left_alone(tmp_path):
    (tmp_path / "run" / "checkpoint" / "mine").mkdir(parents=True)
    with pytest.raises(RunFolderError, match="checkpoint holds 'mine'"):
        PartitionedForestClassifier(n_estimators=2).fit(X, Y, run=tmp_path / "run")
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["checkpoint"]


@pytest.mark.parametrize("boosting", [GradientBoostingClassifier(), AdaBoostClassifier()])
def test_boosting_is_refused_with_the_reason(boosting):
    with pytest.raises(SettingsError, match="each of its trees corrects the errors of the trees before it"):
        PartitionedForestClassifier(boosting).fit(X, Y)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"estimator": LogisticRegression()}, "is not an ensemble of independent members"),
        ({"estimator": RandomForestRegressor()}, "is not a classifier"),
        ({"mode": "rows"}, "mode='rows' is invalid"),
        ({"n_partitions": 0}, "n_partitions=0 is invalid"),
        ({"max_features": 2.5}, "max_features=2.5 is invalid"),
        ({"early_stopping": True}, "out-of-bag score .* cannot be computed"),
    ],
)
def test_what_cannot_be_is_refused(asked, said):
    with pytest.raises(SettingsError, match=said):
        PartitionedForestClassifier(**asked).fit(X, Y)


def test_an_infinite_value_is_named_by_row_and_column(tmp_path):
    rows = X.copy()
    rows[123, 4] = np.inf
    with pytest.raises(SchemaError, match=r"infinity .*: row 123, column 4"):
        PartitionedForestClassifier().fit(rows, Y)
    rows[123, 4] = np.nan
    np.save(tmp_path / "X.npy", rows)
    with pytest.raises(SchemaError, match="NaN: row 123, column 4"):
        PartitionedForestClassifier(BaggingClassifier(LogisticRegression()), mode="partitions").fit(
            np.load(tmp_path / "X.npy", mmap_mode="r"), Y
        )


def test_numerical_libraries_are_not_multiplied_by_threads():
    from threadpoolctl import threadpool_info

    threads = []
    PartitionedForestClassifier(BaggingClassifier(LogisticRegression(), 2), engine=2).fit(
        X, Y, observe=lambda event: threads.extend(pool["num_threads"] for pool in threadpool_info())
    )
    assert set(threads) <= {1}


def test_fitting_in_threads_leaves_the_filters_of_warnings_alone():
    before = list(warnings.filters)
    PartitionedForestClassifier(n_estimators=20, mode="partitions", engine=4).fit(X, Y)
    assert warnings.filters == before
