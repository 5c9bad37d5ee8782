"""Recipes decide every parameter that nobody has chosen."""

from dataclasses import fields

import pytest

from manymill import Dataset, TextClassifier
from manymill.errors import SettingsError
from manymill.linear.recipe import TABLE_BYTES, feature_bytes, hash_buckets, max_table_features
from manymill.linear.settings import Settings

STANDARD = {
    "ngram_range": (1, 2),
    "char_ngram_range": (3, 3),
    "feature_weights": "auto",
    "loss": "modified_huber",
    "passes": 2,
    "l2": 0.3 / 1000,
    "initial_g": 0.1,
}
FAST = {
    "ngram_range": (1, 1),
    "char_ngram_range": None,
    "feature_weights": None,
    "loss": "log",
    "passes": 1,
    "l2": 0.0,
    "initial_g": 0.0,
}
CHOSEN = {
    "ngram_range": (2, 3),
    "char_ngram_range": (2, 4),
    "feature_weights": "idf",
    "loss": "hinge",
    "passes": 7,
    "l2": 0.5,
    "initial_g": 3.0,
    "n_features": 77,
}


def values(settings, names):
    return {name: getattr(settings, name) for name in names}


@pytest.mark.parametrize(("recipe", "expected"), [("standard", STANDARD), ("fast", FAST)])
def test_a_recipe_decides_every_parameter_that_is_auto(recipe, expected):
    settings = Settings(recipe=recipe)
    assert {field.name for field in fields(settings) if getattr(settings, field.name) == "auto"} == {
        *expected,
        "merge",
    }
    assert values(settings.resolve(2, 1000, 10**5), expected) == expected


@pytest.mark.parametrize("recipe", ["standard", "fast"])
@pytest.mark.parametrize("n_rows", [1000, None])
@pytest.mark.parametrize("name", CHOSEN)
def test_a_recipe_leaves_a_chosen_parameter_as_it_is(recipe, n_rows, name):
    settings = Settings(recipe=recipe, **{name: CHOSEN[name]}).resolve(3, n_rows, 10**5)
    assert getattr(settings, name) == CHOSEN[name]


@pytest.mark.parametrize("recipe", ["standard", "fast"])
def test_nothing_is_left_to_decide_after_the_first_time(recipe):
    settings = Settings(recipe=recipe).resolve(2, 1000, 10**5)
    assert settings.resolve(50, 10, 10**9) == settings


def test_rows_that_arrive_a_few_at_a_time_are_not_counted():
    settings = Settings().resolve(2)
    uncounted = {**STANDARD, "feature_weights": None, "l2": 0.0}
    assert values(settings, STANDARD) == uncounted
    assert settings.n_features == 2**22


@pytest.mark.parametrize(("n_rows", "l2"), [(1, 0.3), (100, 0.003), (3 * 10**6, 1e-7), (0, 0.3)])
def test_the_penalty_shrinks_with_the_number_of_rows(n_rows, l2):
    assert Settings().resolve(2, n_rows, 100).l2 == pytest.approx(l2)


@pytest.mark.parametrize(
    ("parameters", "initial_g"),
    [
        ({}, 0.1),
        ({"loss": "hinge"}, 0.1),
        ({"loss": "log"}, 0.0),
        ({"norm": None}, 0.0),
        ({"norm": "l1"}, 0.0),
    ],
    ids=str,
)
def test_squared_gradients_start_above_zero_only_for_losses_with_a_margin_on_rows_of_unit_length(
    parameters, initial_g
):
    assert Settings(**parameters).resolve(2, 1000, 100).initial_g == initial_g


@pytest.mark.parametrize(
    ("text_bytes", "n_features"),
    [(0, 2**18), (2**18, 2**18), (2**18 + 1, 2**19), (10**6, 2**20), (2**24, 2**24), (10**12, 2**24)],
)
@pytest.mark.parametrize("n_classes", [2, 1000])
def test_counted_features_have_as_many_buckets_as_the_text_has_bytes(text_bytes, n_features, n_classes):
    assert Settings().resolve(n_classes, 1000, text_bytes).n_features == n_features


@pytest.mark.parametrize(("n_classes", "n_features"), [(2, 2**22), (20, 2**22), (100, 2**20), (10**6, 2**16)])
def test_without_counts_the_state_of_all_classes_bounds_the_buckets_at_any_amount_of_text(
    n_classes, n_features
):
    for text_bytes in (0, 10**12):
        assert Settings(recipe="fast").resolve(n_classes, 1000, text_bytes).n_features == n_features
    fits = 4 * n_features * (n_classes + 2) <= TABLE_BYTES
    assert fits or n_features == 2**16
    assert hash_buckets(n_classes, 0, counted=False) == n_features


@pytest.mark.parametrize(("n_classes", "n_outputs"), [(1, 1), (2, 1), (3, 3), (1000, 1000)])
def test_a_table_holds_the_features_whose_weights_of_all_outputs_fit(n_classes, n_outputs):
    most, each = max_table_features(n_classes), feature_bytes(n_outputs, regularised=True)
    assert each >= 4 * (n_outputs + 2)
    assert most * each <= TABLE_BYTES < (most + 1) * each


def test_the_rows_of_a_plan_decide():
    plan = Dataset.from_memory(["good film", "bad film", "film"] * 100, ["a", "b", "c"] * 100).plan()
    settings = Settings()
    assert settings.for_plan(plan) == settings.resolve(3, 300, plan.text_bytes)
    assert settings.for_plan(plan, 5) == settings.resolve(5, 300, plan.text_bytes)


@pytest.mark.parametrize("recipe", ["standard", "fast"])
def test_partial_fit_learns_without_counts(recipe):
    classifier = TextClassifier(recipe=recipe).partial_fit(["good", "bad"], ["pos", "neg"], ["pos", "neg"])
    assert classifier.coef_.shape == (1, 2**22)
    assert classifier._state.table is None
    # Characters are features of the standard recipe only.
    assert (classifier.decision_function(["goo"]) != classifier.intercept_).all() == (recipe == "standard")


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"ngram_range": None, "char_ngram_range": None}, "ngram_range=None is invalid"),
        ({"ngram_range": None, "recipe": "fast"}, "ngram_range=None is invalid"),
        ({"ngram_range": None, "stop_words": "english"}, "stop_words='english' is invalid"),
        ({"ngram_range": None, "token_pattern": r"(?u)\b\w\w+\b"}, "token_pattern="),
        ({"char_ngram_range": None, "char_analyzer": "char"}, "char_analyzer='char' is invalid"),
        ({"recipe": "fast", "char_analyzer": "char"}, "char_analyzer='char' is invalid"),
        ({"recipe": "slow"}, "recipe='slow' is invalid: expected 'standard', 'fast' or 'auto'"),
    ],
    ids=str,
)
def test_features_that_the_recipe_does_not_have_are_refused_by_name(wrong, message):
    with pytest.raises(SettingsError, match=message):
        Settings(**wrong)
