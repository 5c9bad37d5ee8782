"""What the estimators share: seeds, numbers of threads, tags, and cloning with the same engine."""

from __future__ import annotations

import copy
from typing import Any, TypeVar

from manymill.engine.local import available_threads
from manymill.errors import SchemaError
from manymill.validation import check, check_integer, is_integer

Estimator = TypeVar("Estimator")


def seed_from(random_state: Any) -> int:
    """The seed that a ``random_state`` stands for: an integer itself, or one drawn from a generator.

    Raises
    ------
    SettingsError
        If it is neither an integer of 0 to 2^63 - 1, nor a ``RandomState``, nor None.
    """
    if is_integer(random_state):
        check(0 <= random_state < 2**63, "random_state", random_state, "an integer from 0 to 2^63 - 1")
        return int(random_state)
    from sklearn.utils import check_random_state

    try:
        generator = check_random_state(random_state)
    except ValueError:
        check(False, "random_state", random_state, "an integer of 0 or more, a RandomState, or None")
    return int(generator.randint(2**31))


def thread_count(estimator: Any) -> int:
    """The number of threads that an estimator may use: its ``threads``, or all processors.

    Raises
    ------
    SettingsError
        If ``threads`` is not a number of threads.
    """
    if estimator.threads is None:
        return available_threads()
    check_integer(estimator.threads, "threads", 1, also=", or None for all processors")
    return int(estimator.threads)


def set_text_tags(tags: Any) -> Any:
    """Tags of an estimator whose input is a sequence of strings."""
    tags.input_tags.string = True
    tags.input_tags.one_d_array = True
    tags.input_tags.two_d_array = False
    return tags


def refuse_own_labels(y: Any, sample_weight: Any) -> None:
    """Refuse labels and weights beside a Dataset, which has its own.

    Raises
    ------
    SchemaError
        If one of them is given.
    """
    if y is not None or sample_weight is not None:
        raise SchemaError("a Dataset has its own labels and weights", "leave out y and sample_weight")


def clone_with_engine(estimator: Estimator, **shared: Any) -> Estimator:
    """Clone an estimator, but let the clone use the same engine: a pool of workers cannot be copied.

    Parameters
    ----------
    estimator : estimator with a parameter ``engine``
    **shared : dict
        Further parameters that are not cloned, and their values in the clone.

    Returns
    -------
    estimator
        An unfitted one, with scikit-learn's metadata requests and output configuration.
    """
    from sklearn.base import clone

    given: Any = estimator
    parameters = given.get_params(deep=False)
    shared = {"engine": parameters["engine"], **shared}
    cloned = {name: clone(value, safe=False) for name, value in parameters.items() if name not in shared}
    made: Any = type(given)(**cloned, **shared)
    for name in ("_metadata_request", "_sklearn_output_config"):
        if hasattr(given, name):
            setattr(made, name, copy.deepcopy(getattr(given, name)))
    result: Estimator = made
    return result
