"""manymill: linear text classifiers, forests and searches on data too large for one process, on CPUs.

::

    from manymill import TextClassifier, scan

    model = TextClassifier().fit(scan("train.jsonl", text="text", label="label"))
    model.predict_proba(["You have won"])

Without parameters a text model has words, pairs of words and characters, weighted by a first pass that counts them;
``TextClassifier(recipe="fast")`` has words alone and reads the data once.
"""

from __future__ import annotations

# Nothing is imported here: the command line must handle Ctrl-C as early as possible.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from manymill.data.dataset import Dataset, scan
    from manymill.errors import ManymillError
    from manymill.forest.combining import combine_forests, sub_forest
    from manymill.forest.estimators import PartitionedForestClassifier, PartitionedForestRegressor
    from manymill.forest.reports import ForestWarning
    from manymill.forest.saving import load_forest, save_forest
    from manymill.linear.classifier import TextClassifier
    from manymill.linear.naive_bayes import ComplementNaiveBayes
    from manymill.parameter_mixing.estimators import ParameterMixingClassifier, ParameterMixingRegressor
    from manymill.parameter_mixing.rounds import AveragingWarning
    from manymill.search.curves import learning_curve, validation_curve
    from manymill.search.display import SearchDisplay
    from manymill.search.estimator import SearchCV
    from manymill.text.hashing import HashingVectorizer
    from manymill.text.tfidf import TfidfTransformer

__version__ = "0.1.0"

__all__ = [
    "AveragingWarning",
    "ComplementNaiveBayes",
    "Dataset",
    "ForestWarning",
    "HashingVectorizer",
    "ManymillError",
    "ParameterMixingClassifier",
    "ParameterMixingRegressor",
    "PartitionedForestClassifier",
    "PartitionedForestRegressor",
    "SearchCV",
    "SearchDisplay",
    "TextClassifier",
    "TfidfTransformer",
    "combine_forests",
    "learning_curve",
    "load_forest",
    "save_forest",
    "scan",
    "sub_forest",
    "validation_curve",
]

# Modules of the public names, imported on first use: importing scikit-learn takes a second, and the command line trains
# without it.
_HOMES = {
    "AveragingWarning": "manymill.parameter_mixing.rounds",
    "ComplementNaiveBayes": "manymill.linear.naive_bayes",
    "Dataset": "manymill.data.dataset",
    "ForestWarning": "manymill.forest.reports",
    "HashingVectorizer": "manymill.text.hashing",
    "ManymillError": "manymill.errors",
    "ParameterMixingClassifier": "manymill.parameter_mixing.estimators",
    "ParameterMixingRegressor": "manymill.parameter_mixing.estimators",
    "PartitionedForestClassifier": "manymill.forest.estimators",
    "PartitionedForestRegressor": "manymill.forest.estimators",
    "SearchCV": "manymill.search.estimator",
    "SearchDisplay": "manymill.search.display",
    "TextClassifier": "manymill.linear.classifier",
    "TfidfTransformer": "manymill.text.tfidf",
    "combine_forests": "manymill.forest.combining",
    "learning_curve": "manymill.search.curves",
    "validation_curve": "manymill.search.curves",
    "load_forest": "manymill.forest.saving",
    "save_forest": "manymill.forest.saving",
    "scan": "manymill.data.dataset",
    "sub_forest": "manymill.forest.combining",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'manymill' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
