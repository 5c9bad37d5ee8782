"""SearchCV over text: hashed once, with the scores of the texts themselves."""

import threading

import numpy as np
import pytest
from scipy import stats
from sklearn import config_context
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.utils import get_tags

from manymill import ComplementNaiveBayes, SearchCV, TextClassifier, scan
from manymill.data.reader import read
from manymill.errors import RunFolderError, SchemaError, SettingsError
from manymill.search.hashed_corpus import HashedCorpus
from manymill.search.journal import read_status, request_abort
from manymill.search.text import analyzer_forms

RNG = np.random.default_rng(8)
WORDS = np.array([f"word{i}" for i in range(200)])
CODES = RNG.integers(2, size=300)
TEXTS = [" ".join([*RNG.choice(WORDS, 20), *RNG.choice(WORDS[c * 6 : c * 6 + 9], 2)]) for c in CODES]
LABELS = np.array(["bad", "good"])[CODES]
GRID = {"ngram_range": [(1, 1), (1, 2)], "value": ["log", "binary"]}
FOLDS = StratifiedKFold(3, shuffle=True, random_state=0)
MAIL = "examples/data/mail-test.jsonl.zst"


@pytest.fixture(autouse=True)
def caches(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))


def search(estimator=None, grid=GRID, **kwargs):
    estimator = TextClassifier(n_features=2**10) if estimator is None else estimator
    return SearchCV(estimator, grid, sampler="grid", cv=FOLDS, engine=2, **kwargs)


def by_params(found, name):
    """A column of results by candidate, whatever their order."""
    params, column = found.cv_results_["params"], found.cv_results_[name]
    return {str(sorted(p.items())): x for p, x in zip(params, column, strict=True)}


def test_the_tags_are_those_of_the_estimator():
    tags, inner = get_tags(search()).input_tags, get_tags(TextClassifier()).input_tags
    assert tags.string
    assert (tags.one_d_array, tags.two_d_array) == (inner.one_d_array, inner.two_d_array) == (True, False)


@pytest.mark.parametrize(
    "estimator", [TextClassifier(n_features=2**10), ComplementNaiveBayes(n_features=2**10)]
)
def test_it_finds_what_scikit_learns_search_finds_among_the_texts(estimator):
    ours = search(estimator, return_train_score=True).fit(TEXTS, LABELS)
    theirs = GridSearchCV(estimator, GRID, cv=FOLDS, return_train_score=True).fit(TEXTS, LABELS)
    for name in ("mean_test_score", "std_test_score", "mean_train_score"):
        assert by_params(ours, name) == pytest.approx(by_params(theirs, name), rel=1e-15)
    assert ours.best_params_ == theirs.best_params_
    assert ours.predict(TEXTS[:20]).tolist() == theirs.predict(TEXTS[:20]).tolist()


def test_candidates_are_not_hashed(monkeypatch):
    monkeypatch.setattr("manymill.model.rows.RowHasher.rows", None)
    found = search(refit=False).fit(TEXTS, LABELS)
    assert not found.handle_.failures()


def test_a_dataset_is_searched_and_the_best_fitted_on_it():
    found = search(grid={"passes": [1, 2]}).fit(scan(MAIL))
    assert found.best_score_ > 0.8
    assert found.score(scan(MAIL)) > found.best_score_


def test_hashed_texts_are_searched_as_they_are(tmp_path):
    forms = analyzer_forms(TextClassifier(), GRID)
    with HashedCorpus.build(TEXTS, LABELS, forms=forms, folder=tmp_path) as corpus:
        ours = search().fit(corpus.texts, corpus.y)
    assert by_params(ours, "mean_test_score") == by_params(search().fit(TEXTS, LABELS), "mean_test_score")


def test_the_files_are_let_go_when_the_search_is_over(tmp_path):
    search().fit(TEXTS, LABELS)
    assert not list(tmp_path.glob("caches/**/in-use-*"))
    assert list(tmp_path.glob("caches/manymill/hashed-texts/*/hashes"))


def test_halving_gives_few_rows_first():
    space = {"learning_rate": np.geomspace(0.01, 3, 9).tolist()}
    found = search(grid=space, halving=True, min_resource=25, eta=3).fit(TEXTS, LABELS)
    counts = found.handle_.progress()
    assert (counts.failed, counts.pending, counts.running) == (0, 0, 0)
    assert 27 + 9 <= counts.done < 2 * 27  # two rungs, of 66 and of 200 rows


def test_a_search_does_not_go_on_with_other_texts(tmp_path):
    search(run=tmp_path / "run").fit(TEXTS, LABELS)
    with pytest.raises(RunFolderError):
        search(run=tmp_path / "run").fit([*TEXTS[:-1], "other"], LABELS)


@pytest.fixture
def gate(monkeypatch):
    """Texts are read when it is opened."""
    opened = threading.Event()
    opened.reached = threading.Event()

    def read_then(*arguments, **options):
        opened.reached.set()
        assert opened.wait(30)
        return read(*arguments, **options)

    monkeypatch.setattr("manymill.search.hashed_corpus.read", read_then)
    return opened


def test_a_search_is_started_before_a_text_is_read(gate):
    handle = search(refit=False).start(scan(MAIL))
    assert (handle.progress().total, handle.best_so_far()) == (0, None)
    assert "preparing" in str(handle)
    gate.set()
    handle.wait()
    assert handle.progress().done == 12


def test_an_abort_while_texts_are_hashed_leaves_nothing_begun(gate, tmp_path):
    handle = search(refit=False).start(scan(MAIL))
    handle.abort()
    gate.set()
    assert handle.wait(30)
    assert (handle.progress().total, handle.progress().ended) == (0, "aborted")
    assert not list(tmp_path.rglob("*-hashes-*"))


def test_others_see_and_end_a_search_while_texts_are_hashed(gate, tmp_path):
    run = tmp_path / "run"
    handle = search(refit=False, run=run).start(scan(MAIL))
    assert gate.reached.wait(30)
    assert "preparing the data" in str(read_status(run))
    with pytest.raises(RunFolderError, match="another process"):
        search(run=run).fit(TEXTS, LABELS)
    request_abort(run)
    gate.set()
    assert handle.wait(30)
    assert (handle.progress().ended, (run / "search.jsonl").exists()) == ("aborted", False)


def test_data_that_cannot_be_read_is_told_by_who_waits(gate):
    gate.set()
    handle = search(refit=False).start(scan(MAIL, text="no such column"))
    with pytest.raises(SchemaError, match="no such column"):
        handle.wait()


def test_a_search_that_an_error_ends_lets_its_hashed_texts_go(tmp_path):
    with pytest.raises(ValueError, match="nothing"):
        search(grid={"loss": ["nothing"]}, error_score="raise").fit(TEXTS, LABELS)
    assert list(tmp_path.rglob("*-hashes-*"))
    assert not list(tmp_path.rglob("in-use-*"))


@pytest.mark.parametrize("words", [3, (2, 1), (0, 1), ("a", "b"), (1, 2, 3), (1.0, 2.0)])
def test_n_grams_that_cannot_be_fail_alone(words):
    found = search(grid={"ngram_range": [(1, 1), words]}, refit=False)
    handle = found.start(TEXTS, LABELS)
    handle.wait()
    assert (handle.progress().done, handle.progress().failed) == (3, 3)
    assert all("ngram_range" in failure.error for failure in handle.failures())


def test_a_dataset_that_cannot_be_hashed_once_is_refused():
    drawn = {"ngram_range": stats.randint(1, 3)}
    with pytest.raises(SettingsError, match="a Dataset can be searched only with"):
        SearchCV(TextClassifier(), drawn, cv=FOLDS).fit(scan(MAIL))


def test_no_resource_is_told_that_is_not_there():
    found = search(halving=True, min_resource=50, max_resource=10**6, refit=False)
    found.start(TEXTS, LABELS).wait()
    assert max(found.cv_results_["n_resources"]) <= 200


@pytest.mark.parametrize("labels", [[None, *LABELS[1:].tolist()], [float("nan"), *CODES[1:].tolist()]])
def test_a_label_that_is_missing_is_told(labels):
    with pytest.raises(SchemaError, match=r"labels\[0\] is missing"):
        search().fit(TEXTS, labels)


def test_a_stream_is_searched_and_the_best_fitted_on_it():
    found = search().fit(iter(TEXTS), iter(LABELS))
    assert (
        found.best_estimator_.predict(TEXTS).tolist() == search().fit(TEXTS, LABELS).predict(TEXTS).tolist()
    )


def test_the_best_has_the_passes_that_it_was_scored_with():
    found = search(halving=True, resource="passes", min_resource=1, max_resource=4, eta=2).fit(TEXTS, LABELS)
    assert found.best_estimator_.passes == found.cv_results_["n_resources"][found.best_index_] > 1


def test_workers_have_scikit_learns_settings_of_who_searches_over_texts():
    with config_context(assume_finite=True):
        found = search(refit=False).fit(TEXTS, LABELS)
    assert found.handle_.job.config["assume_finite"]
