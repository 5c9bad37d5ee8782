import pickle

import numpy as np
import pytest

from manymill import _core
from manymill.linear.settings import Settings
from manymill.linear.state import ClassIndex, LinearState, dump_state, dump_table, stream_state, stream_table
from manymill.storage.tensors import read_arrays, write_arrays

N_FEATURES = 64
GENERATOR = np.random.default_rng(0)


def rows(n):
    indices = np.stack([np.sort(GENERATOR.choice(N_FEATURES, 5, replace=False)) for _ in range(n)])
    values = GENERATOR.random(5 * n, np.float32)
    return _core.Rows.from_arrays(np.arange(0, 5 * n + 1, 5), indices.astype(np.uint32).ravel(), values)


ROWS = rows(200)


FEW = ROWS.take(np.arange(3, dtype=np.uint32))


def state(names, *, as_integers=False, rows=ROWS, table=None, n_features=N_FEATURES, **settings):
    resolved = Settings(n_features=n_features, **settings).resolve(len(names))
    learnt = LinearState(resolved, ClassIndex.in_order(names), as_integers=as_integers, table=table)
    learnt.learner.learn(rows, np.arange(len(rows), dtype=np.int32) % max(2, len(names)))
    return learnt


def test_classes_are_sorted_whatever_their_numbers():
    assert state(["c", "a", "b"]).classes == ("a", "b", "c")
    assert state(["10", "9", "-1"], as_integers=True).classes == (-1, 9, 10)
    assert state(["c", "a", "b"]).numbers().tolist() == [1, 2, 0]


def test_scores_of_more_classes_are_put_in_the_order_of_the_classes():
    assert (
        state(["c", "a", "b"]).scores(ROWS) == state(["c", "a", "b"]).learner.scores(ROWS)[:, [1, 2, 0]]
    ).all()


def test_of_two_classes_the_sign_is_turned_so_that_the_second_sorted_one_is_above_zero():
    straight, turned = state(["a", "b"]), state(["b", "a"])
    assert (straight.scores(ROWS) == -turned.scores(ROWS)).all()
    assert (straight.intercept() == -turned.intercept()).all()
    assert (np.concatenate(list(straight.weights())) == -np.concatenate(list(turned.weights()))).all()


@pytest.mark.parametrize("names", [["b", "a"], ["c", "a", "b"]], ids=len)
@pytest.mark.parametrize("slice_bytes", [1, 100, 8 << 20])
def test_weights_in_slices_are_the_weights_that_score(monkeypatch, names, slice_bytes):
    monkeypatch.setattr("manymill.linear.state.COPIED_BYTES", slice_bytes)
    learnt = state(names)
    weights = np.concatenate(list(learnt.weights()))
    assert weights.shape == (N_FEATURES, len(names) if len(names) > 2 else 1)
    assert _core.score_rows(ROWS, weights, learnt.intercept()) == pytest.approx(learnt.scores(ROWS), abs=1e-6)


@pytest.mark.parametrize("slice_bytes", [100, 8 << 20])
def test_a_snapshot_brings_back_the_scores_of_its_moment(monkeypatch, slice_bytes):
    monkeypatch.setattr("manymill.linear.state.COPIED_BYTES", slice_bytes)
    learnt = state(["c", "a", "b"])
    before, snapshot = learnt.scores(ROWS), learnt.snapshot()
    learnt.learner.learn(ROWS, np.zeros(200, np.int32))
    assert (learnt.scores(ROWS) != before).any()
    learnt.restore(snapshot)
    assert (learnt.scores(ROWS) == before).all()


@pytest.mark.parametrize("slice_bytes", [1, 100, 8 << 20])
@pytest.mark.parametrize("names", [["b", "a"], ["c", "a", "b"]], ids=len)
def test_a_restored_snapshot_gives_features_met_after_it_no_weight_and_keeps_their_sums(
    monkeypatch, names, slice_bytes
):
    monkeypatch.setattr("manymill.linear.state.COPIED_BYTES", slice_bytes)
    learnt, later = state(names, rows=FEW), np.setdiff1d(np.arange(N_FEATURES), FEW.arrays()[1])
    assert len(later)
    before, snapshot = np.concatenate(list(learnt.weights())), learnt.snapshot()
    assert not np.isin(later, snapshot.features).any()
    learnt.learner.learn(ROWS, np.arange(200, dtype=np.int32) % len(names))
    met = learnt.learner.met()
    sums = learnt.learner.gather(met)[1]
    assert np.concatenate(list(learnt.weights()))[later].all()
    learnt.restore(snapshot)
    np.testing.assert_array_equal(np.concatenate(list(learnt.weights())), before)
    assert not before[later].any()
    np.testing.assert_array_equal(learnt.learner.gather(met)[1], sums)


def test_a_pickle_keeps_the_features_in_use_and_their_weights():
    features, weights = np.arange(3, 3 + N_FEATURES, dtype=np.uint32), np.ones(N_FEATURES, np.float32)
    table = _core.FeatureTable.from_arrays(2**20, features, weights)
    original = state(["a", "b"], table=table, n_features=2**20)
    copy = pickle.loads(pickle.dumps(original))
    assert (copy.table.features == features).all()
    assert (copy.table.weights == weights).all()
    assert (copy.scores(ROWS) == original.scores(ROWS)).all()
    assert copy.arrays()["features"].tolist() == features.tolist()


def test_a_class_met_late_has_room_and_no_class_is_ever_taken_away():
    learnt = state(["a", "b"])
    learnt.make_room(2)
    before = learnt.scores(ROWS)
    learnt._index.add(["c"])
    learnt.make_room(3)
    assert learnt.scores(ROWS).shape == (200, 3)
    assert ((learnt.scores(ROWS)[:, 1] > learnt.scores(ROWS)[:, 0]) == (before[:, 0] > 0)).all()


@pytest.mark.parametrize("settings", [{}, {"l2": 1e-3}, {"l1": 1e-3, "loss": "hinge"}], ids=str)
@pytest.mark.parametrize("names", [["b", "a"], ["c", "a", "b"]], ids=len)
def test_a_pickle_scores_and_learns_on_like_the_original(settings, names):
    original = state(names, **settings)
    copy = pickle.loads(pickle.dumps(original))
    for learnt in (original, copy):
        learnt.learner.learn(ROWS, np.zeros(200, np.int32))
    assert copy.classes == original.classes
    assert copy.learner.n_rows_seen == original.learner.n_rows_seen == 400
    assert (copy.scores(ROWS) == original.scores(ROWS)).all()


def test_integers_are_text_as_soon_as_one_class_is_none():
    assert state(["10", "9", "unknown"], as_integers=True).classes == ("10", "9", "unknown")
    assert state(["10", "9", "-0"], as_integers=True).classes == ("-0", "10", "9")


@pytest.mark.parametrize("slice_bytes", [100, 8 << 20])
@pytest.mark.parametrize("names", [["b", "a"], ["c", "a", "b"]], ids=len)
def test_a_state_written_in_slices_is_the_state(tmp_path, monkeypatch, names, slice_bytes):
    monkeypatch.setattr("manymill.linear.state.COPIED_BYTES", slice_bytes)
    learner = state(names).learner
    whole = dump_state(learner, learner.met())
    read = read_arrays(tmp_path / "a", write_arrays(tmp_path / "a", stream_state(learner)))
    assert write_arrays(tmp_path / "b", whole) == write_arrays(tmp_path / "c", read)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@pytest.mark.parametrize("weighted", [False, True])
def test_a_feature_table_written_in_slices_is_the_table(tmp_path, monkeypatch, weighted):
    monkeypatch.setattr("manymill.linear.state.COPIED_BYTES", 100)
    features = np.arange(0, 300, 3, dtype=np.uint32)
    table = _core.FeatureTable.from_arrays(1024, features, np.ones(100, np.float32) if weighted else None)
    read = read_arrays(tmp_path / "a", write_arrays(tmp_path / "a", stream_table(table)))
    assert write_arrays(tmp_path / "b", dump_table(table)) == write_arrays(tmp_path / "c", read)


def test_a_snapshot_and_a_pickle_hold_the_features_in_use_only():
    table = _core.FeatureTable.from_arrays(1 << 30, np.arange(N_FEATURES, dtype=np.uint32), None)
    used = Settings(recipe="fast", n_features=1 << 30).resolve(40)
    learnt = LinearState(used, ClassIndex(str(i) for i in range(40)), as_integers=False, table=table)
    learnt.learner.learn(ROWS, np.arange(200, dtype=np.int32) % 40)
    assert learnt.snapshot().weights.shape == (N_FEATURES, 40)
    assert len(pickle.dumps(learnt)) < 100_000
    assert (pickle.loads(pickle.dumps(learnt)).scores(ROWS) == learnt.scores(ROWS)).all()


@pytest.mark.parametrize("weighted", [False, True])
def test_the_state_in_a_pickle_of_version_0_1_scores_alike(weighted):
    original = state(["c", "a", "b"])
    weights, sums = original.learner.gather(np.arange(N_FEATURES, dtype=np.uint32))
    old = LinearState.__new__(LinearState)
    old.__setstate__(
        {
            "settings": original._settings,
            "names": ("c", "a", "b"),
            "as_integers": False,
            "weights": weights,
            "accumulators": sums,
            "intercept": original.learner.intercept_state(),
            "n_rows_seen": 200,
            "feature_weights": np.ones(N_FEATURES, np.float32) if weighted else None,
        }
    )
    assert (old.table is not None) == weighted
    assert (old.scores(ROWS) == original.scores(ROWS)).all()
