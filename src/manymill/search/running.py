"""A search that a file describes, from files of text to a run folder with the best model.

::

    search.toml ──► SearchCV over TextClassifier ──► RUN/search.jsonl, and RUN/model: the best, fitted on all rows
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from manymill.data.dataset import scan
from manymill.errors import PlanError, SettingsError, SourceError
from manymill.search.estimator import SearchCV
from manymill.search.handle import SearchHandle
from manymill.search.space import spaces_of_file

_TABLES = {"data", "estimator", "space", "search"}
_ESTIMATORS = ("TextClassifier", "ComplementNaiveBayes")
_DATA = {"source", "text", "label", "format", "encoding", "classes", "strict"}
_SEARCH = {
    "n_trials", "sampler", "cv", "scoring", "refit", "halving", "resource", "min_resource", "max_resource", "eta",
    "max_evaluations", "seconds", "timeout", "random_state", "storage",
}  # fmt: skip


def read_config(path: str | os.PathLike[str]) -> dict[str, Any]:
    """What a file asks for.

    Raises
    ------
    SourceError
        If it cannot be read, or is no TOML.
    SettingsError
        If it has what is not known, or lacks what is needed.
    """
    try:
        with open(path, "rb") as file:
            config = tomllib.load(file)
    except OSError as error:
        raise SourceError(f"{path} cannot be read: {error.strerror}", "name a TOML file") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SourceError(f"{path} is no TOML: {error}", "see docs/search.md for an example") from error
    for name in sorted(set(config) - _TABLES):
        raise SettingsError(f"{path}: there is no table [{name}]", f"there are {', '.join(sorted(_TABLES))}")
    for name in ("data", "space"):
        if name not in config:
            raise SettingsError(f"{path}: the table [{name}] is missing", "see docs/search.md for an example")
    for table, known in (("data", _DATA), ("search", _SEARCH)):
        for name in sorted(set(config.get(table, {})) - known):
            raise SettingsError(
                f"{path}: [{table}] has no {name!r}", f"it may have {', '.join(sorted(known))}"
            )
    if "source" not in config["data"]:
        raise SettingsError(f"{path}: [data] has no source", 'give source = "reviews.jsonl", for example')
    return config


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
    rows = scan(**config["data"])
    told = dict(config.get("estimator", {}))
    kind = told.pop("kind", _ESTIMATORS[0])
    search = SearchCV(
        _estimator(kind, told),
        spaces_of_file(config["space"]),
        engine=engine,
        run=out,
        **config.get("search", {}),
    )
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


def _estimator(kind: str, told: dict[str, Any]) -> Any:
    import manymill

    if kind not in _ESTIMATORS:
        raise SettingsError(f"there is no estimator {kind!r}", f"choose {' or '.join(_ESTIMATORS)}")
    values = {name: tuple(value) if isinstance(value, list) else value for name, value in told.items()}
    try:
        return getattr(manymill, kind)(**values)
    except TypeError as error:
        raise SettingsError(f"[estimator]: {error}", f"see the parameters of {kind}") from None
