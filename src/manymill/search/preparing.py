"""From what a search was asked, and the data, to what its driver needs.

::

    texts ──hash, once──► row numbers ─┐
    any other data ────────────────────┴─► splits ──► Job, Rules, SearchJournal
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone, is_classifier
from sklearn.utils import indexable
from sklearn.utils.validation import _num_samples

from manymill.errors import SettingsError
from manymill.search.asked import is_by_row, rungs_of
from manymill.search.evaluating import Job, config_here, configured
from manymill.search.identity import settings_of
from manymill.search.journal import SearchJournal
from manymill.search.policy import Rules
from manymill.search.routing import routed

if TYPE_CHECKING:
    from manymill.search.estimator import SearchCV


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
