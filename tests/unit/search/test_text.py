"""Candidates fitted to hashed texts have the models and scores of the texts themselves."""

import pickle
import uuid
from contextlib import suppress
from dataclasses import fields
from itertools import product

import numpy as np
import pytest
import scipy.stats
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, make_scorer, recall_score
from sklearn.model_selection import GridSearchCV

from manymill import ComplementNaiveBayes, TextClassifier, scan
from manymill.constants import WORD_PATTERN
from manymill.engine.threads import ThreadEngine
from manymill.errors import SettingsError
from manymill.hash_form import Form, word_form
from manymill.linear.settings import Settings
from manymill.search.evaluation import Assignment, SearchJob, evaluate, share_job, subsample
from manymill.search.events import Evaluation
from manymill.search.text import analyzer_forms, make_text_fitter

RNG = np.random.default_rng(5)
WORDS = np.array([f"word{i}" for i in range(300)])
N = 900
CODES = np.sort(RNG.integers(3, size=N))
TEXTS = np.array(
    [" ".join([*RNG.choice(WORDS, 25), *RNG.choice(WORDS[c * 9 : c * 9 + 15], 3)]) for c in CODES]
)
LABELS = np.array(["a", "b", "c"])[CODES]
TRAIN, TEST = np.split(RNG.permutation(N), [700])
SPACE = {"ngram_range": [(1, 1), (1, 2)], "lowercase": [True, False]}


ACCURACY = {"score": make_scorer(accuracy_score)}


def fitter(folder, estimator=None):
    estimator = TextClassifier(n_features=2**10) if estimator is None else estimator
    return make_text_fitter(estimator, TEXTS, LABELS, distributions=SPACE, folder=folder)


def scores_of(search, params, train=TRAIN, test=TEST, resource=None, scorers=ACCURACY):
    """The scores of a candidate of a search over texts, as a worker gives them."""
    job = SearchJob(search.estimator, {}, [(train, test)], scorers, text=search, metric=next(iter(scorers)))
    with ThreadEngine(1) as engine:
        outcome = evaluate(
            Assignment(share_job(engine, job, uuid.uuid4().hex), Evaluation(0, 0, 0, resource), params)
        )
    assert not outcome.error
    return outcome.scores


SETTINGS = [
    {"ngram_range": (1, 2), "n_features": 2**12, "value": "binary", "norm": "l1"},
    {"feature_weights": "nb", "loss": "hinge", "learning_rate": 0.1, "l2": 1e-3},
    {"feature_weights": "idf", "holdout": 0.1, "passes": 5, "patience": 1, "ngram_range": [1, 2]},
    {"lowercase": False, "n_features": 3**5, "class_weight": "balanced", "l1": 1e-4},
    {"lanes": 3, "rounds_per_pass": 2, "passes": 2},
    {"passes": 1, "random_state": 7},
]


@pytest.mark.parametrize("params", SETTINGS, ids=str)
def test_the_model_of_hashes_is_that_of_the_texts_bit_for_bit(tmp_path, params):
    with fitter(tmp_path) as search:
        ours = search.fit(params, TRAIN)
    texts = TextClassifier(n_features=2**10).set_params(**params).fit(TEXTS[TRAIN], LABELS[TRAIN])
    assert ours.coef_.tobytes() == texts.coef_.tobytes()
    assert ours.intercept_.tobytes() == texts.intercept_.tobytes()
    assert (ours.temperature_, ours.holdout_score_) == (texts.temperature_, texts.holdout_score_)


@pytest.mark.parametrize("params", [{"ngram_range": (1, 2)}, {"feature_weights": "nb", "value": "count"}])
def test_naive_bayes_of_hashes_is_that_of_the_texts(tmp_path, params):
    with fitter(tmp_path, ComplementNaiveBayes(n_features=2**10)) as search:
        ours = search.fit(params, TRAIN)
        score = scores_of(search, params)["score"]
    texts = ComplementNaiveBayes(n_features=2**10).set_params(**params).fit(TEXTS[TRAIN], LABELS[TRAIN])
    assert ours.feature_log_prob_.tobytes() == texts.feature_log_prob_.tobytes()
    assert score == texts.score(TEXTS[TEST], LABELS[TEST])


def test_the_rows_of_weight_0_are_left_out_as_they_are_of_texts(tmp_path):
    weights = (np.arange(len(TRAIN)) % 3).astype(np.float32)
    with fitter(tmp_path) as search:
        ours = search.estimator.fit(search.texts[TRAIN], LABELS[TRAIN], sample_weight=weights)
    texts = TextClassifier(n_features=2**10).fit(TEXTS[TRAIN], LABELS[TRAIN], sample_weight=weights)
    assert ours.coef_.tobytes() == texts.coef_.tobytes()


def test_scores_are_those_of_the_texts(tmp_path):
    recall = make_scorer(recall_score, average="macro", pos_label=None, response_method="predict")
    scorers = {"accuracy": make_scorer(lambda y, p: float(np.mean(y == p))), "recall": recall}
    with fitter(tmp_path) as search:
        scores = scores_of(search, {}, scorers=scorers)
    texts = TextClassifier(n_features=2**10).fit(TEXTS[TRAIN], LABELS[TRAIN])
    assert scores["accuracy"] == texts.score(TEXTS[TEST], LABELS[TEST])
    assert scores["recall"] == recall(texts, TEXTS[TEST], LABELS[TEST])


def test_a_resource_is_a_prefix_of_rows_that_are_mixed(tmp_path):
    rows = np.sort(TRAIN)
    few = subsample(rows, 50, CODES)
    with fitter(tmp_path) as search:
        score = scores_of(search, {}, rows, resource=50)["score"]
        assert scores_of(search, {}, rows, resource=9**9) == scores_of(search, {}, rows)
    texts = TextClassifier(n_features=2**10).fit(TEXTS[few], LABELS[few])
    assert score == texts.score(TEXTS[TEST], LABELS[TEST])


def test_greater_prefixes_hold_the_smaller_ones():
    rows = np.arange(100, 200)
    few, more = subsample(rows, 10), subsample(rows, 60)
    assert set(few) < set(more) < set(rows)
    assert few.tolist() == sorted(few)
    assert max(few) > 150
    assert np.array_equal(subsample(TRAIN, len(TRAIN)), TRAIN)


def test_a_fitter_pickles_without_the_texts_and_fits_alike(tmp_path):
    with fitter(tmp_path) as search:
        content = pickle.dumps(search)
        assert b"word1" not in content
        there, here = (each.fit({}, TRAIN) for each in (pickle.loads(content), search))
        assert there.coef_.tobytes() == here.coef_.tobytes()


def test_nothing_is_hashed_for_a_candidate(tmp_path, monkeypatch):
    with fitter(tmp_path) as search:
        monkeypatch.setattr("manymill.model.rows.RowHasher.rows", None)
        assert scores_of(search, {"ngram_range": (1, 2)})["score"] > 0.5


def test_a_dataset_is_searched_by_the_rows_of_its_files(tmp_path):
    mail = scan("examples/data/mail-test.jsonl.zst")
    search = make_text_fitter(TextClassifier(), mail, distributions={"passes": [1]}, folder=tmp_path)
    rows = np.arange(len(search.y))
    with search:
        assert scores_of(search, {}, rows[::2], rows[1::2])["score"] > 0.8


def test_scikit_learns_own_search_takes_hashed_texts(tmp_path):
    grid = {"ngram_range": [(1, 1), (1, 2)]}
    with fitter(tmp_path) as search:
        hashed = GridSearchCV(search.estimator, grid, cv=2).fit(search.texts, LABELS)
    texts = GridSearchCV(TextClassifier(n_features=2**10), grid, cv=2).fit(TEXTS, LABELS)
    ours, theirs = (s.cv_results_["mean_test_score"].tolist() for s in (hashed, texts))
    assert ours == theirs


def test_other_estimators_go_their_own_way(tmp_path):
    assert fitter(tmp_path, LogisticRegression()) is None


class Words:
    """What samples n-grams without listing them."""

    def rvs(self, random_state=None):
        return (1, 2)


def test_n_grams_that_are_not_listed_go_the_way_of_any_estimator(tmp_path):
    space = {"ngram_range": Words()}
    assert make_text_fitter(TextClassifier(), TEXTS, LABELS, distributions=space, folder=tmp_path) is None


def test_forms_are_all_that_may_come_up():
    spaces = [
        {"ngram_range": [(1, 1), [1, 3]], "l2": scipy.stats.loguniform(1e-9, 1)},
        {"lowercase": [False]},
    ]
    estimator = TextClassifier(ngram_range=(2, 2), char_ngram_range=None, token_pattern=WORD_PATTERN)
    forms = analyzer_forms(estimator, spaces)
    assert forms == (word_form(), word_form((1, 3)), word_form((2, 2), lowercase=False))


# Values of every parameter that decides what a document is hashed to; some combinations are invalid.
FORM_VALUES = {
    "recipe": ["standard", "fast"],
    "ngram_range": ["auto", None, [1, 3]],
    "char_ngram_range": ["auto", None, np.array([2, 4])],
    "char_analyzer": ["char_wb", "char"],
    "token_pattern": [None, WORD_PATTERN],
    "stop_words": [None, "english", ["a", "the"]],
    "strip_accents": [None, "ascii", np.str_("unicode")],
    "lowercase": [True, np.False_],
}


def test_values_of_every_parameter_of_a_form_are_listed():
    assert FORM_VALUES.keys() == {"recipe", *(field.name for field in fields(Form))}


@pytest.mark.parametrize("name", FORM_VALUES)
def test_forms_are_those_of_all_values_of_a_parameter(name):
    valid = []
    for value in FORM_VALUES[name]:
        plain = tuple(value) if isinstance(value, list | np.ndarray) else value
        with suppress(SettingsError):
            valid.append(Settings(**{name: plain}).form)
    assert len(valid) >= 2
    assert analyzer_forms(TextClassifier(), {name: FORM_VALUES[name]}) == tuple(dict.fromkeys(valid))


def test_forms_are_those_of_all_valid_combinations():
    names = ("recipe", "ngram_range", "char_ngram_range")
    space = {name: FORM_VALUES[name] for name in names}
    standard = product([(1, 2), (1, 3), None], [(3, 3), (2, 4), None])
    fast = product([(1, 1), (1, 3), None], [(2, 4), None])
    expected = {*standard, *fast} - {(None, None)}
    forms = analyzer_forms(TextClassifier(), space)
    assert {(form.ngram_range, form.char_ngram_range) for form in forms} == expected


@pytest.mark.parametrize("name", FORM_VALUES)
def test_candidates_with_any_value_of_a_form_train_on_hashes_like_on_texts(tmp_path, name):
    space = {name: FORM_VALUES[name]}
    estimator = TextClassifier(n_features=2**10)
    with make_text_fitter(estimator, TEXTS, LABELS, distributions=space, folder=tmp_path) as search:
        for value in FORM_VALUES[name]:
            try:
                texts = TextClassifier(n_features=2**10, **{name: value}).fit(TEXTS[TRAIN], LABELS[TRAIN])
            except SettingsError:
                continue
            assert search.fit({name: value}, TRAIN).coef_.tobytes() == texts.coef_.tobytes()
