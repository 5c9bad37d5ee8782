"""Options of the recipe, of features and of values that are decided: `train` and `plan` as a shell sees them."""

import json

import pytest

from manymill import TextClassifier
from manymill.constants import WORD_PATTERN

AUTO_VALUES = (
    "ngram_range",
    "char_ngram_range",
    "feature_weights",
    "loss",
    "l2",
    "initial_g",
    "passes",
    "n_features",
)


@pytest.fixture
def films(tmp_path):
    path = tmp_path / "films.jsonl"
    rows = [
        {"body": f"film {i} {('good', 'bad')[i % 2]}", "stars": ("pos", "neg")[i % 2]} for i in range(100)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture(autouse=True)
def working_folder(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def decided(manymill, films):
    """The settings that `plan --json` decides with some options."""

    def settings(*options):
        code, output, messages = manymill("plan", films, "--json", *options)
        assert code == 0, messages
        return json.loads(output)["settings"]

    return settings


def test_plan_decides_every_value_of_the_standard_recipe(decided):
    found = decided()
    assert {name: found[name] for name in AUTO_VALUES} == {
        "ngram_range": [1, 2],
        "char_ngram_range": [3, 3],
        "feature_weights": "nb-idf",
        "loss": "modified_huber",
        "l2": 0.3 / 100,
        "initial_g": 0.1,
        "passes": 2,
        "n_features": 2**18,
    }


def test_plan_decides_every_value_of_the_fast_recipe(decided):
    found = decided("--recipe", "fast")
    assert {name: found[name] for name in AUTO_VALUES} == {
        "ngram_range": [1, 1],
        "char_ngram_range": None,
        "feature_weights": None,
        "loss": "log",
        "l2": 0.0,
        "initial_g": 0.0,
        "passes": 1,
        "n_features": 2**22,
    }


@pytest.mark.parametrize(
    ("options", "values"),
    [
        (["--ngram-range", "2", "3"], {"ngram_range": [2, 3]}),
        (["--char-ngram-range", "2", "4"], {"char_ngram_range": [2, 4]}),
        (["--no-words"], {"ngram_range": None, "char_ngram_range": [3, 3]}),
        (["--no-characters"], {"ngram_range": [1, 2], "char_ngram_range": None}),
        (["--recipe", "fast", "--no-words", "--char-ngram-range", "1", "2"], {"char_ngram_range": [1, 2]}),
        (["--char-analyzer", "char"], {"char_analyzer": "char"}),
        (["--token-pattern", WORD_PATTERN], {"token_pattern": WORD_PATTERN}),
        (["--strip-accents", "ascii"], {"strip_accents": "ascii"}),
        (["--stop-words", "english"], {"stop_words": "english"}),
        (["--l2", "auto"], {"l2": 0.003}),
        (["--l2", "1e-5"], {"l2": 1e-5}),
        (["--l2", "2/rows"], {"l2": 0.02}),
        (["--recipe", "fast", "--l2", "2/rows"], {"l2": 0.02}),
        (["--initial-g", "auto"], {"initial_g": 0.1}),
        (["--initial-g", "0.5"], {"initial_g": 0.5}),
        (["--passes", "auto"], {"passes": 2}),
        (["--passes", "4"], {"passes": 4}),
        (["--loss", "log"], {"loss": "log", "initial_g": 0.0}),
        *((["--feature-weights", kind], {"feature_weights": kind}) for kind in ("nb-idf", "nb", "idf")),
        (["--feature-weights", "none"], {"feature_weights": None}),
    ],
    ids=str,
)
def test_an_option_takes_precedence_over_the_recipe(decided, options, values):
    found = decided(*options)
    assert {name: found[name] for name in values} == values


def test_stop_words_are_the_lines_of_a_file(decided, tmp_path):
    (tmp_path / "words.txt").write_text("film\n\n  gar\u00e7on \n", encoding="utf-8")
    assert decided("--stop-words", "words.txt")["stop_words"] == ["film", "gar\u00e7on"]


def test_plan_weighs_by_rarity_where_a_class_is_rare(films, decided):
    rows = [{"body": f"film {i}", "stars": "neg" if i % 20 else "pos"} for i in range(100)]
    films.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert decided()["feature_weights"] == "idf"


@pytest.mark.parametrize(
    ("options", "shown"),
    [
        (
            [],
            "model   words 1-2, characters 3 in 262,144 hash buckets, weights nb-idf; loss modified_huber, l2 0.003",
        ),
        (
            ["--recipe", "fast"],
            "model   words 1 in 4,194,304 hash buckets, weights none; loss log, no penalty",
        ),
        (["--no-words", "--l1", "1e-6"], "loss modified_huber, l1 1e-06, l2 0.003"),
    ],
    ids=str,
)
def test_plan_shows_what_was_decided(manymill, films, options, shown):
    assert shown in manymill("plan", films, *options)[1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--recipe", "slow"], "error: --recipe=slow is invalid: expected 'standard', 'fast' or 'auto'\n"),
        (
            ["--char-ngram-range", "4", "2"],
            "error: --char-ngram-range 4 2 is invalid: expected two integers with ",
        ),
        (["--ngram-range", "a", "2"], "error: --ngram-range a 2 is invalid: expected an integer\n"),
        (
            ["--stop-words", "none.txt"],
            "error: --stop-words=none.txt is invalid: expected 'english', or a file ",
        ),
        (["--token-pattern", "x"], f"error: --token-pattern=x is invalid: expected '{WORD_PATTERN}'\n"),
        (["--strip-accents", "x"], "error: --strip-accents=x is invalid: expected 'ascii' or 'unicode'\n"),
        (
            ["--l2=x"],
            "error: --l2=x is invalid: expected a number from 0 to 3.4e38, a multiple such as '0.3/rows', ",
        ),
        (["--l2", "-1/rows"], "error: --l2=-1/rows is invalid: expected a number from 0 to 3.4e38, "),
        (
            ["--initial-g", "-1"],
            "error: --initial-g=-1 is invalid: expected a number from 0 to 1e30, or 'auto'\n",
        ),
        (
            ["--passes", "1.5"],
            "error: --passes=1.5 is invalid: expected an integer from 1 to 2^31, or 'auto'\n",
        ),
        (
            ["--feature-weights", "x"],
            "error: --feature-weights=x is invalid: expected 'auto', 'nb-idf', 'nb', 'idf' ",
        ),
        (
            ["--char-analyzer", "char", "--no-characters"],
            "error: --char-analyzer=char is invalid: expected 'char_wb'",
        ),
        (
            ["--stop-words", "english", "--no-words"],
            "error: --stop-words=english is invalid: expected it to be left out, since there are no features of words",
        ),
        (["--token-pattern", WORD_PATTERN, "--no-words"], "is invalid: expected it to be left out"),
        (["--no-words", "--no-characters"], "--no-words excludes --no-characters"),
        (["--no-words", "--ngram-range", "1", "1"], "--ngram-range excludes --no-words"),
        (["--no-characters", "--char-ngram-range", "3", "3"], "--char-ngram-range excludes --no-characters"),
        (["--recipe", "fast", "--no-words"], "--no-words leaves no features with --recipe=fast: give "),
        (
            ["--recipe", "fast", "--char-analyzer", "char"],
            "error: --char-analyzer=char is invalid: expected ",
        ),
    ],
    ids=str,
)
def test_options_that_are_invalid_or_have_no_effect_are_refused_before_anything_is_written(
    manymill, films, tmp_path, options, message
):
    code, output, messages = manymill("train", films, "--out", "run", *options)
    assert (code, output) == (2, "")
    assert message in messages
    assert list(tmp_path.iterdir()) == [films]


def test_train_saves_the_features_that_the_options_choose(manymill, films, tmp_path):
    options = [
        "--no-words",
        "--char-ngram-range",
        "2",
        "2",
        "--char-analyzer",
        "char",
        "--strip-accents",
        "unicode",
    ]
    code, _, _ = manymill("train", films, "--out", "run", *options)
    assert code == 0
    saved = TextClassifier.load(tmp_path / "run" / "model")
    assert (saved.ngram_range, saved.char_ngram_range) == (None, (2, 2))
    assert (saved.char_analyzer, saved.strip_accents) == ("char", "unicode")
