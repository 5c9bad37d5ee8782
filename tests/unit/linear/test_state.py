import pickle

import numpy as np
import pytest

from manymill import _core
from manymill.linear.settings import Settings
from manymill.linear.state import ClassIndex, LinearState

N_FEATURES = 64
GENERATOR = np.random.default_rng(0)


def rows(n):
    indices = np.stack([np.sort(GENERATOR.choice(N_FEATURES, 5, replace=False)) for _ in range(n)])
    values = GENERATOR.random(5 * n, np.float32)
    return _core.Rows.from_arrays(np.arange(0, 5 * n + 1, 5), indices.astype(np.uint32).ravel(), values)


ROWS = rows(200)


def state(names, *, as_integers=False, **settings):
    learnt = LinearState(
        Settings(n_features=N_FEATURES, **settings), ClassIndex.in_order(names), as_integers=as_integers
    )
    learnt.learner.learn(ROWS, np.arange(200, dtype=np.int32) % max(2, len(names)))
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
