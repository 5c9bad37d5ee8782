"""Shared code of the estimators: seeds, thread counts, tags, and cloning with the same engine."""

from __future__ import annotations

import copy
from typing import Any, TypeVar

from manymill.engine.local import available_threads
from manymill.errors import SchemaError, SettingsError
from manymill.validation import check, check_integer, is_integer

Estimator = TypeVar("Estimator")


def seed_from(random_state: Any) -> int:
    """Return the seed of a ``random_state``: the integer itself, or one drawn from the generator.

    Raises
    ------
    SettingsError
        If it is not an integer from 0 to 2^63 - 1, a ``RandomState`` or None.
    """
    if is_integer(random_state):
        check(0 <= random_state < 2**63, "random_state", random_state, "an integer from 0 to 2^63 - 1")
        return int(random_state)
    return int(random_generator(random_state).randint(2**31))


def random_generator(random_state: Any) -> Any:
    """Return the ``RandomState`` that a ``random_state`` stands for, as ``sklearn.utils.check_random_state`` does.

    Raises
    ------
    SettingsError
        If it is not an integer from 0 to 2^32 - 1, a ``RandomState`` or None.
    """
    from sklearn.utils import check_random_state

    try:
        if not isinstance(random_state, bool):
            return check_random_state(random_state)
    except ValueError:
        pass
    expected = "an integer from 0 to 2^32 - 1, a RandomState, or None"
    raise SettingsError.invalid("random_state", random_state, expected)


def check_is_estimator(estimator: Any, *, classification: bool | None = None) -> None:
    """Check that ``estimator`` is an estimator that can be cloned and fitted.

    Parameters
    ----------
    estimator : object
    classification : bool, optional
        Whether regressors are refused, or classifiers; neither if not given.

    Raises
    ------
    SettingsError
        If it is not.
    """
    from sklearn.base import is_classifier, is_regressor

    valid = not isinstance(estimator, type) and all(
        hasattr(estimator, name) for name in ("get_params", "fit")
    )
    check(valid, "estimator", estimator, "an estimator with the methods of scikit-learn")
    if classification is not None:
        wrong = is_regressor(estimator) if classification else is_classifier(estimator)
        check(not wrong, "estimator", estimator, "a classifier" if classification else "a regressor")


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
        raise SchemaError("a Dataset contains its labels and weights", "leave out y and sample_weight")


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
