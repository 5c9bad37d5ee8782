"""From what a search was asked, and the data, to what its driver needs.

::

    texts ──hash, once──► row numbers ─┐
    any other data ────────────────────┴─► splits ──► Job, Rules, SearchJournal

Whom the further parameters of a fit are for: the estimator, the splitter, or a scorer.

::

    fit(X, y, sample_weight=w, groups=g)
        as scikit-learn does by default     w to the fit, and to scorers that take weights; g to the splitter
        with metadata routing enabled       each to whoever requested it

What makes a search the same search in another process: its settings in JSON, without addresses of objects.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from hashlib import blake2b
from inspect import signature
from types import CodeType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone, is_classifier
from sklearn.utils import indexable
from sklearn.utils.validation import _num_samples

from manymill.errors import SettingsError
from manymill.search.evaluation import Job, config_here, configured
from manymill.search.journal import SearchJournal
from manymill.search.parameters import is_by_row, rungs_of
from manymill.search.policy import Rules

if TYPE_CHECKING:
    from manymill.search.estimator import SearchCV


@dataclass(frozen=True, slots=True)
class Routed:
    """The parameters of a fit by who gets them."""

    fit: Mapping[str, Any]
    split: Mapping[str, Any]
    score: Mapping[str, Mapping[str, Any]]  # by scorer


def routed(search: Any, scorers: Mapping[str, Any], params: Mapping[str, Any]) -> Routed:
    """Whom parameters of the fit of a search are for.

    Raises
    ------
    TypeError, UnsetMetadataPassedError
        With metadata routing, of what nobody requested.
    """
    from sklearn.utils.metadata_routing import process_routing

    if is_enabled():
        found: Any = process_routing(search, "fit", **params)
        score = {name: found[key].score for name, key in zip(scorers, _keys(scorers), strict=True)}
        return Routed(found.estimator.fit, found.splitter.split, score)
    fit = {name: value for name, value in params.items() if name != "groups"}
    weights = {"sample_weight": fit["sample_weight"]} if fit.get("sample_weight") is not None else {}
    return Routed(
        fit,
        {"groups": params["groups"]} if "groups" in params else {},
        {name: weights if weights and _takes_weights(scorer) else {} for name, scorer in scorers.items()},
    )


def router_of(search: Any, scorers: Mapping[str, Any]) -> Any:
    """What scikit-learn's ``get_metadata_routing`` gives for a search."""
    from sklearn.utils.metadata_routing import MetadataRouter, MethodMapping

    router = MetadataRouter(owner=search)
    router.add(estimator=search.estimator, method_mapping=MethodMapping().add(caller="fit", callee="fit"))
    scoring = MethodMapping().add(caller="score", callee="score").add(caller="fit", callee="score")
    for scorer, key in zip(scorers.values(), _keys(scorers), strict=True):
        router.add(method_mapping=scoring, **{key: scorer})
    router.add(splitter=search.cv, method_mapping=MethodMapping().add(caller="fit", callee="split"))
    return router


def score_params(
    search: Any, scorers: Mapping[str, Any], metric: str, params: Mapping[str, Any]
) -> Mapping[str, Any]:
    """Those of the parameters of ``score`` that the scorer of a metric gets.

    Raises
    ------
    ValueError
        If there are any and metadata routing is not enabled.
    """
    from sklearn.utils.metadata_routing import process_routing

    if not params:
        return {}
    if not is_enabled():
        raise ValueError(
            f"score takes {', '.join(sorted(params))} with metadata routing alone: "
            "call sklearn.set_config(enable_metadata_routing=True)"
        )
    found: Any = process_routing(search, "score", **params)
    given: Mapping[str, Any] = found[dict(zip(scorers, _keys(scorers), strict=True))[metric]].score
    return given


def is_enabled() -> bool:
    """Whether scikit-learn is to route by request."""
    from sklearn import get_config

    return bool(get_config()["enable_metadata_routing"])


def _keys(scorers: Mapping[str, Any]) -> list[str]:
    """The scorers as a router calls them."""
    return [f"scorer{place}" for place in range(len(scorers))]


def _takes_weights(scorer: Callable[..., Any]) -> bool:
    if hasattr(scorer, "_accept_sample_weight"):
        return bool(scorer._accept_sample_weight())
    return "sample_weight" in signature(scorer).parameters


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


@dataclass(frozen=True, slots=True)
class Asked:
    """What a search was asked, checked, and not looked at the data yet."""

    search: SearchCV
    X: Any
    y: Any
    params: Mapping[str, Any]  # of the fit, and groups
    scorers: Mapping[str, Any]
    metric: str  # that decides
    spaces: list[Any]
    seed: int
    proposer: Any
    config: dict[str, Any] = field(
        default_factory=config_here
    )  # of the thread that asks, not of the driver's

    @property
    def is_text(self) -> bool:
        """Whether texts are hashed first, which takes a second for 100 MB."""
        if set(self.params) - {"groups"} or not type(self.search.estimator).__module__.startswith(
            "manymill.linear."
        ):
            return False
        from manymill.search.text import is_hashed_once

        return is_hashed_once(self.search.estimator, self.X, self.search.distributions)


@dataclass(frozen=True, slots=True)
class Prepared:
    """What the driver of a search needs; who takes it closes it."""

    job: Job
    rules: Rules
    journal: SearchJournal | None

    def close(self) -> None:
        """Let files go: another search may have the run folder, and hashed texts may make room."""
        if self.journal is not None:
            self.journal.close()
        if self.job.text is not None:
            self.job.text.close()


def prepare(asked: Asked, stop: Callable[[], bool] = lambda: False) -> Prepared:
    """Look at the data: hash texts, split rows, open the journal.

    Raises
    ------
    SettingsError, SchemaError, SourceError, RunFolderError
        If there is nothing to split, data cannot be read, or the run folder is another's.
    CancelledError
        If `stop` says so meanwhile.
    """
    from manymill.data.dataset import Dataset

    text = None
    journal = None if asked.search.run is None else SearchJournal(asked.search.run)
    try:
        if asked.is_text:
            from manymill.search.text import text_fitter

            text = text_fitter(
                asked.search.estimator, asked.X, asked.y, distributions=asked.search.distributions,
                stop=lambda: stop() or (journal is not None and journal.abort_was_asked()), run=asked.search.run,
            )  # fmt: skip
        elif isinstance(asked.X, Dataset):
            raise SettingsError(
                "a Dataset is searched over by TextClassifier and ComplementNaiveBayes alone, with ngram_range and"
                " lowercase listed, and weights and parameters of fit left out",
                "list their values, or give texts and labels that are in memory",
            )
        with configured(asked.config):
            job, rules = _prepared(asked, text)
        if journal is not None:
            journal.begin(settings_of(asked.search, job, rules, asked.seed), asked.spaces)
        return Prepared(job, rules, journal)
    except BaseException:
        if text is not None:
            text.close()
        if journal is not None:
            journal.close()
        raise


def _prepared(asked: Asked, text: Any) -> tuple[Job, Rules]:
    from sklearn.model_selection import check_cv

    search = asked.search
    given = routed(search, asked.scorers, asked.params)
    params, split = dict(given.fit), dict(given.split)
    X, y = (asked.X, asked.y) if text is None else (np.arange(len(text.y)), text.y)
    X, y, groups = indexable(X, y, split.pop("groups", None))
    try:
        splitter = check_cv(search.cv, y, classifier=is_classifier(search.estimator))
        splits = [(_places(train), _places(test)) for train, test in splitter.split(X, y, groups, **split)]
    except ValueError as error:
        raise SettingsError(
            f"cv={search.cv!r} is not possible: {str(error).rstrip('.')}",
            "give splits that the rows and their labels allow",
        ) from error
    if not splits:
        raise SettingsError(f"cv={search.cv!r} gives no splits", "give a splitter that does")
    search.n_splits_ = len(splits)
    n_rows = _num_samples(X)
    if search.ensemble is not None and len(getattr(y, "shape", ())) > 1:
        raise SettingsError("an ensemble has one output, and y has several columns", "leave ensemble away")
    by_row = {name: value for name, value in params.items() if is_by_row(value, n_rows)}
    scorers, scoring, of_scorers = _scoring(asked.scorers, given.score, by_row, n_rows)
    rungs = rungs_of(search, min(len(train) for train, _ in splits))
    rules = Rules(
        asked.proposer.n_trials, len(splits), rungs, search.eta, search.max_evaluations, asked.metric,
        adaptive=asked.proposer.adaptive,
    )  # fmt: skip
    job = Job(
        estimator=clone(search.estimator),
        data={"X": X, **({} if y is None else {"y": y}), **by_row, **of_scorers},
        splits=splits,
        scorers=scorers,
        scoring=scoring,
        fit_params={name: value for name, value in params.items() if name not in by_row},
        by_row=tuple(by_row),
        resource=search.resource,
        train_scores=search.return_train_score,
        timeout=search.timeout,
        text=text,
        metric=rules.metric,
        raises=search.error_score == "raise",
    )
    return job, rules


def _scoring(
    scorers: Mapping[str, Any], given: Mapping[str, Mapping[str, Any]], by_row: Mapping[str, Any], n_rows: int
) -> tuple[dict[str, Any], dict[str, dict[str, str]], dict[str, Any]]:
    """Scorers that have their parameters; the names in the data of those by row, and of these what is not there yet."""
    ready: dict[str, Any] = {}
    names: dict[str, dict[str, str]] = {}
    more: dict[str, Any] = {}
    for scorer, params in given.items():
        fixed = {name: value for name, value in params.items() if not is_by_row(value, n_rows)}
        ready[scorer] = partial(scorers[scorer], **fixed) if fixed else scorers[scorer]
        names[scorer] = {}
        for name in params.keys() - fixed.keys():
            names[scorer][name] = name if by_row.get(name) is params[name] else f"{name} of {scorer}"
            if names[scorer][name] not in by_row:
                more[names[scorer][name]] = params[name]
    return ready, names, more


def _places(rows: Any) -> NDArray[np.intp]:
    """Numbers of rows, which a splitter may tell by a mask."""
    rows = np.asarray(rows)
    return np.flatnonzero(rows) if rows.dtype == bool else rows
