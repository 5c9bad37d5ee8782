"""The index of classes."""

import numpy as np
import pytest

from manymill.data.batches import Labels
from manymill.linear.state import ClassIndex, ClassWeights


def test_classes_are_numbered_as_they_are_met_new_ones_sorted():
    index = ClassIndex(["pos", "neg"])
    assert index.names == ("neg", "pos")
    assert index.add(["spam", "pos", "ham"]) == ("ham", "spam")
    assert index.names == ("neg", "pos", "ham", "spam")


def test_labels_become_numbers_and_unknown_ones_minus_one():
    index = ClassIndex.in_order(["b", "a"])
    labels = Labels.of(["a", "x", "b", "a"])
    assert index.encode(labels).tolist() == [1, -1, 0, 1]


def test_integers_are_sorted_as_numbers():
    index = ClassIndex.in_order(["10", "9", "-1"])
    assert index.sorted_order(as_integers=True).tolist() == [2, 1, 0]
    assert index.sorted_order(as_integers=False).tolist() == [2, 0, 1]


def test_balanced_weights_are_those_of_scikit_learn_over_the_rows_met():
    from sklearn.utils.class_weight import compute_class_weight

    index, weights = ClassIndex(["a", "b", "c"]), ClassWeights("balanced")
    first, second = np.array([0, 0, 1, 2, 0], np.int32), np.array([1, 0, 0], np.int32)
    weights.update(first, index, count=True)
    got = weights.update(second, index, count=True)
    expected = compute_class_weight("balanced", classes=np.arange(3), y=np.concatenate([first, second]))
    assert got == pytest.approx(expected.astype(np.float32))


def test_balanced_weights_make_room_for_a_class_met_late():
    index, weights = ClassIndex(["a", "b"]), ClassWeights("balanced")
    weights.update(np.array([0, 0, 1], np.int32), index, count=True)
    index.add(["c"])
    got = weights.update(np.array([2], np.int32), index, count=True)
    assert got == pytest.approx([4 / 6, 4 / 3, 4 / 3])


def test_rows_counted_once_are_not_counted_again_in_a_later_pass():
    index, weights = ClassIndex(["a", "b"]), ClassWeights("balanced")
    codes = np.array([0, 0, 0, 1], np.int32)
    before = weights.update(codes, index, count=True)
    after = weights.update(codes, index, count=False)
    assert before is not None
    assert after is not None
    assert before.tolist() == after.tolist()


def test_weights_by_label_leave_the_others_at_one():
    got = ClassWeights({"b": 3, 7: 2.0}).update(
        np.zeros(0, np.int32), ClassIndex.in_order(["a", "b", "7"]), count=True
    )
    assert got is not None
    assert got.tolist() == [1, 3, 2]
