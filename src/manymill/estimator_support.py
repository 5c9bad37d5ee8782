"""Shared code of the estimators: seeds, thread counts, tags, and cloning with the same engine."""

from __future__ import annotations

import copy
from typing import Any, TypeVar

import numpy as np

from manymill.engine.local import available_threads
from manymill.errors import SchemaError
from manymill.validation import check, check_integer, is_integer

Estimator = TypeVar("Estimator")


def seed_from(random_state: Any) -> int:
    """Return the seed of a ``random_state``: the integer itself, or one drawn from the generator.

    Raises
    ------
    SettingsError
        If it is not an integer from 0 to 2^63 - 1, a ``RandomState`` or None.
    """
    check_seed(random_state, 2**63 - 1)
    if is_integer(random_state):
        return int(random_state)
    from sklearn.utils import check_random_state

    return int(check_random_state(random_state).randint(2**31))


def check_seed(random_state: Any, greatest: int = 2**32 - 1) -> None:
    """Check a ``random_state`` whose integers may be as large as ``greatest``.

    Raises
    ------
    SettingsError
        If it is not an integer of 0 or more, a ``RandomState`` or None.
    """
    if is_integer(random_state):
        valid = 0 <= random_state <= greatest
    else:
        # scikit-learn accepts its module as well, which stands for the global generator.
        valid = (
            random_state is None
            or random_state is np.random
            or isinstance(random_state, np.random.RandomState)
        )
    power = (greatest + 1).bit_length() - 1
    expected = f"an integer from 0 to 2^{power} - 1, a RandomState, or None"
    check(valid, "random_state", random_state, expected)


def check_estimator(estimator: Any, name: str = "estimator") -> None:
    """Check that a parameter is an instance of an estimator.

    Raises
    ------
    SettingsError
        If it is not.
    """
    valid = hasattr(estimator, "get_params") and not isinstance(estimator, type)
    check(valid, name, estimator, "an estimator with scikit-learn's interface")


def thread_count(estimator: Any) -> int:
    """Return the number of threads that an estimator may use: its ``threads``, or one per processor.

    Raises
    ------
    SettingsError
        If ``threads`` is neither an integer of 1 or more nor None.
    """
    if estimator.threads is None:
        return available_threads()
    check_integer(estimator.threads, "threads", 1, also=", or None for all processors")
    return int(estimator.threads)


def set_text_tags(tags: Any) -> Any:
    """Set and return the tags of an estimator whose input is a sequence of strings."""
    tags.input_tags.string = True
    tags.input_tags.one_d_array = True
    tags.input_tags.two_d_array = False
    return tags


def refuse_own_labels(y: Any, sample_weight: Any) -> None:
    """Raise if labels or weights are given with a Dataset, which contains its own.

    Raises
    ------
    SchemaError
        If ``y`` or ``sample_weight`` is given.
    """
    if y is not None or sample_weight is not None:
        raise SchemaError("a Dataset has its own labels and weights", "leave out y and sample_weight")


def clone_with_engine(estimator: Estimator, **shared: Any) -> Estimator:
    """Clone an estimator; the clone uses the same engine, since a pool of workers cannot be copied.

    Parameters
    ----------
    estimator : estimator with a parameter ``engine``
    **shared : dict
        Other parameters that are not cloned, with their values in the clone.

    Returns
    -------
    estimator
        Unfitted, with scikit-learn's metadata requests and output configuration.
    """
    from sklearn.base import clone

    original: Any = estimator
    parameters = original.get_params(deep=False)
    shared = {"engine": parameters["engine"], **shared}
    cloned = {name: clone(value, safe=False) for name, value in parameters.items() if name not in shared}
    copied: Any = type(original)(**cloned, **shared)
    for name in ("_metadata_request", "_sklearn_output_config"):
        if hasattr(original, name):
            setattr(copied, name, copy.deepcopy(getattr(original, name)))
    result: Estimator = copied
    return result
