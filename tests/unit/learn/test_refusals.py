"""Invalid input is refused with the reason and changes nothing."""

import contextlib
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from manymill._core import Learner, Rows, score_rows
from manymill.errors import MemoryLimitError
from reference.sparse import random_rows, sparse

X, Y = random_rows(0, 20, 30, 3)
ROWS = sparse(X)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n_features": 0}, "n_features is 0"),
        ({"n_features": -1}, "n_features"),
        ({"n_features": 2**30 + 1}, "not 1 to 1073741824"),
        ({"n_classes": 1}, "n_classes is 1"),
        ({"loss": "squared"}, 'no loss "squared". Hint: take log'),
        ({"l1": -1e-9}, "l1 is"),
        ({"l2": np.nan}, "l2 is NaN"),
        ({"l2": 1e300}, "l2 is inf"),
        ({"initial_g": -0.1}, "initial_g is"),
        ({"initial_g": np.inf}, "initial_g is inf"),
        ({"learning_rate": 0}, "learning_rate is 0"),
        ({"learning_rate": np.inf}, "learning_rate is inf"),
    ],
)
def test_a_parameter_out_of_range_is_named(change, message):
    settings = {"n_features": 30, "n_classes": 3} | change
    with pytest.raises(ValueError, match=message):
        Learner(settings.pop("n_features"), settings.pop("n_classes"), **settings)


@pytest.mark.parametrize("n_classes", [2**31 - 1, 2**24])
def test_a_state_too_large_for_the_machine_is_a_memory_error(n_classes):
    with pytest.raises(MemoryError, match=r"needs \d+ bytes.*Hint: use a smaller n_features") as raised:
        Learner(2**30, n_classes)
    assert isinstance(raised.value, MemoryLimitError)
    assert "--classes" in raised.value.hint


@pytest.mark.parametrize(
    ("classes", "weights", "message"),
    [
        (Y[:-1], None, "20 rows, 19 classes"),
        (np.where(np.arange(20) == 7, 3, Y), None, "row 7 has class 3, not 0 to 2"),
        (np.where(np.arange(20) == 7, -1, Y), None, "row 7 has class -1"),
        (Y, np.ones(19), "19 weights"),
        (Y, np.where(np.arange(20) == 4, -1, 1), "row 4 has a weight"),
        (Y, np.where(np.arange(20) == 4, np.nan, 1), "row 4 has a weight"),
    ],
)
def test_targets_that_do_not_fit_are_refused_before_anything_is_learnt(classes, weights, message):
    learner = Learner(30, 3)
    weights = None if weights is None else weights.astype(np.float32)
    with pytest.raises(ValueError, match=message):
        learner.learn(ROWS, classes.astype(np.int32), weights)
    assert not learner.weights(0, 30).any()
    assert learner.n_rows_seen == 0


def test_a_feature_that_the_learner_has_not_is_named_with_its_row():
    row = int(np.flatnonzero(X[:, 29])[0])
    learner = Learner(29, 3)
    for call in (lambda: learner.learn(ROWS, Y), lambda: learner.scores(ROWS)):
        with pytest.raises(ValueError, match=f"row {row} has feature 29, and there are 29"):
            call()


@pytest.mark.parametrize("loss", ["log", "hinge", "squared_hinge", "modified_huber", "squared_error"])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_a_huge_learning_rate_diverges_loudly_or_stays_finite(loss, n_classes):
    learner = Learner(30, n_classes, loss=loss, learning_rate=1e9)
    with contextlib.suppress(FloatingPointError):
        for _ in range(50):
            learner.learn(ROWS, Y % n_classes)
    assert np.isfinite(learner.weights(0, 30)).all()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 3e38])
def test_impossible_values_are_a_floating_point_error_at_their_row(value):
    bad = X.copy()
    bad[5, np.flatnonzero(bad[5])[0]] = value
    learner = Learner(30, 2, loss="squared_error")
    with pytest.raises(FloatingPointError, match=r"at row [05] "):
        learner.learn(sparse(bad), Y % 2)
    assert np.isfinite(learner.weights(0, 30)).all()


@pytest.mark.parametrize(
    ("indptr", "indices", "values", "message"),
    [
        ([0, 2], [1, 2], [1], "as many values as indices"),
        ([0, 1], [1, 2], [1, 1], "indptr must"),
        ([1, 2], [1, 2], [1, 1], "indptr must"),
        ([0, 3, 2], [1, 2], [1, 1], "indptr must"),
        ([0, -(2**63), 2], [1, 2], [1, 1], "indptr must"),
        ([], [], [], "indptr must"),
        ([0, 0, 2], [1, 1], [1, 1], "must ascend strictly"),
        ([0, 0, 2], [2, 1], [1, 1], "must ascend strictly"),
    ],
)
def test_arrays_that_make_no_rows_are_refused(indptr, indices, values, message):
    with pytest.raises(ValueError, match=message):
        Rows.from_arrays(
            np.array(indptr, np.int64), np.array(indices, np.uint32), np.array(values, np.float32)
        )


def test_rows_give_their_arrays_back():
    arrays = np.array([0, 2, 2], np.int64), np.array([3, 9], np.uint32), np.array([0.5, 2], np.float32)
    rows = Rows.from_arrays(*arrays)
    assert (len(rows), rows.nbytes) == (2, 3 * 8 + 2 * 4 + 2 * 4)
    for given_array, array in zip(arrays, rows.arrays(), strict=True):
        assert given_array.dtype == array.dtype
        np.testing.assert_array_equal(given_array, array)


def test_strided_arrays_mean_what_their_numbers_say():
    weights = np.arange(40, dtype=np.float32)[::2]
    one, two = Learner(30, 3), Learner(30, 3)
    one.learn(ROWS, np.repeat(Y, 2)[::2], weights)
    two.learn(ROWS, Y, weights.copy())
    assert one.weights(0, 30).tobytes() == two.weights(0, 30).tobytes()


@pytest.mark.parametrize(
    ("start", "shape", "value", "message"),
    [
        (0, (5, 2), 0, r"not \(5, 3\)"),
        (26, (5, 3), 0, "5 features from 26 on"),
        (2**63, (5, 3), 0, "5 features from"),
        (0, (5, 3), np.nan, "a weight is not finite"),
        (0, (5, 3), -1, "an accumulator is negative"),
    ],
)
def test_a_state_that_does_not_fit_is_refused(start, shape, value, message):
    learner = Learner(30, 3)
    array = np.full(shape, value, np.float32)
    with pytest.raises(ValueError, match=message):
        learner.set_state(start, array, array[:, 0])
    assert not learner.weights(0, 30).any()


def test_parts_of_the_state_that_do_not_exist_are_refused():
    learner = Learner(30, 3)
    for start, stop in ((0, 31), (5, 4), (31, 31)):
        with pytest.raises(ValueError, match="not within 0 to 30"):
            learner.weights(start, stop)
    with pytest.raises(ValueError, match=r"not \(2, 3\)"):
        learner.set_intercept_state(np.zeros((2, 2), np.float32), 0)


def test_weights_that_do_not_fit_the_intercept_are_refused():
    for weights in (np.zeros((30, 2), np.float32), np.zeros((3, 30), np.float32).T):
        with pytest.raises(ValueError, match=r"columns|contiguous"):
            score_rows(ROWS, weights, np.zeros(3, np.float32))
    with pytest.raises(ValueError, match="shape"):
        score_rows(ROWS, np.zeros((30, 0), np.float32), np.zeros(0, np.float32))


def test_a_learner_in_use_refuses_a_second_call():
    learner, rows = Learner(2**10, 3), sparse(np.tile(X, (200, 1)))
    started, refused = threading.Event(), []

    def learn():
        started.set()
        for _ in range(100):
            learner.learn(rows, np.tile(Y, 200))

    thread = threading.Thread(target=learn)
    thread.start()
    started.wait()
    while thread.is_alive():
        try:
            learner.learn(ROWS, Y)
        except RuntimeError as error:
            refused.append(str(error))
            break
    thread.join()
    assert "one call at a time" in refused[0]


@settings(deadline=None, max_examples=100)
@given(data=st.data())
def test_no_input_makes_it_panic(data):
    indptr = data.draw(hnp.arrays(np.int64, st.integers(0, 5), elements=st.integers(-1, 6)))
    n = data.draw(st.integers(0, 5))
    indices = data.draw(hnp.arrays(np.uint32, n))
    values = data.draw(hnp.arrays(np.float32, n))
    try:
        rows = Rows.from_arrays(indptr, indices, values)
        learner = Learner(data.draw(st.sampled_from([1, 7, 2**20])), data.draw(st.integers(2, 4)))
        classes = data.draw(hnp.arrays(np.int32, len(rows)))
        learner.learn(rows, classes % data.draw(st.integers(1, 5)))
        assert np.isfinite(learner.weights(0, learner.n_features)).all()
    except (ValueError, FloatingPointError):
        pass


@pytest.mark.parametrize("entry", ["set_state", "scatter"])
def test_a_state_in_fortran_order_is_the_same_state(entry):
    weights = np.arange(6, dtype=np.float32).reshape(2, 3)
    learner = Learner(50, n_classes=3, loss="log")
    start = 3 if entry == "set_state" else np.array([3, 4], np.uint32)
    getattr(learner, entry)(start, np.asfortranarray(weights), np.ones(2, np.float32))
    assert np.array_equal(learner.weights(3, 5), weights)
