"""The parameters of the estimators, checked.

Which ensembles can be grown tree by tree, apart from each other.
"""

from __future__ import annotations

from numbers import Integral
from typing import Any

from sklearn.base import BaseEstimator, clone, is_classifier
from sklearn.ensemble import BaggingClassifier, BaggingRegressor, ExtraTreesClassifier, ExtraTreesRegressor
from sklearn.ensemble._bagging import BaseBagging
from sklearn.ensemble._forest import ForestClassifier, ForestRegressor
from sklearn.tree import BaseDecisionTree

from manymill.errors import SettingsError
from manymill.validation import check, check_choice, check_integer, is_integer, is_number

# Parameters of an ensemble that change nothing about its first trees.
_NOT_OF_A_TREE = frozenset({"n_estimators", "n_jobs", "verbose", "warm_start", "oob_score"})

MODES = ("shared", "partitions", "patches")


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
    seed = forest.random_state
    check(
        not is_integer(seed) or seed >= 0,
        "random_state",
        seed,
        "an integer of 0 or more, a RandomState, or None",
    )
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


def settings_of(forest: Any, ensemble: Any) -> list[Any]:
    """What trees depend on besides their rows.

    Raises
    ------
    SettingsError
        If that is not to be told from the parameters.
    """
    import sklearn

    if not is_integer(forest.random_state):
        raise SettingsError(
            f"random_state={forest.random_state!r} does not say which trees a run would go on with",
            "give a whole number, or leave out run",
        )
    if not grows_trees(ensemble):
        raise SettingsError(
            "only trees are written to a run folder", "leave out run, or take a forest or a bagging of trees"
        )
    own = sorted(
        (name, repr(value)) for name, value in ensemble.get_params().items() if name not in _NOT_OF_A_TREE
    )
    mine = [getattr(forest, name) for name in ("mode", "n_partitions", "max_samples", "max_features")]
    return [type(ensemble).__name__, own, mine, sklearn.__version__]


def count_of(asked: float | int, of: int) -> int:
    """So many, or such a share of so many; at least 1."""
    if isinstance(asked, Integral):
        return min(int(asked), of)
    return max(1, int(asked * of))


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


def ensemble_of(estimator: Any, *, classification: bool) -> Any:
    """An unfitted ensemble of scikit-learn: a copy of the estimator, or a bagging of it if it is a single tree.

    Parameters
    ----------
    estimator : estimator or None
        A forest, a bagging, or a single tree; None for extra-trees.
    classification : bool
        Whether a classifier is wanted, or a regressor.

    Raises
    ------
    SettingsError
        If members of it cannot be grown apart from each other, or it is of the other kind.
    """
    if estimator is None:
        return ExtraTreesClassifier() if classification else ExtraTreesRegressor()
    name = type(estimator).__name__
    if name.startswith(_BOOSTING):
        raise SettingsError(
            f"{name} is boosting: each of its trees mends the errors of those before it, so they cannot be grown apart",
            "give a forest, a bagging or a single tree; or train the boosting with its own threads",
        )
    if not isinstance(estimator, BaseEstimator) or not isinstance(
        estimator, (ForestClassifier, ForestRegressor, BaseBagging, BaseDecisionTree)
    ):
        raise SettingsError(
            f"{name} is no ensemble whose members are grown apart from each other",
            "give a forest, a bagging or a single tree of scikit-learn",
        )
    if is_classifier(estimator) != classification or not hasattr(estimator, "score"):
        wanted = "classifier" if classification else "regressor"
        raise SettingsError(
            f"{name} is no {wanted}", f"give a {wanted}, or use the other of the two estimators"
        )
    if isinstance(estimator, BaseDecisionTree):
        return (BaggingClassifier if classification else BaggingRegressor)(clone(estimator))
    return clone(estimator)


def is_bagging(ensemble: Any) -> bool:
    """Whether members look at columns of their own, which the ensemble keeps for them."""
    return isinstance(ensemble, BaseBagging)


def grows_trees(ensemble: Any) -> bool:
    """Whether the members are trees of scikit-learn, which take 32-bit floats."""
    return not is_bagging(ensemble) or (
        ensemble.estimator is None or isinstance(ensemble.estimator, BaseDecisionTree)
    )
