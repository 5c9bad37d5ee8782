"""The parameters of an estimator as settings of a training."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Integral
from typing import Any

import numpy as np
from sklearn.utils import check_random_state

from manymill.engine.local import available_threads
from manymill.errors import ModelError, PlanError, SettingsError
from manymill.linear.loaded import LoadedState
from manymill.linear.settings import Settings

# Parameters that go into the settings as they are.
_AS_THEY_ARE = (
    "lowercase", "n_features", "value", "norm", "feature_weights", "loss", "l1", "l2", "learning_rate", "fit_intercept",
    "passes", "patience", "holdout", "lanes", "rounds_per_pass", "merge", "interleaved", "calibrate",
)  # fmt: skip


def settings_of(estimator: Any, class_weight: str | Mapping[Any, float] | None) -> Settings:
    """The settings that an estimator's parameters say, with weights of classes by the training's names.

    Raises
    ------
    SettingsError
        If one has a value that cannot be.
    """
    words = estimator.ngram_range
    return Settings(
        **{name: getattr(estimator, name) for name in _AS_THEY_ARE},
        ngram_range=tuple(words) if isinstance(words, list) else words,
        class_weight=class_weight,
        seed=_seed(estimator.random_state),
    )


def threads_of(estimator: Any) -> int:
    """The number of threads that an estimator may use; all processors if it does not say.

    Raises
    ------
    SettingsError
        If it is no number of threads.
    """
    threads = estimator.threads
    if threads is None:
        return available_threads()
    if not isinstance(threads, Integral) or isinstance(threads, bool) or threads < 1:
        raise SettingsError(
            f"threads={threads!r} is not possible", "give 1 or more, or None for all processors"
        )
    return int(threads)


def check_partial_fit(estimator: Any, classes: object) -> None:
    """Find out before any text is looked at whether an estimator can learn further rows.

    Raises
    ------
    PlanError
        If the classes are not known yet, or the weights of classes or of features need more than the rows of one call.
    ModelError
        If the model was loaded from a folder.
    """
    if isinstance(getattr(estimator, "_state", None), LoadedState):
        raise ModelError(
            "a model loaded from a folder cannot learn further: its squared-gradient sums are not saved",
            "pickle the estimator instead, or fit anew",
        )
    if estimator.class_weight == "balanced":
        raise PlanError(
            "class_weight='balanced' needs to see more than the rows of one call",
            "give weights by class, or use fit",
        )
    if estimator.feature_weights is not None:
        raise PlanError(
            f"feature_weights={estimator.feature_weights!r} need to count more than the rows of one call",
            "use fit, or feature_weights=None",
        )
    if getattr(estimator, "classes_", None) is None and classes is None:
        raise PlanError(
            "the first call of partial_fit must be given classes", "name all labels that may come"
        )


def _seed(random_state: int | np.random.RandomState | None) -> int:
    if isinstance(random_state, (int, np.integer)) and not isinstance(random_state, bool):
        return int(random_state)
    return int(check_random_state(random_state).randint(2**31))
