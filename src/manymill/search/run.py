"""Run a configured search over files of text: the pipeline of ``manymill search``.

::

    search.toml ──► SearchCV over TextClassifier ──► RUN/search.jsonl, and RUN/model: the best, fitted on all rows
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import manymill
from manymill.data.dataset import scan
from manymill.engine import interrupts
from manymill.errors import PlanError, SettingsError
from manymill.search.config import parse_spaces, parse_value, suggestion
from manymill.search.distributions import LogUniform
from manymill.search.estimator import SearchCV
from manymill.search.handle import SearchHandle
from manymill.validation import any_of, check

# Default search spaces: around the settings that `benches/bar.py` finds best on its corpora.
_TEXT_FEATURES = {"ngram_range": [(1, 1), (1, 2)], "value": ["log", "binary"]}
DEFAULT_SPACES: dict[str, dict[str, Any]] = {
    "TextClassifier": {
        **_TEXT_FEATURES,
        "feature_weights": [None, "nb"],
        "loss": ["log", "modified_huber"],
        "l2": LogUniform(1e-7, 1e-4),
        "passes": [1, 3, 10],
    },
    "ComplementNaiveBayes": {
        **_TEXT_FEATURES,
        "feature_weights": [None, "idf"],
        "alpha": LogUniform(1e-2, 1.0),
        "weight_norm": [False, True],
    },
}


def run_search(
    config: Mapping[str, Any],
    out: str | os.PathLike[str],
    *,
    engine: Any = None,
    watch: Callable[[SearchHandle], None] = lambda handle: None,
) -> SearchCV:
    """Run a configured search in a run folder; the same call resumes a search that was killed.

    Parameters
    ----------
    config : mapping
        From `read_config`: ``data``, and optionally ``estimator``, ``space`` and ``search``. `DEFAULT_SPACES` applies
        if there is no space.
    out : path
        The run folder: it gets the journal, and the best model as ``model``.
    engine : optional
        Execution engine; see :func:`manymill.engine.selection.as_engine`.
    watch : callable
        Called once, when the search has started; it may wait for the end.

    Returns
    -------
    SearchCV
        Fitted.

    Raises
    ------
    SettingsError, SourceError, SchemaError, RunFolderError
        If the configuration is invalid, or data or run folder cannot be used.
    PlanError
        If no candidate has a score.
    """
    params = dict(config.get("estimator", {}))
    kind = params.pop("kind", "TextClassifier")
    estimator = _make_estimator(kind, params)
    space = parse_spaces(config["space"]) if "space" in config else _default_space(kind, params)
    for name in (name for each in space for name in each):
        _check_parameter("space", name, estimator)
    options = config.get("search", {})
    rows = scan(**config["data"])
    search = SearchCV(estimator, space, engine=engine, run=out, **options)
    handle = search.start(rows)
    watch(handle)
    handle.wait()
    failures = handle.failures()
    if search.best_index_ is None:
        raise PlanError(
            f"no candidate has a score: {failures[0].error if failures else 'none was evaluated'}",
            "correct the configuration"
            if failures
            else "give the search more time; the same command resumes it",
        )
    search.refit_best(rows)
    with interrupts.defer_interrupts():
        search.best_estimator_.save(Path(out) / "model")
    return search


def _make_estimator(kind: Any, params: dict[str, Any]) -> Any:
    check(kind in tuple(DEFAULT_SPACES), "[estimator] kind", kind, any_of(DEFAULT_SPACES))
    estimator = getattr(manymill, kind)()
    for name in params:
        _check_parameter("estimator", name, estimator)
    return estimator.set_params(**{name: parse_value(value) for name, value in params.items()})


def _check_parameter(table: str, name: str, estimator: Any) -> None:
    known = estimator.get_params()
    if name not in known:
        raise SettingsError(
            f"[{table}]: {type(estimator).__name__} has no parameter {name!r}", suggestion(name, known)
        )


def _default_space(kind: str, fixed: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The default space without the parameters that are fixed."""
    return [{name: values for name, values in DEFAULT_SPACES[kind].items() if name not in fixed}]
