"""Which ensembles can be grown tree by tree, apart from each other."""

from __future__ import annotations

from typing import Any

from sklearn.base import BaseEstimator, clone, is_classifier
from sklearn.ensemble import BaggingClassifier, BaggingRegressor, ExtraTreesClassifier, ExtraTreesRegressor
from sklearn.ensemble._bagging import BaseBagging
from sklearn.ensemble._forest import ForestClassifier, ForestRegressor
from sklearn.tree import BaseDecisionTree

from manymill.errors import SettingsError

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
