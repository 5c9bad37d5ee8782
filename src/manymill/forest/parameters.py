"""The parameters of the estimators, checked.

Which ensembles can be grown tree by tree, apart from each other.
"""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any

from sklearn.base import BaseEstimator, clone, is_classifier
from sklearn.ensemble import BaggingClassifier, BaggingRegressor, ExtraTreesClassifier, ExtraTreesRegressor
from sklearn.ensemble._bagging import BaseBagging
from sklearn.ensemble._forest import ForestClassifier, ForestRegressor
from sklearn.tree import BaseDecisionTree

from manymill.errors import SettingsError

# Parameters of an ensemble that change nothing about its first trees.
_NOT_OF_A_TREE = frozenset({"n_estimators", "n_jobs", "verbose", "warm_start", "oob_score"})

MODES = ("shared", "partitions", "patches")


def check_parameters(forest: Any) -> None:
    """Refuse values that cannot be, before any row is looked at.

    Raises
    ------
    SettingsError
    """
    _check(forest.mode in MODES, "mode", forest.mode, f"one of {', '.join(map(repr, MODES))}")
    for name in ("n_partitions", "n_trees_no_change"):
        value = getattr(forest, name)
        _check(_is_whole(value) and value >= 1, name, value, "1 or more")
    trees = forest.n_estimators
    _check(trees is None or (_is_whole(trees) and trees >= 1), "n_estimators", trees, "1 or more, or None")
    size = forest.max_bytes
    _check(size is None or (_is_whole(size) and size >= 1), "max_bytes", size, "1 or more, or None")
    _check(_is_real(forest.tol) and forest.tol >= 0, "tol", forest.tol, "0 or more")
    for name in ("max_samples", "max_features"):
        value = getattr(forest, name)
        good = (_is_whole(value) and value >= 1) or (_is_real(value) and 0 < value <= 1)
        _check(good or (value is None and name == "max_samples"), name, value, "a number, or a share to 1")
    share = forest.validation_fraction
    _check(
        share is None or (_is_real(share) and 0 < share < 1), "validation_fraction", share, "a share, or None"
    )


def entropy_of(random_state: Any) -> int:
    """The number that all draws start from."""
    from sklearn.utils import check_random_state

    if _is_whole(random_state) and random_state >= 0:
        return int(random_state)
    return int(check_random_state(random_state).randint(2**31 - 1))


def settings_of(forest: Any, ensemble: Any) -> list[Any]:
    """What trees depend on besides their rows.

    Raises
    ------
    SettingsError
        If that is not to be told from the parameters.
    """
    import sklearn

    if not _is_whole(forest.random_state):
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


def _is_whole(value: Any) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)


def _is_real(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def _check(good: bool, name: str, value: Any, wanted: str) -> None:
    if not good:
        raise SettingsError(f"{name}={value!r} cannot be", f"give {wanted}")


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
