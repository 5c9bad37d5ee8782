"""L2 regularisation as a multiple of one divided by the number of rows."""

import numpy as np
import pytest

from manymill import SearchCV, TextClassifier
from manymill.errors import SettingsError
from manymill.linear.settings import Settings
from manymill.validation import times_rows

TEXTS = [f"{('good', 'bad')[i % 2]} film number {i % 7}" for i in range(120)]
LABELS = ["pos", "neg"] * 60


def model(l2, rows=slice(None), **parameters):
    return TextClassifier(l2=l2, n_features=2**10, **parameters).fit(TEXTS[rows], LABELS[rows])


@pytest.mark.parametrize(
    ("value", "number"),
    [
        ("0.3/rows", 0.3),
        ("1e1/rows", 10.0),
        ("0/rows", 0.0),
        *(
            (other, None)
            for other in ("-1/rows", "nan/rows", "inf/rows", "/rows", "x/rows", "1/row", "rows", 0.3, None)
        ),
    ],
)
def test_a_multiple_is_a_finite_number_of_0_or_more_by_rows(value, number):
    assert times_rows(value) == number


@pytest.mark.parametrize("recipe", ["standard", "fast"])
def test_a_multiple_is_divided_by_the_number_of_rows(recipe):
    assert model("6/rows", recipe=recipe).coef_.tobytes() == model(6 / 120, recipe=recipe).coef_.tobytes()
    few = slice(40)
    assert np.array_equal(model("6/rows", few, recipe=recipe).coef_, model(6 / 40, few, recipe=recipe).coef_)


def test_the_standard_recipe_is_a_multiple():
    assert model("0.3/rows").coef_.tobytes() == model("auto").coef_.tobytes()


def test_candidates_of_a_search_divide_by_their_own_rows():
    multiples = SearchCV(TextClassifier(n_features=2**10), {"l2": ["6/rows"]}, cv=3).fit(TEXTS, LABELS)
    numbers = SearchCV(TextClassifier(n_features=2**10), {"l2": [6 / 80]}, cv=3).fit(TEXTS, LABELS)
    assert multiples.cv_results_["split0_test_score"] == numbers.cv_results_["split0_test_score"]
    assert multiples.best_estimator_.coef_.tobytes() == model(6 / 120).coef_.tobytes()


def test_rows_that_arrive_a_few_at_a_time_have_no_multiple():
    learner = TextClassifier(l2="0.3/rows")
    with pytest.raises(
        SettingsError, match=r"l2='0.3/rows' is invalid: expected a number: the rows are not counted"
    ):
        learner.partial_fit(TEXTS, LABELS, classes=["neg", "pos"])


@pytest.mark.parametrize("value", ["much", "-1/rows", "0.3 / cells", "1/rows/rows", True])
def test_what_is_neither_a_number_nor_a_multiple_is_refused(value):
    with pytest.raises(
        SettingsError, match=r"l2=.* is invalid: expected a number from 0 to 3.4e38, a multiple "
    ):
        Settings(l2=value)


@pytest.mark.parametrize("weights", [None, [0.01 * (1 + i % 3) for i in range(len(TEXTS))]])
def test_the_multiple_of_the_recipe_is_what_auto_is(weights):
    auto, multiple = (
        TextClassifier(l2=l2, n_features=2**10).fit(TEXTS, LABELS, weights) for l2 in ("auto", "0.3/rows")
    )
    assert auto.coef_.tobytes() == multiple.coef_.tobytes()
