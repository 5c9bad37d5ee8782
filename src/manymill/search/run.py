"""A search that a file describes, from files of text to a run folder with the best model.

::

    search.toml ──► SearchCV over TextClassifier ──► RUN/search.jsonl, and RUN/model: the best, fitted on all rows
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from manymill.data.dataset import scan
from manymill.engine import interrupts
from manymill.errors import PlanError, SettingsError
from manymill.search.config import LogUniform, check_scoring, meant, spaces_of_file, with_none
from manymill.search.estimator import SearchCV
from manymill.search.handle import SearchHandle

# What is tried where nothing is said: about the settings that `benches/bar.py` finds best on its corpora.
_FORMS = {"ngram_range": [(1, 1), (1, 2)], "value": ["log", "binary"]}
DEFAULT_SPACES: dict[str, dict[str, Any]] = {
    "TextClassifier": {
        **_FORMS,
        "feature_weights": [None, "nb"],
        "loss": ["log", "modified_huber"],
        "l2": LogUniform(1e-7, 1e-4),
        "passes": [1, 3, 10],
    },
    "ComplementNaiveBayes": {
        **_FORMS,
        "feature_weights": [None, "idf"],
        "alpha": LogUniform(1e-2, 1.0),
        "weight_norm": [False, True],
    },
}


def search_run(
    config: Mapping[str, Any],
    out: str | os.PathLike[str],
    *,
    engine: Any = None,
    watch: Callable[[SearchHandle], None] = lambda handle: None,
) -> SearchCV:
    """Search as a configuration says, and leave a run folder; the same call goes on with one that was killed.

    Parameters
    ----------
    config : mapping
        Of `read_config`: ``data``, and ``estimator``, ``space`` and ``search`` if they are there; `DEFAULT_SPACES` is
        searched where there is no space.
    out : path
        The run folder: the journal, and the best model in ``model``.
    engine : optional
        Who evaluates; see :func:`manymill.engine.selection.as_engine`.
    watch : callable
        Called once, when the search has begun; may wait for it.

    Returns
    -------
    SearchCV
        Fitted, unless no candidate has a score.

    Raises
    ------
    SettingsError, SourceError, SchemaError, RunFolderError
        If the request cannot be.
    PlanError
        If every evaluation failed.
    """
    told = dict(config.get("estimator", {}))
    kind = told.pop("kind", "TextClassifier")
    estimator = _estimator(kind, told)
    space = spaces_of_file(config["space"]) if "space" in config else _default_space(kind, told)
    _check_names(estimator, space)
    asked = config.get("search", {})
    check_scoring(asked.get("scoring", []))
    rows = scan(**config["data"])
    search = SearchCV(estimator, space, engine=engine, run=out, **asked)
    handle = search.start(rows)
    watch(handle)
    handle.wait()
    failures = handle.failures()
    if search.best_index_ is None:
        raise PlanError(
            f"no candidate has a score: {failures[0].error if failures else 'none was evaluated'}",
            "mend the configuration" if failures else "give the search more time; the same command goes on",
        )
    search.refit_best(rows)
    with interrupts.defer_interrupts():
        search.best_estimator_.save(Path(out) / "model")
    return search


def _estimator(kind: Any, told: dict[str, Any]) -> Any:
    import manymill

    if kind not in tuple(DEFAULT_SPACES):
        raise SettingsError(f"there is no estimator {kind!r}", f"choose {' or '.join(DEFAULT_SPACES)}")
    estimator = getattr(manymill, kind)()
    known = estimator.get_params()
    for name in told:
        if name not in known:
            raise SettingsError(f"[estimator]: {kind} has no {name!r}", meant(name, known))
    return estimator.set_params(**{name: with_none(value) for name, value in told.items()})


def _check_names(estimator: Any, spaces: list[dict[str, Any]]) -> None:
    known = estimator.get_params()
    for name in (name for space in spaces for name in space):
        if name not in known:
            raise SettingsError(f"[space]: {type(estimator).__name__} has no {name!r}", meant(name, known))


def _default_space(kind: str, told: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What is tried of an estimator, but for what was settled."""
    return [{name: values for name, values in DEFAULT_SPACES[kind].items() if name not in told}]
