"""scikit-learn sees one of its own.

Of an estimator whose input is text, ``check_estimator`` runs a single check and skips the rest, since those make
up numbers for input. So those that need no input are called here by name, and the others have a test of their
own with texts: here and beside this file. ``tests/contract/test_estimator_checks.py`` runs them all on numbers
spelled as words.
"""

import pickle
import pickletools
import warnings

import numpy as np
import pytest
from sklearn.base import clone, is_classifier
from sklearn.exceptions import SkipTestWarning
from sklearn.model_selection import GridSearchCV, cross_val_predict, cross_val_score
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils import estimator_checks
from sklearn.utils.estimator_checks import check_estimator

from manymill import TextClassifier
from manymill.errors import ManymillError

LABELS = [("good", "bad", "mixed")[i % 3] for i in range(90)]
TEXTS = [f"{label} film {label[:2]} number{i % 11}" for i, label in enumerate(LABELS)]

WITHOUT_INPUT = [
    "check_do_not_raise_errors_in_init_or_set_params",
    "check_estimator_cloneable",
    "check_estimator_repr",
    "check_estimator_tags_renamed",
    "check_get_params_invariance",
    "check_mixin_order",
    "check_no_attributes_set_in_init",
    "check_parameters_default_constructible",
    "check_set_params",
    "check_valid_tag_types",
]


def small(**parameters):
    return TextClassifier(**{"n_features": 2**10, "threads": 1, **parameters})


def test_check_estimator_finds_nothing_and_skips_what_needs_numbers():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        results = check_estimator(TextClassifier(), on_fail=None)
    assert {result["status"] for result in results} == {"passed"}
    assert any(issubclass(warning.category, SkipTestWarning) for warning in caught)


@pytest.mark.parametrize("name", WITHOUT_INPUT)
def test_a_check_that_needs_no_input_finds_nothing(name):
    if not hasattr(estimator_checks, name):
        pytest.skip("this scikit-learn has no such check")
    getattr(estimator_checks, name)("TextClassifier", TextClassifier())


def test_its_tags_say_one_column_of_text_and_a_required_label():
    tags = TextClassifier().__sklearn_tags__()
    assert is_classifier(TextClassifier())
    assert (tags.input_tags.string, tags.input_tags.one_d_array, tags.input_tags.two_d_array) == (
        True,
        True,
        False,
    )
    assert tags.target_tags.required
    assert tags.requires_fit


def test_a_clone_has_the_parameters_and_nothing_learnt():
    classifier = small(class_weight={"good": 2.0}, ngram_range=(1, 2)).fit(TEXTS, LABELS)
    copy = clone(classifier)
    assert copy.get_params() == classifier.get_params()
    assert not hasattr(copy, "classes_")


def test_parameters_are_kept_as_they_are_given_and_read_when_fitting():
    classifier = TextClassifier().set_params(passes=-3, loss="no such loss")
    assert classifier.get_params()["passes"] == -3
    with pytest.raises(ManymillError, match="loss"):
        classifier.fit(TEXTS, LABELS)


def test_fit_changes_no_parameter_and_adds_only_names_with_an_underscore():
    classifier = small()
    before = classifier.get_params()
    classifier.fit(TEXTS, LABELS)
    assert classifier.get_params() == before
    assert {name for name in vars(classifier) if name not in before} == {
        "classes_",
        "holdout_score_",
        "n_iter_",
        "recipe_",
        "temperature_",
        "_link",
        "_state",
    }


def test_predicting_changes_nothing():
    classifier = small().fit(TEXTS, LABELS)
    before = {**vars(classifier)}
    classifier.predict(TEXTS)
    classifier.predict_proba(TEXTS)
    assert vars(classifier) == before


def test_fitting_twice_gives_the_same_model():
    classifier = small().fit(TEXTS, LABELS)
    first = classifier.decision_function(TEXTS)
    assert (classifier.fit(TEXTS, LABELS).decision_function(TEXTS) == first).all()


def test_texts_have_no_number_of_features():
    assert not hasattr(small().fit(TEXTS, LABELS), "n_features_in_")


def test_each_row_is_predicted_on_its_own_in_any_order():
    classifier = small().fit(TEXTS, LABELS)
    together = classifier.decision_function(TEXTS)
    assert (classifier.decision_function(TEXTS[::-1])[::-1] == together).all()
    assert (np.concatenate([classifier.decision_function([text]) for text in TEXTS]) == together).all()


def test_an_estimator_is_pickled_before_and_after_fit():
    before = pickle.loads(pickle.dumps(small()))
    fitted = before.fit(TEXTS, LABELS)
    after = pickle.loads(pickle.dumps(fitted))
    assert after.predict_proba(TEXTS).tolist() == fitted.predict_proba(TEXTS).tolist()
    assert (after.classes_ == fitted.classes_).all()
    assert after.get_params() == fitted.get_params()


def test_a_pickle_names_only_modules_that_stay_importable():
    names = {
        name
        for _, name, _ in pickletools.genops(pickle.dumps(small().fit(TEXTS, LABELS)))
        if isinstance(name, str)
    }
    stable = {
        "manymill.linear.classifier",
        "manymill.linear.settings",
        "manymill.linear.state",
    }
    assert {name for name in names if name.startswith("manymill.")} == stable


def test_a_loaded_model_is_pickled_with_its_weights(tmp_path):
    small().fit(TEXTS, LABELS).save(tmp_path / "model")
    loaded = TextClassifier.load(tmp_path / "model")
    copy = pickle.loads(pickle.dumps(loaded))
    assert copy.decision_function(TEXTS).tolist() == loaded.decision_function(TEXTS).tolist()


def test_it_ends_a_pipeline():
    pipeline = make_pipeline(
        FunctionTransformer(lambda X: [text.upper() for text in X]), small(lowercase=False)
    )
    pipeline.fit(TEXTS, LABELS, textclassifier__sample_weight=np.ones(90))
    assert pipeline.score(TEXTS, LABELS) > 0.95
    assert pipeline.predict_proba(TEXTS).shape == (90, 3)


def test_it_is_cross_validated():
    assert cross_val_score(small(), TEXTS, LABELS, cv=3).mean() > 0.9
    assert cross_val_predict(small(), TEXTS, LABELS, cv=3, method="predict_proba").shape == (90, 3)
    assert cross_val_score(small(), np.array(TEXTS, object), LABELS, cv=3, scoring="neg_log_loss").mean() > -1


def test_a_grid_of_its_parameters_is_searched():
    grid = {"n_features": [2, 2**10], "learning_rate": [None, 0.3]}
    search = GridSearchCV(small(), grid, cv=3).fit(TEXTS, LABELS)
    assert search.best_params_["n_features"] == 2**10
    assert search.best_score_ > 0.9
    assert search.predict(TEXTS).tolist() == search.best_estimator_.predict(TEXTS).tolist()


def test_another_estimator_may_wrap_it():
    wrapped = OneVsRestClassifier(small()).fit(np.array(TEXTS), LABELS)
    assert wrapped.score(np.array(TEXTS), LABELS) > 0.9
