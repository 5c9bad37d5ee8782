"""One form of the error for a bad parameter, in Python and on the command line."""

import numpy as np
import pytest

import manymill
from manymill.cli import app
from manymill.errors import SettingsError
from manymill.estimator_support import seed_from
from manymill.validation import check_bool, check_choice, check_integer

ROWS = [[0.0], [1.0]] * 10
LABELS = [0, 1] * 10
TEXTS = ["good fun", "bad plot"] * 10


@pytest.mark.parametrize(
    ("estimator", "X", "message"),
    [
        (manymill.TextClassifier(passes=0), TEXTS, "passes=0 is invalid: expected an integer from 1 to"),
        (
            manymill.TextClassifier(threads=1.5),
            TEXTS,
            "threads=1.5 is invalid: expected an integer of 1 or more",
        ),
        (manymill.TextClassifier(random_state=-1), TEXTS, "random_state=-1 is invalid: expected an integer"),
        (manymill.ComplementNaiveBayes(alpha=0), TEXTS, "alpha=0 is invalid: expected a number above 0"),
        (
            manymill.PartitionedForestClassifier(mode="x"),
            ROWS,
            "mode='x' is invalid: expected 'shared'",
        ),
        (manymill.PartitionedForestClassifier(random_state=-1), ROWS, "random_state=-1 is invalid"),
        (
            manymill.ParameterMixingClassifier(rounds=0),
            ROWS,
            "rounds=0 is invalid: expected an integer of 1 or more",
        ),
        (manymill.ParameterMixingClassifier(random_state=-1), ROWS, "random_state=-1 is invalid"),
    ],
    ids=lambda value: type(value).__name__ if hasattr(value, "get_params") else None,
)
def test_an_estimator_names_the_parameter_its_value_and_what_is_expected(estimator, X, message) -> None:
    with pytest.raises(SettingsError) as error:
        estimator.fit(X, LABELS)
    assert str(error.value).startswith(message)


def test_a_search_refuses_a_negative_seed_like_any_estimator() -> None:
    search = manymill.SearchCV(manymill.ComplementNaiveBayes(), {"alpha": [0.1, 1.0]}, random_state=-1)
    with pytest.raises(SettingsError, match="random_state=-1 is invalid"):
        search.fit(TEXTS, LABELS)


def test_the_command_line_names_the_option(tmp_path, capsys) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text('{"text": "a", "label": "x"}\n' * 3)
    assert app.run(["train", str(file), "--lanes", "2", "--rounds", "0", "--out", str(tmp_path / "run")]) == 2
    assert "error: --rounds=0 is invalid: expected an integer from 1 to 10,000" in capsys.readouterr().err


@pytest.mark.parametrize("value", [True, 1.0, "1", None, np.bool_(True)])
def test_only_integers_are_integers(value) -> None:
    with pytest.raises(SettingsError):
        check_integer(value, "n", 0)


def test_integers_of_numpy_are_integers() -> None:
    check_integer(np.int64(3), "n", 3, 3)


def test_truth_values_of_numpy_are_truth_values() -> None:
    check_bool(np.True_, "flag")


def test_a_choice_that_is_not_hashable_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"kind=\['a'\] is invalid: expected 'a', 'b' or None"):
        check_choice(["a"], "kind", ("a", "b"), optional=True)


def test_equal_generators_give_equal_seeds() -> None:
    assert seed_from(np.random.RandomState(7)) == seed_from(np.random.RandomState(7))


def test_an_error_keeps_its_parameter_on_its_way_between_processes() -> None:
    import pickle

    error = pickle.loads(pickle.dumps(SettingsError.invalid("n", 0, "1 or more")))
    assert error.parameter == ("n", "1 or more")
