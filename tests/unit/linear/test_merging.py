"""The choice of a merge rule and of a step on held-out margins."""

import numpy as np
import pytest

from manymill._core import Learner, MergeSums, Rows
from manymill.linear.holdout import mean_loss
from manymill.linear.merging import GRID, choose, n_sums, rules_of
from manymill.linear.settings import MERGES, SEARCHED

RNG = np.random.default_rng(0)
CLASSES = RNG.integers(0, 3, 200).astype(np.int32)
Z0 = np.zeros((200, 3), np.float32)
TRUTH = np.eye(3, dtype=np.float32)[CLASSES]
NOISY = (TRUTH + RNG.normal(size=(200, 3))).astype(np.float32)


def loss_of(scores, loss="log"):
    return mean_loss(scores, CLASSES, loss)


def towards_truth(loss):
    """Decision values of about such a loss."""
    lengths = np.linspace(0, 8, 2000, dtype=np.float32)
    return min((length * TRUTH for length in lengths), key=lambda z: abs(loss_of(z) - loss))


@pytest.mark.parametrize("loss", ["log", "hinge", "squared_hinge", "modified_huber", "squared_error"])
def test_search_takes_the_step_of_least_loss(loss):
    choice = choose({"mass": NOISY}, Z0, CLASSES, loss, SEARCHED)
    losses = [loss_of(np.float32(step) * NOISY, loss) for step in GRID]
    assert (choice.rule, choice.step) == ("mass", GRID[int(np.argmin(losses))])
    np.testing.assert_allclose(choice.loss, min(losses), rtol=1e-6)


def test_a_direction_that_harms_gets_step_0():
    assert choose({"mass": -TRUTH}, Z0, CLASSES, "log", SEARCHED).step == 0


def test_of_equal_steps_the_one_nearest_to_the_whole_one_is_taken():
    # Far beyond the margin, where the hinge is 0.
    assert choose({"mass": 9 * (2 * TRUTH - 1)}, Z0, CLASSES, "hinge", SEARCHED).step == 1


def test_a_rule_alone_is_taken_whole_even_if_it_harms():
    choice = choose({"uniform": -TRUTH}, Z0, CLASSES, "log", "uniform")
    assert (choice.rule, choice.step, choice.accuracy) == ("uniform", 1.0, 0.0)
    assert choice.loss == loss_of(-TRUTH)


@pytest.mark.parametrize(
    ("losses", "chosen"),
    [
        ((0.50, 0.50, 0.50), "damped"),
        ((0.54, 0.52, 0.50), "damped"),
        ((0.56, 0.54, 0.50), "mass"),
        ((0.56, 0.57, 0.50), "support"),
        ((0.90, 0.50, 0.80), "mass"),
    ],
)
def test_auto_takes_the_first_of_its_order_within_a_tenth_of_the_best(losses, chosen):
    candidates = {
        rule: towards_truth(loss) for rule, loss in zip(("damped", "mass", "support"), losses, strict=True)
    }
    choice = choose(candidates, Z0, CLASSES, "log", "auto")
    assert (choice.rule, choice.step) == (chosen, 1.0)


def test_auto_bears_a_loss_that_grew_by_less_than_a_tenth():
    before = towards_truth(0.50)
    assert choose({"damped": towards_truth(0.54)}, before, CLASSES, "log", "auto").step == 1
    assert choose({"damped": towards_truth(0.56)}, before, CLASSES, "log", "auto").step == 0


def test_auto_shortens_the_step_where_every_rule_stumbles():
    right = 2 * TRUTH - 1
    candidates = {"damped": 4 * right, "support": 2.5 * right, "mass": -right}
    choice = choose(candidates, Z0, CLASSES, "squared_error", "auto")
    # Of 4 a quarter would be right, of 2.5 two fifths.
    assert (choice.rule, choice.step, choice.accuracy) == ("support", 0.35, 1.0)


@pytest.mark.parametrize("bad", [np.nan, np.inf, np.float32(3e38)])
def test_margins_that_are_no_numbers_are_never_chosen(bad):
    broken = np.where(NOISY > 0, np.float32(bad), NOISY - np.float32(bad))
    assert choose({"damped": broken, "support": NOISY}, Z0, CLASSES, "log", "auto").rule == "support"
    assert choose({"damped": broken}, Z0, CLASSES, "squared_hinge", "auto").step == 0
    assert choose({"mass": broken}, Z0, CLASSES, "squared_hinge", SEARCHED).step == 0


@pytest.mark.parametrize("merge", [*MERGES, SEARCHED])
def test_without_held_out_rows_the_preferred_rule_is_taken_whole(merge):
    rules = rules_of(merge, 3)
    choice = choose(dict.fromkeys(rules, Z0[:0]), Z0[:0], CLASSES[:0], "log", merge)
    assert (choice.rule, choice.step) == (rules[0], 1.0)
    assert (choice.loss, choice.accuracy) == (None, None)


@pytest.mark.parametrize("merge", [*MERGES, SEARCHED])
@pytest.mark.parametrize("n_outputs", [1, 3, 1000])
def test_only_auto_compares_rules_and_none_where_outputs_are_many(merge, n_outputs):
    rules = rules_of(merge, n_outputs)
    if merge == "auto":
        several = ("magnitude", "damped", "support")
        assert rules == {1: ("damped", "mass", "support"), 3: several, 1000: ("magnitude",)}[n_outputs]
    else:
        assert rules == ("mass" if merge == SEARCHED else merge,)


@pytest.mark.parametrize("merge", [*MERGES, SEARCHED])
@pytest.mark.parametrize("n_outputs", [1, 3, 1000])
def test_the_number_of_sums_is_that_of_the_arrays_of_a_merge(merge, n_outputs):
    rules = rules_of(merge, n_outputs)
    learner = Learner(8, max(2, n_outputs))
    learner.begin_changes()
    learner.learn(Rows.from_arrays(np.int64([0, 1]), np.uint32([3]), np.float32([1])), np.int32([1]))
    sums = MergeSums.combine([MergeSums.of(learner, 1, rules)])
    plain, by_mass, magnitude, by_magnitude = sums.__reduce__()[1][4:8]
    assert sum(len(kind) > 0 for kind in (plain, by_mass, magnitude, by_magnitude)) == n_sums(rules)


def test_two_classes_have_one_margin():
    classes = np.array([1, 0, 1], np.int32)
    choice = choose(
        {"mass": np.float32([[2], [-2], [-1]])}, np.zeros((3, 1), np.float32), classes, "log", "mass"
    )
    np.testing.assert_allclose(choice.loss, np.mean(np.log1p(np.exp([-2, -2, 1]))))
    assert choice.accuracy == pytest.approx(2 / 3)
