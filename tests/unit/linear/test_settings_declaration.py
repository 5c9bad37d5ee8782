"""Each training parameter is declared once; estimators and the command line agree with the declaration."""

import inspect

import click
import pytest

from manymill import ComplementNaiveBayes, TextClassifier
from manymill.cli.app import app
from manymill.cli.train import train
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


def test_the_options_of_train_have_the_defaults_of_the_settings():
    parameters = parameters_of_train()
    assert {name: parameters[name] for name in DEFAULTS} == DEFAULTS


def test_every_setting_is_a_parameter_of_the_classifier_or_has_a_reason():
    assert defaults_of(TextClassifier).keys() == DEFAULTS.keys() - NOT_OF_THE_CLASSIFIER.keys()


@pytest.mark.parametrize("estimator", [TextClassifier, ComplementNaiveBayes])
def test_parameters_of_an_estimator_have_the_defaults_of_the_settings(estimator):
    defaults = defaults_of(estimator)
    assert defaults
    assert defaults == {name: DEFAULTS[name] for name in defaults}


def test_norm_none_of_the_command_line_is_none():
    assert parameters_of_train("--norm", "none")["norm"] is None
