"""The parameters of an estimator as settings of a training."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Integral
from typing import Any

import numpy as np
from sklearn.utils import check_random_state

from manymill.engine.local import available_threads
from manymill.errors import SettingsError
from manymill.linear.settings import Settings

# Parameters that go into the settings as they are.
_AS_THEY_ARE = (
    "lowercase", "n_features", "value", "norm", "loss", "l1", "l2", "learning_rate", "fit_intercept", "passes",
    "patience", "holdout",
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


def _seed(random_state: int | np.random.RandomState | None) -> int:
    if isinstance(random_state, (int, np.integer)) and not isinstance(random_state, bool):
        return int(random_state)
    return int(check_random_state(random_state).randint(2**31))
