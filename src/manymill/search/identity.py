"""What makes a search the same search in another process: its settings in JSON, without addresses of objects."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from hashlib import blake2b
from types import CodeType
from typing import Any

import numpy as np

from manymill.search.evaluating import Job
from manymill.search.policy import Rules

_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")


def settings_of(search: Any, job: Job, rules: Rules, seed: int) -> dict[str, Any]:
    """What must be the same for a search to go on."""
    import joblib

    data = {name: value for name, value in job.data.items() if name not in ("X", "y")}
    return {
        "estimator": described(search.estimator),
        "distributions": described(search.distributions),
        "sampler": search.sampler,
        "n_trials": rules.n_trials,
        "n_splits": rules.n_splits,
        "rungs": list(rules.rungs),
        "resource": job.resource,
        "eta": rules.eta,
        "metric": rules.metric,
        "scoring": described(search.scoring),
        "train_scores": job.train_scores,
        "fit_params": described(job.fit_params),
        "seed": seed,
        "data": joblib.hash((job.text and job.text.identity, job.data.get("X"), job.data.get("y"))),
        "data by row": joblib.hash(data),
        "splits": joblib.hash(job.splits),
    }


def described(value: Any) -> Any:
    """A value in JSON: equal values have equal descriptions in every process.

    Estimators are told by their parameters, frozen distributions of SciPy by what was given, functions by their names
    and code, arrays by their bytes; of anything else the ``repr`` has to do.
    """
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):  # NaN is not equal to itself
        return float(value) if math.isfinite(value) else repr(float(value))
    if isinstance(value, Mapping):
        return {str(name): described(value[name]) for name in sorted(value, key=str)}
    if isinstance(value, (list, tuple)):
        return [described(item) for item in value]
    if isinstance(value, np.ndarray):
        content = repr(value.tolist()).encode() if value.dtype == object else value.tobytes()
        return {"array": str(value.dtype), "shape": list(value.shape), "digest": _digest(content)}
    name = f"{type(value).__module__}.{type(value).__qualname__}"
    if hasattr(value, "get_params") and not isinstance(value, type):
        return {"class": name, "params": described(value.get_params(deep=False))}
    if hasattr(value, "dist") and hasattr(value, "kwds"):  # frozen
        return {"class": f"{type(value.dist).__qualname__}", "params": described([value.args, value.kwds])}
    if hasattr(value, "__qualname__"):
        return {"function": f"{value.__module__}.{value.__qualname__}", "code": _code(value)}
    return _ADDRESS.sub("", repr(value))


def _code(value: Any) -> str:
    """The digest of a function's code; empty where there is none."""
    code = value if isinstance(value, CodeType) else getattr(value, "__code__", None)
    if code is None:
        return ""
    constants = [_code(item) if isinstance(item, CodeType) else repr(item) for item in code.co_consts]
    return _digest(repr((code.co_code, code.co_names, constants)).encode())


def _digest(data: bytes) -> str:
    return blake2b(data, digest_size=8).hexdigest()
