"""Each training parameter is declared once; estimators and the command line agree with the declaration."""

import inspect

import click

from manymill import ComplementNaiveBayes, TextClassifier
from manymill.cli.app import app
from manymill.cli.train import train
from manymill.cli.training_options import with_training_request
from manymill.linear.settings import Settings
from manymill.validation import declared

DEFAULTS = {name: default for name, default, _ in declared(Settings)}
# Settings that the classifier has in another form, with the reason.
NOT_OF_THE_CLASSIFIER = {
    "seed": "scikit-learn calls it random_state",
    "window_bytes": "the rows of an estimator are in memory, or a Dataset has few reasons to change it",
}


def parameters_of_train(*arguments):
    parent = click.Context(app, **app.context_settings)
    with train.make_context("train", ["rows.csv", *arguments], parent=parent) as context:
        return context.params


def defaults_of(estimator):
    return {
        name: parameter.default
        for name, parameter in inspect.signature(estimator).parameters.items()
        if name in DEFAULTS
    }


def test_every_setting_is_an_option_of_train():
    options = {option.name for option in train.params if isinstance(option, click.Option)}
    assert not DEFAULTS.keys() - options


def test_training_without_options_has_the_defaults_of_the_settings(tmp_path):
    rows = tmp_path / "rows.csv"
    rows.write_text("text,label\ngood,pos\n")
    requests = []
    command = click.command(with_training_request(lambda request: requests.append(request)))
    command.main([str(rows)], standalone_mode=False)
    assert [request.settings for request in requests] == [Settings()]


def test_every_setting_is_a_parameter_of_the_classifier_or_has_a_reason():
    assert defaults_of(TextClassifier).keys() == DEFAULTS.keys() - NOT_OF_THE_CLASSIFIER.keys()


def test_parameters_of_the_classifier_have_the_defaults_of_the_settings():
    defaults = defaults_of(TextClassifier)
    assert defaults == {name: DEFAULTS[name] for name in defaults}


def test_parameters_of_naive_bayes_have_the_defaults_of_the_fast_recipe():
    defaults, fast = defaults_of(ComplementNaiveBayes), Settings(recipe="fast")
    assert len(defaults) == 11
    assert defaults == {
        name: fast.value_of(name) if DEFAULTS[name] == "auto" else DEFAULTS[name] for name in defaults
    }


def test_norm_none_of_the_command_line_is_none():
    assert parameters_of_train("--norm", "none")["norm"] is None
