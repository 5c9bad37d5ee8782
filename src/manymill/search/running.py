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
from manymill.errors import PlanError, SettingsError
from manymill.search.configuration import ESTIMATORS, meant, with_none
from manymill.search.estimator import SearchCV
from manymill.search.handle import SearchHandle
from manymill.search.space import spaces_of_file


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
        Of `read_config`.
    out : path
        The run folder: the journal, and the best model in ``model``.
    engine : optional
        Who evaluates; see :func:`manymill.engine.choosing.as_engine`.
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
    estimator = _estimator(told.pop("kind", ESTIMATORS[0]), told)
    space = spaces_of_file(config["space"])
    _check_names(estimator, space)
    rows = scan(**config["data"])
    search = SearchCV(estimator, space, engine=engine, run=out, **config.get("search", {}))
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
    search.best_estimator_.save(Path(out) / "model")
    return search


def _estimator(kind: Any, told: dict[str, Any]) -> Any:
    import manymill

    if kind not in ESTIMATORS:
        raise SettingsError(f"there is no estimator {kind!r}", f"choose {' or '.join(ESTIMATORS)}")
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
