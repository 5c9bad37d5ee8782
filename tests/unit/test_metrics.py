import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from manymill import metrics
from manymill.metrics import Counts, confusion_matrix, count, largest_confusions, summarise, wilson_interval

CLASSES = ("a", "b", "c", "d")
rows = st.lists(st.tuples(st.integers(-1, 3), st.integers(0, 3)), max_size=60)


def count_rows(pairs, seed=0):
    true, chosen = np.array(pairs, dtype=int).reshape(-1, 2).T
    given = np.random.default_rng(seed).dirichlet(np.ones(4), size=100)[: len(pairs)]
    unknown = [f"label {i % 3}" for i in range(int((true < 0).sum()))]
    return count(true, chosen, 4, probabilities=given, unknown_labels=unknown)


@given(rows, rows, rows)
@settings(deadline=None)
def test_merged_parts_give_the_metrics_of_all(a, b, c):
    parts = [count_rows(part, seed) for seed, part in enumerate((a, b, c))]
    whole = summarise(parts[0] + parts[1] + parts[2], CLASSES)
    assert whole == summarise(parts[2] + (parts[1] + parts[0]), CLASSES)
    together = summarise(Counts(4) + count_rows(a + b + c), CLASSES)
    assert (together.classes, together.n_unknown, together.accuracy) == (
        whole.classes,
        whole.n_unknown,
        whole.accuracy,
    )


@given(rows.filter(bool))
@settings(deadline=None)
def test_classification_metrics_equal_those_of_scikit_learn(pairs):
    from sklearn.metrics import precision_recall_fscore_support

    true, chosen = np.array(pairs).T
    result = summarise(count_rows(pairs), CLASSES)
    expected = precision_recall_fscore_support(true, chosen, labels=range(4), zero_division=0)
    for name, column in zip(("precision", "recall", "f1", "support"), expected, strict=True):
        np.testing.assert_allclose([getattr(row, name) for row in result.classes], column, rtol=1e-12)
    assert result.accuracy == pytest.approx(np.mean(true == chosen))


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=60))
@settings(deadline=None)
def test_means_and_confusion_matrix_equal_those_of_scikit_learn(pairs):
    from sklearn.metrics import confusion_matrix as reference
    from sklearn.metrics import f1_score, log_loss

    true, chosen = np.array(pairs).T
    counts = count_rows(pairs)
    result = summarise(counts, CLASSES)
    given = np.random.default_rng(0).dirichlet(np.ones(4), size=100)[: len(pairs)]
    assert result.macro_f1 == pytest.approx(f1_score(true, chosen, average="macro", zero_division=0))
    assert result.micro_f1 == pytest.approx(f1_score(true, chosen, average="micro"))
    assert result.log_loss == pytest.approx(log_loss(true, given, labels=range(4)), abs=1e-8)
    np.testing.assert_array_equal(confusion_matrix(counts), reference(true, chosen, labels=range(4)))


def test_an_unknown_label_is_never_right_and_is_listed():
    counts = count(np.array([0, -1, -1]), np.array([0, 0, 1]), 2, unknown_labels=["x", "y"])
    result = summarise(counts, "ab")
    assert (result.n_rows, result.n_correct, result.n_unknown) == (3, 1, 2)
    assert result.unknown_labels == {"x": 1, "y": 1}
    assert result.classes[0].precision == 0.5


def test_the_list_of_unknown_labels_is_bounded_and_merges_exactly(monkeypatch):
    monkeypatch.setattr(metrics, "MAX_UNKNOWN_LABELS", 3)
    none = np.empty(0, int)
    parts = [count(none, none, 2, unknown_labels=labels) for labels in ("dcba", "bxyd", "zab")]
    assert sum(parts, Counts(2)).unknown_labels == {"a": 2, "b": 3, "c": 1}


def test_largest_confusions_leave_out_what_was_right_or_unknown():
    counts = count(np.array([0, 0, 1, 1, 1, -1, 0]), np.array([0, 0, 2, 2, 0, 1, 0]), 3)
    assert largest_confusions(counts, 5) == [(1, 2, 2), (1, 0, 1)]
    assert largest_confusions(counts, 1) == [(1, 2, 2)]


def test_many_classes_take_memory_only_for_pairs_that_occur():
    k = 10**6
    counts = count(np.array([k - 1, 5]), np.array([k - 1, 6]), k) + count(np.array([5]), np.array([6]), k)
    assert counts.n_of_pair.tolist() == [2, 1]
    assert largest_confusions(counts, 9) == [(5, 6, 2)]


def test_the_wilson_interval_has_the_published_values():
    # Newcombe (1998), Statistics in Medicine 17, table I: 81 of 263, 15 of 148, 0 of 20, 1 of 29.
    published = {
        (81, 263): (0.2553, 0.3662),
        (15, 148): (0.0624, 0.1605),
        (0, 20): (0, 0.1611),
        (1, 29): (0.0061, 0.1718),
    }
    for numbers, interval in published.items():
        assert wilson_interval(*numbers) == pytest.approx(interval, abs=5e-5)
    assert wilson_interval(0, 0) == (0, 1)


def test_no_rows_give_metrics_without_a_warning():
    result = summarise(Counts(2), "ab")
    assert (result.n_rows, result.accuracy, result.macro_f1, result.log_loss) == (0, 0, 0, None)


def test_probabilities_that_are_nought_cost_a_finite_loss():
    counts = count(np.array([0]), np.array([1]), 2, probabilities=np.array([[0.0, 1.0]]))
    assert summarise(counts, "ab").log_loss == pytest.approx(-np.log(np.finfo(float).eps))


@given(st.integers(1, 10**7), st.floats(0, 1))
def test_the_wilson_interval_holds_the_share_and_stays_within_0_and_1(n_rows, share):
    for n_correct in (0, round(share * n_rows), n_rows):
        low, high = wilson_interval(n_correct, n_rows)
        assert 0 <= low <= n_correct / n_rows <= high <= 1
