"""Prepare a search: split the data, hash texts, open the journal, and compute the settings that identify the search.

::

    texts ──hash, once──► row indices ─┐
    any other data ────────────────────┴─► splits ──► SearchJob, Rules, SearchJournal

The identifying settings are JSON without addresses of objects, so that another process can check that it resumes the
same search.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from hashlib import blake2b
from types import CodeType
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import clone
from sklearn.utils import indexable

from manymill.errors import SettingsError
from manymill.search.evaluation import SearchJob, configured, current_config
from manymill.search.journal import SearchJournal
from manymill.search.parameters import cross_validation_splits, resource_rungs
from manymill.search.policy import Rules
from manymill.search.routing import route_params
from manymill.search.samplers import Proposer, Space
from manymill.search.sklearn_private import count_rows

if TYPE_CHECKING:
    from manymill.search.estimator import SearchCV


# ---- settings that identify a search


_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")


def identifying_settings(search: Any, job: SearchJob, rules: Rules, seed: int) -> dict[str, Any]:
    """The settings that must be equal for a search to be resumed; keys are those of the journal."""
    import joblib

    data = {name: value for name, value in job.data.items() if name not in ("X", "y")}
    return {
        "estimator": describe(search.estimator),
        "distributions": describe(search.distributions),
        "first": describe(search.first),
        "sampler": search.sampler,
        "n_trials": rules.n_trials,
        "n_splits": rules.n_splits,
        "rungs": list(rules.rungs),
        "resource": job.resource,
        "eta": rules.eta,
        "metric": rules.metric,
        "scoring": describe(search.scoring),
        "train_scores": job.train_scores,
        "fit_params": describe(job.fit_params),
        "seed": seed,
        "data": joblib.hash((job.text and job.text.identity, job.data.get("X"), job.data.get("y"))),
        "data by row": joblib.hash(data),
        "splits": joblib.hash(job.splits),
    }


def describe(value: Any) -> Any:
    """Describe a value in JSON; equal values have equal descriptions in every process.

    Estimators are described by their parameters, frozen distributions of SciPy by their arguments, functions by name
    and code, arrays by a fingerprint of their bytes, and other objects by their ``repr``.
    """
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):  # NaN is not equal to itself
        return float(value) if math.isfinite(value) else repr(float(value))
    if isinstance(value, Mapping):
        return {str(name): describe(value[name]) for name in sorted(value, key=str)}
    if isinstance(value, (list, tuple)):
        return [describe(item) for item in value]
    if isinstance(value, np.ndarray):
        content = repr(value.tolist()).encode() if value.dtype == object else value.tobytes()
        return {"array": str(value.dtype), "shape": list(value.shape), "digest": _fingerprint(content)}
    name = f"{type(value).__module__}.{type(value).__qualname__}"
    if hasattr(value, "get_params") and not isinstance(value, type):
        return {"class": name, "params": describe(value.get_params(deep=False))}
    if hasattr(value, "dist") and hasattr(value, "kwds"):  # frozen distribution
        return {"class": f"{type(value.dist).__qualname__}", "params": describe([value.args, value.kwds])}
    if hasattr(value, "__qualname__"):
        return {"function": f"{value.__module__}.{value.__qualname__}", "code": _code_fingerprint(value)}
    return _ADDRESS.sub("", repr(value))


def _code_fingerprint(value: Any) -> str:
    """Fingerprint of a function's code; empty for functions without Python code."""
    code = value if isinstance(value, CodeType) else getattr(value, "__code__", None)
    if code is None:
        return ""
    constants = [
        _code_fingerprint(item) if isinstance(item, CodeType) else repr(item) for item in code.co_consts
    ]
    return _fingerprint(repr((code.co_code, code.co_names, constants)).encode())


def _fingerprint(data: bytes) -> str:
    return blake2b(data, digest_size=8).hexdigest()


# ---- preparation of the data


@dataclass(frozen=True, slots=True)
class SearchRequest:
    """Validated arguments of a search whose data has not been read yet.

    Attributes
    ----------
    search : SearchCV
    X, y
        As given to ``fit``.
    params : mapping
        Fit parameters, and ``groups``.
    scorers : mapping of str to callable
    metric : str
        The metric that ranks candidates.
    spaces : list of mapping
    seed : int
    proposer : Proposer
    config : dict
        scikit-learn's configuration of the calling thread, which the thread of the search does not inherit.
    """

    search: SearchCV
    X: Any
    y: Any
    params: Mapping[str, Any]
    scorers: Mapping[str, Any]
    metric: str
    spaces: list[Space]
    seed: int
    proposer: Proposer
    config: dict[str, Any] = field(default_factory=current_config)

    @property
    def hashes_texts(self) -> bool:
        """Whether the data is texts that are hashed first, which takes a second for 100 MB."""
        estimator = self.search.estimator
        if set(self.params) - {"groups"} or not type(estimator).__module__.startswith("manymill.linear."):
            return False
        from manymill.search.text import can_hash_once

        return can_hash_once(estimator, self.X, self.search.distributions)


@dataclass(frozen=True, slots=True)
class PreparedSearch:
    """What the driver of a search needs; the owner closes it."""

    job: SearchJob
    rules: Rules
    journal: SearchJournal | None

    def close(self) -> None:
        """Release the run folder and the hashed texts."""
        if self.journal is not None:
            self.journal.close()
        if self.job.text is not None:
            self.job.text.close()


def prepare_search(request: SearchRequest, stop: Callable[[], bool] = lambda: False) -> PreparedSearch:
    """Read the data: hash texts, split rows, open the journal.

    Parameters
    ----------
    request : SearchRequest
    stop : callable
        Polled while texts are hashed; True cancels.

    Raises
    ------
    SettingsError, SchemaError, SourceError, RunFolderError
        If the data cannot be split or read, or the run folder cannot be used.
    CancelledError
        If `stop` returns True.
    """
    from manymill.data.dataset import Dataset

    search, text = request.search, None
    journal = None if search.run is None else SearchJournal(search.run)
    try:
        if request.hashes_texts:
            from manymill.search.text import make_text_fitter

            text = make_text_fitter(
                search.estimator, request.X, request.y, distributions=search.distributions,
                stop=lambda: stop() or (journal is not None and journal.take_abort_request()), run=search.run,
            )  # fmt: skip
        elif isinstance(request.X, Dataset):
            raise SettingsError(
                "a Dataset can be searched only with TextClassifier or ComplementNaiveBayes, with values of ngram_range"
                " and lowercase that are listed, and without weights and fit parameters",
                "list these values, or give texts and labels in memory",
            )
        with configured(request.config):
            job, rules = _make_job(request, text)
        if journal is not None:
            journal.begin(identifying_settings(search, job, rules, request.seed), request.spaces)
        return PreparedSearch(job, rules, journal)
    except BaseException:
        if text is not None:
            text.close()
        if journal is not None:
            journal.close()
        raise


def _make_job(request: SearchRequest, text: Any) -> tuple[SearchJob, Rules]:
    search = request.search
    routed = route_params(search, request.scorers, request.params)
    fit_params, split_params = dict(routed.fit), dict(routed.split)
    X, y = (request.X, request.y) if text is None else (np.arange(len(text.y)), text.y)
    X, y, groups = indexable(X, y, split_params.pop("groups", None))
    splits = cross_validation_splits(search.cv, search.estimator, X, y, groups, **split_params)
    search.n_splits_ = len(splits)
    n_rows = count_rows(X)
    if search.ensemble is not None and len(getattr(y, "shape", ())) > 1:
        raise SettingsError("an ensemble needs one output, but y has several columns", "use ensemble=None")
    by_row = {name: value for name, value in fit_params.items() if has_value_per_row(value, n_rows)}
    scorers, scoring, scorer_data = _bind_scorers(request.scorers, routed.score, by_row, n_rows)
    rungs = resource_rungs(search, min(len(train) for train, _ in splits))
    rules = Rules(
        request.proposer.n_trials, len(splits), rungs, search.eta, search.max_evaluations, request.metric,
        adaptive=request.proposer.adaptive,
    )  # fmt: skip
    job = SearchJob(
        estimator=clone(search.estimator),
        data={"X": X, **({} if y is None else {"y": y}), **by_row, **scorer_data},
        splits=splits,
        scorers=scorers,
        scoring=scoring,
        fit_params={name: value for name, value in fit_params.items() if name not in by_row},
        by_row=tuple(by_row),
        resource=search.resource,
        train_scores=search.return_train_score,
        timeout=search.timeout,
        text=text,
        metric=rules.metric,
        raises=search.error_score == "raise",
    )
    return job, rules


def has_value_per_row(value: Any, n_rows: int) -> bool:
    """Whether a fit parameter has one value for each row."""
    if isinstance(value, (str, bytes, Mapping)):
        return False
    if hasattr(value, "shape"):  # sparse matrices have no length
        return len(value.shape) > 0 and value.shape[0] == n_rows
    return hasattr(value, "__len__") and len(value) == n_rows


def _bind_scorers(
    scorers: Mapping[str, Any],
    score_params: Mapping[str, Mapping[str, Any]],
    by_row: Mapping[str, Any],
    n_rows: int,
) -> tuple[dict[str, Any], dict[str, dict[str, str]], dict[str, Any]]:
    """Bind parameters of scorers that are not split by row.

    Returns
    -------
    bound : dict
        Scorers by name.
    names : dict
        For each scorer, the name in the job's data of each parameter that is split by row.
    data : dict
        Parameters that are split by row and not among those of fit, by their names in the job's data.
    """
    bound: dict[str, Any] = {}
    names: dict[str, dict[str, str]] = {}
    data: dict[str, Any] = {}
    for scorer, params in score_params.items():
        constant = {name: value for name, value in params.items() if not has_value_per_row(value, n_rows)}
        bound[scorer] = partial(scorers[scorer], **constant) if constant else scorers[scorer]
        names[scorer] = {}
        for name in params.keys() - constant.keys():
            shared_with_fit = by_row.get(name) is params[name]
            key = names[scorer][name] = name if shared_with_fit else f"{name} of {scorer}"
            if key not in by_row:
                data[key] = params[name]
    return bound, names, data
