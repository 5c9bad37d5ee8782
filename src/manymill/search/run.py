"""Run a configured search over files of text: the pipeline of ``manymill search``.

::

    search.toml ──► SearchCV over TextClassifier ──► RUN/search.jsonl, and RUN/model: the best, fitted on all rows
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import manymill
from manymill.constants import AUTO
from manymill.data.dataset import scan
from manymill.engine import interrupts
from manymill.errors import PlanError, SettingsError
from manymill.linear.classifier import TextClassifier
from manymill.linear.recipe import value_of
from manymill.search.config import parse_spaces, parse_value, suggestion
from manymill.search.distributions import LogUniform
from manymill.search.estimator import SearchCV
from manymill.search.handle import SearchHandle
from manymill.search.samplers import is_optuna
from manymill.validation import any_of, check

# What the default search of `TextClassifier` varies with any features. The first values are those of the recipe;
# penalties are multiples of 1 / the number of rows, since the best one shrinks with it.
_LEARNING = {
    "feature_weights": [AUTO, "nb", "idf"],
    "loss": [AUTO, "log"],
    "l2": [AUTO, "0.1/rows", "1/rows", "3/rows", "10/rows"],
    "passes": [AUTO, 1, 3],
}
_WORDS, _CHARACTERS = "ngram_range", "char_ngram_range"

# Default search spaces: words with characters, words, and characters, since no features at all are invalid. Each pair
# of n-gram ranges is hashed to files of its own, several times the size of the text: there are few.
DEFAULT_SPACES: dict[str, list[dict[str, Any]]] = {
    "TextClassifier": [
        {_WORDS: [AUTO, (1, 1)], _CHARACTERS: [AUTO], **_LEARNING},
        {_WORDS: [AUTO, (1, 1)], _CHARACTERS: [None], **_LEARNING},
        {_WORDS: [None], _CHARACTERS: [(2, 4)], **_LEARNING},
    ],
    "ComplementNaiveBayes": [
        {
            "ngram_range": [(1, 1), (1, 2)],
            "value": ["log", "binary"],
            "feature_weights": [None, "idf"],
            "alpha": LogUniform(1e-2, 1.0),
            "weight_norm": [False, True],
        }
    ],
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
        if there is no space; the first candidate of a ``TextClassifier`` is then its recipe.
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
    options = config.get("search", {})
    if "space" in config:
        spaces, first = parse_spaces(config["space"]), None
    else:
        spaces, first = _default_search(estimator, params, options.get("sampler", "auto"))
    for name in (name for each in spaces for name in each):
        _check_parameter("space", name, estimator)
    rows = scan(**config["data"])
    search = SearchCV(estimator, spaces, first=first, engine=engine, run=out, **options)
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


def _default_search(
    estimator: Any, fixed: Mapping[str, Any], sampler: str
) -> tuple[list[dict[str, Any]], dict[str, Any] | None]:
    """The default spaces without the parameters that are fixed, and the first candidate: the recipe, or None."""
    spaces = DEFAULT_SPACES[type(estimator).__name__]
    searched = [
        {name: values for name, values in space.items() if name not in fixed}
        for space in [space for space in spaces if _has_fixed_features(estimator, fixed, space)] or spaces
    ]
    if is_optuna(sampler):  # which searches one space
        del searched[1:]
    is_recipe = isinstance(estimator, TextClassifier)
    return searched, {name: values[0] for name, values in searched[0].items()} if is_recipe else None


def _has_fixed_features(estimator: Any, fixed: Mapping[str, Any], space: Mapping[str, Any]) -> bool:
    """Whether a space has the kinds of features, words and characters, that the fixed parameters choose."""
    names = [name for name in (_WORDS, _CHARACTERS) if name in fixed and name in space]
    return all((value_of(estimator, name) is None) == (space[name] == [None]) for name in names)


def recipe_verdict(search: SearchCV) -> str:
    """Whether a search found anything better than its first candidate, the recipe; empty if it did not begin there."""
    if search.first is None:
        return ""
    ranking = search.handle_.ranking()
    recipe = next((row for row in ranking if row.trial == 0), None)
    if recipe is None or math.isnan(recipe.mean):
        return "the default recipe has no score"
    best = ranking[0]
    if best.rank == recipe.rank:
        return "nothing is better than the default recipe"
    found = "the best candidate is better than the default recipe"
    # Scores of other numbers of rows do not compare.
    comparable = best.resource == recipe.resource and not (best.partial or recipe.partial)
    return f"{found}: {best.mean:.4f} instead of {recipe.mean:.4f}" if comparable else found
