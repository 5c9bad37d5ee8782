"""The default search of text models: it begins with the recipe, and says whether anything is better."""

import json
from itertools import product

import pytest

import manymill
from manymill import SearchCV, TextClassifier
from manymill.errors import PlanError, SettingsError
from manymill.linear.settings import Settings
from manymill.search.estimator import FailedCandidatesWarning
from manymill.search.journal import FILE_NAME
from manymill.search.run import DEFAULT_SPACES, recipe_verdict, run_search

# Each word occurs with both labels; only pairs of words tell them apart.
TEXTS = ["good fun", "bad plot", "good plot", "bad fun"] * 10
LABELS = ["pos", "pos", "neg", "neg"] * 10


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def default_search(tmp_path):
    """A search without a space over 40 rows, in the same run folder every time."""
    rows = tmp_path / "rows.jsonl"
    labelled = zip(TEXTS, LABELS, strict=True)
    rows.write_text("".join(json.dumps({"text": text, "label": label}) + "\n" for text, label in labelled))

    def search(estimator=None, **options):
        data = {"source": str(rows), "text": "text", "label": "label"}
        config = {"data": data, "estimator": estimator or {}, "search": {"cv": 2, "n_trials": 3, **options}}
        return run_search(config, tmp_path / "run")

    return search


def candidates(search):
    """The parameters of each candidate in the order of proposal."""
    return [params for _, params in sorted(search.handle_.policy.params.items())]


@pytest.mark.parametrize("kind", DEFAULT_SPACES)
def test_the_default_spaces_are_of_parameters_of_the_estimator(kind):
    estimator = getattr(manymill, kind)()
    for space in DEFAULT_SPACES[kind]:
        assert space.keys() <= estimator.get_params().keys()


@pytest.mark.parametrize("space", DEFAULT_SPACES["TextClassifier"], ids=range(3))
def test_every_candidate_of_the_default_search_is_valid(space):
    for values in product(*space.values()):
        assert Settings(**dict(zip(space, values, strict=True))).resolve(2, 100, 1000).l2 in (
            0.003, 0.001, 0.01, 0.03, 0.1,
        )  # fmt: skip


@pytest.mark.parametrize("sampler", ["auto", "grid", "random", "tpe", "qmc"])
def test_the_first_candidate_is_the_recipe(default_search, sampler):
    if sampler in ("tpe", "qmc"):
        pytest.importorskip("optuna")
    found = default_search(sampler=sampler, max_evaluations=4)
    assert set(candidates(found)[0].values()) == {"auto"}


def test_a_search_that_was_killed_resumes_with_the_same_candidates(default_search, tmp_path):
    whole = candidates(default_search(n_trials=4))
    journal = tmp_path / "run" / FILE_NAME
    lines = journal.read_text().splitlines(keepends=True)
    proposed = [at for at, line in enumerate(lines) if '"Proposed"' in line]
    journal.write_text("".join(lines[: proposed[2]]))
    assert candidates(default_search(n_trials=4)) == whole


@pytest.mark.parametrize(
    ("fixed", "kinds"),
    [
        ({}, {(True, True), (True, False), (False, True)}),
        ({"char_ngram_range": "none"}, {(True, False)}),
        ({"ngram_range": "none"}, {(False, True)}),
        ({"char_ngram_range": [2, 2]}, {(True, True), (False, True)}),
        ({"ngram_range": [1, 3]}, {(True, True), (True, False)}),
    ],
    ids=str,
)
def test_only_features_that_are_not_fixed_are_varied(default_search, fixed, kinds):
    found = default_search({"passes": 1, "n_features": 64, **fixed}, n_trials=16)
    assert not found.handle_.failures()
    given = [{**params, **fixed} for params in candidates(found)]
    names = ("ngram_range", "char_ngram_range")
    assert {tuple(params[name] not in (None, "none") for name in names) for params in given} == kinds


def test_no_features_at_all_are_an_error(default_search):
    with pytest.raises(PlanError, match="ngram_range=None is invalid"):
        default_search({"ngram_range": "none", "char_ngram_range": "none"})


@pytest.mark.parametrize(
    ("first", "verdict"),
    [
        ((1, 2), "nothing is better than the default recipe"),
        ((1, 1), "the best candidate is better than the default recipe: 1.0000 instead of 0."),
    ],
)
def test_the_verdict_compares_the_first_candidate_with_the_best(first, verdict):
    estimator = TextClassifier(char_ngram_range=None, n_features=2**10)
    space = {"ngram_range": [(1, 1), (1, 2)]}
    found = SearchCV(estimator, space, cv=2, first={"ngram_range": first}).fit(TEXTS, LABELS)
    assert recipe_verdict(found).startswith(verdict)


def test_there_is_no_verdict_without_a_first_candidate():
    found = SearchCV(TextClassifier(n_features=2**10), {"passes": [1]}, cv=2).fit(TEXTS, LABELS)
    assert recipe_verdict(found) == ""


def test_a_first_candidate_without_a_score_is_reported():
    estimator = TextClassifier(n_features=2**10)
    with pytest.warns(FailedCandidatesWarning):
        found = SearchCV(estimator, {"passes": [0, 1]}, cv=2, first={"passes": 0}).fit(TEXTS, LABELS)
    assert recipe_verdict(found) == "the default recipe has no score"


@pytest.mark.parametrize(
    "first",
    [{"passes": 2}, {"passes": True}, {"loss": "log"}, {}, {"passes": 1, "loss": "log"}, [1]],
    ids=str,
)
def test_a_first_candidate_outside_the_spaces_is_refused(first):
    search = SearchCV(TextClassifier(), [{"passes": [1, 3]}, {"l1": [0.0]}], first=first)
    with pytest.raises(
        SettingsError, match=r"first=.* is invalid: expected a value of each parameter of one space"
    ):
        search.fit(TEXTS, LABELS)
