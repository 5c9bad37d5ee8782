"""The parameters of an estimator as settings of a training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from sklearn.utils import check_random_state

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
    PlanError
        If one is out of range.
    """
    least, greatest = estimator.ngram_range
    return Settings(
        **{name: getattr(estimator, name) for name in _AS_THEY_ARE},
        ngram_range=(least, greatest),
        class_weight=class_weight,
        seed=_seed(estimator.random_state),
    )


def _seed(random_state: int | np.random.RandomState | None) -> int:
    if isinstance(random_state, (int, np.integer)) and not isinstance(random_state, bool):
        return int(random_state)
    return int(check_random_state(random_state).randint(2**31))
