"""Validate the parameters of forest estimators, and resolve what they stand for."""

from __future__ import annotations

from typing import Any

from sklearn.base import BaseEstimator, clone, is_classifier
from sklearn.ensemble import BaggingClassifier, BaggingRegressor, ExtraTreesClassifier, ExtraTreesRegressor
from sklearn.tree import BaseDecisionTree

from manymill.errors import SettingsError
from manymill.estimator_support import random_generator
from manymill.forest.sklearn_private import BaseBagging, ForestClassifier, ForestRegressor
from manymill.validation import check, check_bool, check_choice, check_integer, is_integer, is_number

MODES = ("shared", "partitions", "patches")

# Parameters of an ensemble that do not change the trees it has in common with a smaller one.
_IRRELEVANT_TO_TREES = frozenset({"n_estimators", "n_jobs", "verbose", "warm_start", "oob_score"})

_BOOSTING = (
    "AdaBoost",
    "GradientBoosting",
    "HistGradientBoosting",
    "XGB",
    "LGBM",
    "CatBoost",
    "RUSBoost",
    "NGB",
)


def check_parameters(forest: Any) -> None:
    """Validate the parameters of an estimator, before any row is read.

    Raises
    ------
    SettingsError
    """
    check_choice(forest.mode, "mode", MODES)
    for name in ("n_partitions", "n_trees_no_change"):
        check_integer(getattr(forest, name), name, 1)
    for name in ("n_estimators", "max_bytes"):
        if getattr(forest, name) is not None:
            check_integer(getattr(forest, name), name, 1, also=", or None")
    for name in ("early_stopping", "warm_start"):
        check_bool(getattr(forest, name), name)
    random_generator(forest.random_state)
    check(is_number(forest.tol) and forest.tol >= 0, "tol", forest.tol, "a number of 0 or more")
    for name in ("max_samples", "max_features"):
        value = getattr(forest, name)
        valid = (is_integer(value) and value >= 1) or (is_number(value) and 0 < value <= 1)
        optional = name == "max_samples"
        expected = "an integer of 1 or more, or a share above 0, at most 1" + (
            ", or None" if optional else ""
        )
        check(valid or (value is None and optional), name, value, expected)
    share = forest.validation_fraction
    valid = share is None or (is_number(share) and 0 < share < 1)
    check(valid, "validation_fraction", share, "a share between 0 and 1, or None")


def tree_settings(forest: Any, ensemble: Any) -> list[Any]:
    """All settings that, together with the rows, determine the trees; for the fingerprint of a run.

    Raises
    ------
    SettingsError
        If the parameters do not determine the trees, or the members are not trees.
    """
    import sklearn

    if not is_integer(forest.random_state):
        raise SettingsError(
            f"random_state={forest.random_state!r} does not determine the trees, so a run could not be resumed",
            "give an integer, or leave out run",
        )
    if not grows_trees(ensemble):
        raise SettingsError(
            "a run folder stores trees only, and the members of the ensemble are not trees",
            "leave out run, or give a forest or a bagging ensemble of trees",
        )
    parameters = sorted(
        (name, repr(value))
        for name, value in ensemble.get_params().items()
        if name not in _IRRELEVANT_TO_TREES
    )
    sampling = [getattr(forest, name) for name in ("mode", "n_partitions", "max_samples", "max_features")]
    return [type(ensemble).__name__, parameters, sampling, sklearn.__version__]


def resolve_count(count: float | int, total: int) -> int:
    """A number of items, or a share of ``total``, as a number from 1 to ``total``."""
    if is_integer(count):
        return min(int(count), total)
    return max(1, int(count * total))


def make_ensemble(estimator: Any, *, classification: bool) -> Any:
    """An unfitted ensemble: a clone of the estimator, or a bagging ensemble of it if it is a single tree.

    Parameters
    ----------
    estimator : estimator or None
        A forest, a bagging ensemble or a single tree; None for extra-trees.
    classification : bool
        Whether it must be a classifier, or a regressor.

    Raises
    ------
    SettingsError
        If its members depend on each other, or it is of the other kind.
    """
    if estimator is None:
        return ExtraTreesClassifier() if classification else ExtraTreesRegressor()
    name = type(estimator).__name__
    if name.startswith(_BOOSTING):
        raise SettingsError(
            f"{name} is a boosting estimator: each of its trees corrects the errors of the trees before it, "
            "so they cannot be grown independently",
            "give a forest, a bagging ensemble or a single tree; or fit the boosting estimator directly",
        )
    if not isinstance(estimator, BaseEstimator) or not isinstance(
        estimator, (ForestClassifier, ForestRegressor, BaseBagging, BaseDecisionTree)
    ):
        raise SettingsError(
            f"{name} is not an ensemble of independent members",
            "give a forest, a bagging ensemble or a single tree of scikit-learn",
        )
    if is_classifier(estimator) != classification or not hasattr(estimator, "score"):
        expected = "classifier" if classification else "regressor"
        raise SettingsError(
            f"{name} is not a {expected}", f"give a {expected}, or use the other of the two estimators"
        )
    if isinstance(estimator, BaseDecisionTree):
        return (BaggingClassifier if classification else BaggingRegressor)(clone(estimator))
    return clone(estimator)


def is_bagging(ensemble: Any) -> bool:
    """Whether it is a bagging ensemble, which stores for each member the columns that the member uses."""
    return isinstance(ensemble, BaseBagging)


def grows_trees(ensemble: Any) -> bool:
    """Whether the members are trees of scikit-learn, which take 32-bit floats."""
    return not is_bagging(ensemble) or (
        ensemble.estimator is None or isinstance(ensemble.estimator, BaseDecisionTree)
    )
