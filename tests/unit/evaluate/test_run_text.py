"""The text of an evaluation: tables of classes and of confusions."""

import numpy as np

from manymill.evaluate import run
from manymill.metrics import count, summarise


def test_few_classes_have_a_whole_table_and_matrix():
    counts = count(np.array([0, 0, 1, 1]), np.array([0, 1, 1, 1]), 2)
    result = summarise(counts, ["ham", "spam"])
    assert run.classes(result).splitlines() == [
        "class  precision  recall      F1  rows  chosen",
        "ham       1.0000  0.5000  0.6667     2       1",
        "spam      0.6667  1.0000  0.8000     2       3",
    ]
    assert run.confusions(result, counts, 5).splitlines()[1:] == [
        "      ham  spam",
        "ham     1     1",
        "spam    0     2",
    ]


def test_many_classes_have_the_worst_ones_and_the_largest_confusions():
    true = np.repeat(np.arange(50), 2)
    chosen = np.where(true == 7, 8, true)
    counts = count(true, chosen, 60)
    result = summarise(counts, [f"c{i}" for i in range(60)])
    lines = run.classes(result).splitlines()
    assert lines[0] == "The 30 classes with the lowest F1, of 50 with rows:"
    assert lines[2].startswith("c7 ")
    assert run.confusions(result, counts, 5).splitlines()[2].split() == ["c7", "c8", "2"]


def test_many_classes_without_an_error_have_no_list_of_confusions():
    counts = count(np.arange(50), np.arange(50), 50)
    assert run.confusions(summarise(counts, list(range(50))), counts, 5) == ""


def test_many_classes_of_which_none_has_rows_have_no_table():
    counts = count(np.array([-1]), np.array([3]), 50)
    assert run.classes(summarise(counts, list(range(50)))) == ""


def test_labels_stay_on_their_line():
    assert run.shorten("a\nb\x1b[31m") == "a\N{REPLACEMENT CHARACTER}b\N{REPLACEMENT CHARACTER}[31m"
    assert len(run.shorten("x" * 100)) == 24
    assert run.shorten(17) == "17"


def test_the_summary_lists_only_some_unknown_labels():
    true = np.full(9, -1)
    counts = count(true, np.zeros(9, int), 2, unknown_labels="abcdefggg")
    text = run.summary(summarise(counts, "xy"), {"broken JSON": 2})
    assert (
        "9 rows have a label that is not a class of the model: g (3), a (1), b (1), c (1), d (1), ..." in text
    )
    assert "2 records were rejected: invalid JSON (2)" in text
