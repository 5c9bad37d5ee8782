"""`SearchCV`: model selection that can be watched, aborted and gone on with, as an estimator of scikit-learn.

What the best candidate of a search does in the search's place: predict, transform, score.
"""

from __future__ import annotations

import math
import os
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, MetaEstimatorMixin, clone
from sklearn.exceptions import NotFittedError
from sklearn.metrics import check_scoring
from sklearn.utils import get_tags
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from manymill.engine.selection import engine_for
from manymill.errors import PlanError, SettingsError
from manymill.estimator_support import clone_with_engine, seed_from
from manymill.search.ensembles import build, size_of
from manymill.search.handle import SearchHandle
from manymill.search.mlflow import logged, unlogged
from manymill.search.parameters import check_parameters
from manymill.search.results import best_index, cv_results, with_error_score
from manymill.search.samplers import Distributions, proposer_of, spaces_of
from manymill.search.setup import Asked, Prepared, prepare, routed, router_of, score_params


def _best_has(name: str) -> Callable[[Any], bool]:
    """For `available_if`: whether the best estimator, or before fitting the one searched over, has a method."""

    def check(self: Any) -> bool:
        getattr(getattr(self, "ensemble_", getattr(self, "best_estimator_", self.estimator)), name)
        return True

    return check


class BestCandidate:
    """The methods of the ensemble, or of the best estimator, as far as they have them."""

    estimator: Any
    best_estimator_: Any
    ensemble_: Any
    scorer_: Any
    multimetric_: bool
    refit: Any

    @property
    def _predictor(self) -> Any:
        """The ensemble, or the best candidate where there is none."""
        return self.ensemble_ if hasattr(self, "ensemble_") else self.best_estimator_

    @property
    def classes_(self) -> NDArray[Any]:
        """The labels that the best estimator knows."""
        _best_has("classes_")(self)
        classes: NDArray[Any] = self._predictor.classes_
        return classes

    def score(self, X: Any, y: Any = None, **params: Any) -> float:
        """The score of the best estimator, by the metric that decides.

        Parameters
        ----------
        X, y : as of `fit`
        **params : dict
            For the scorer, as metadata routing has it.

        Raises
        ------
        ValueError
            If there are such parameters and metadata routing is not enabled.
        """
        self._check_predicts("score")
        scorers = self.scorer_ if isinstance(self.scorer_, dict) else {"score": self.scorer_}
        metric = self._metric(scorers) if self.multimetric_ and isinstance(self.scorer_, dict) else "score"
        own = score_params(self, scorers, metric, params)
        rows = (X,) if y is None else (X, y)
        score = scorers[metric](self._predictor, *rows, **own)
        return float(score[self._metric(score)] if isinstance(score, dict) else score)

    @available_if(_best_has("predict"))  # type: ignore[untyped-decorator]
    def predict(self, X: Any) -> Any:
        """What the best estimator predicts."""
        self._check_predicts("predict")
        return self._predictor.predict(X)

    @available_if(_best_has("predict_proba"))  # type: ignore[untyped-decorator]
    def predict_proba(self, X: Any) -> Any:
        """Probabilities of the best estimator."""
        self._check_predicts("predict_proba")
        return self._predictor.predict_proba(X)

    @available_if(_best_has("predict_log_proba"))  # type: ignore[untyped-decorator]
    def predict_log_proba(self, X: Any) -> Any:
        """Logarithms of the probabilities of the best estimator."""
        self._check_predicts("predict_log_proba")
        return self._predictor.predict_log_proba(X)

    @available_if(_best_has("decision_function"))  # type: ignore[untyped-decorator]
    def decision_function(self, X: Any) -> Any:
        """Decision values of the best estimator."""
        self._check_predicts("decision_function")
        return self._predictor.decision_function(X)

    @available_if(_best_has("score_samples"))  # type: ignore[untyped-decorator]
    def score_samples(self, X: Any) -> Any:
        """Scores of rows by the best estimator."""
        self._check_predicts("score_samples")
        return self._predictor.score_samples(X)

    @available_if(_best_has("transform"))  # type: ignore[untyped-decorator]
    def transform(self, X: Any) -> Any:
        """What the best estimator makes of rows."""
        self._check_predicts("transform")
        return self._predictor.transform(X)

    @available_if(_best_has("inverse_transform"))  # type: ignore[untyped-decorator]
    def inverse_transform(self, X: Any) -> Any:
        """What the best estimator made rows of."""
        self._check_predicts("inverse_transform")
        return self._predictor.inverse_transform(X)

    def _check_predicts(self, name: str) -> None:
        """Raise ``NotFittedError`` if there is nobody to ask."""
        if hasattr(self, "ensemble_") or hasattr(self, "best_estimator_"):
            return
        if hasattr(self, "cv_results_"):
            raise NotFittedError(
                f"no estimator was fitted on all rows, for refit={self.refit!r}: {name} is there after refit_best(X, y)"
            )
        check_is_fitted(self, "best_estimator_")

    def _metric(self, scorers: Any) -> str:
        """The metric that decides."""
        raise NotImplementedError


# What a fit gives, and the next one forgets.
_LEARNT = (
    "cv_results_", "best_index_", "best_params_", "best_score_", "best_estimator_", "refit_time_", "ensemble_",
    "ensemble_loss_", "n_features_in_", "feature_names_in_",
)  # fmt: skip


class FailedCandidatesWarning(UserWarning):
    """Some evaluations raised; `SearchCV.handle_.failures()` has their tracebacks."""


class InterruptedSearchWarning(UserWarning):
    """A search was stopped before its end; what was finished is used."""


class SearchCV(BestCandidate, MetaEstimatorMixin, BaseEstimator):
    """Candidates from a grid, from distributions or from Optuna, cross-validated on an engine.

    Parameters
    ----------
    estimator : estimator of scikit-learn's kind
    distributions : mapping, or sequence of mappings
        For each parameter a list of values, or a distribution with ``rvs``.
    n_trials : int
        Candidates, at most.
    sampler : str
        ``"auto"``, ``"grid"`` (all points), ``"random"``, or one of Optuna's: ``"tpe"``, ``"cmaes"``, ``"gp"``,
        ``"qmc"``.
    cv : int, splitter or iterable
        As in scikit-learn.
    scoring : str, callable, list or mapping
        As in scikit-learn; several metrics by a list or a mapping.
    refit : bool, str or callable
        Whether to fit the best candidate on all rows; with several metrics the name of the one that decides. A
        callable chooses the row of ``cv_results_``.
    engine : int, str, Executor, Engine or None
        Threads, processes, a cluster: see :mod:`manymill.engine`.
    halving : bool
        Whether candidates begin with few rows, or little of another resource, and the best of them get more
        (asynchronous successive halving).
    resource : str
        ``"rows"``, or the name of a parameter that is a number of passes, trees or iterations.
    min_resource, max_resource : int or "auto"
        The least and the most that a candidate gets; all rows by default.
    eta : int
        One candidate in so many goes on, with so many times the resource.
    max_evaluations : int, optional
        Fits of a candidate on a split, at most.
    seconds : float, optional
        After so long nothing more is begun.
    timeout : float, optional
        Seconds that one evaluation may take. Where workers are threads, or a library computes without coming back to
        Python, it is not stopped, but counts as failed.
    error_score : float or "raise"
        The score of an evaluation that raises, in ``cv_results_``; or the search ends with the first such error.
    return_train_score : bool
    ensemble : str or int, optional
        ``"top10"``, or a number: of so many of the best candidates an ensemble is made on out-of-fold predictions,
        which then predicts. Costs a fit on each split and one on all rows for each of them.
    random_state : int, RandomState or None
        With one worker, the same number gives the same search.
    run : path, optional
        A folder for the journal: a search that was killed goes on from there when it is started again.
    storage : str, optional
        A URL of Optuna's, ``sqlite:///search.db`` for example: what its samplers did is kept there as well, and
        optuna-dashboard shows it.

    Attributes
    ----------
    cv_results_, best_index_, best_params_, best_score_, best_estimator_, refit_time_, n_splits_, scorer_, multimetric_
        As of scikit-learn's searches.
    ensemble_ : VotingClassifier or VotingRegressor
        With ``ensemble``: fitted, an ordinary estimator of scikit-learn.
    ensemble_loss_ : float
        Its log loss, or mean squared error, out of fold.
    handle_ : SearchHandle
        With the ranking, failures and the log of events.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.svm import SVC
    >>> from manymill import SearchCV
    >>> search = SearchCV(SVC(), {"C": [0.01, 1, 100], "gamma": [0.001, 0.1]}, cv=3, engine=2)
    >>> search = search.fit(*load_iris(return_X_y=True))
    >>> search.best_score_ > 0.95, len(search.cv_results_["params"])
    (True, 6)
    """

    def __init__(
        self,
        estimator: Any,
        distributions: Distributions,
        *,
        n_trials: int = 100,
        sampler: str = "auto",
        cv: Any = 5,
        scoring: Any = None,
        refit: Any = True,
        engine: Any = None,
        halving: bool = False,
        resource: str = "rows",
        min_resource: int | str = "auto",
        max_resource: int | str = "auto",
        eta: int = 3,
        max_evaluations: int | None = None,
        seconds: float | None = None,
        timeout: float | None = None,
        error_score: float | str = math.nan,
        return_train_score: bool = False,
        ensemble: str | int | None = None,
        random_state: int | np.random.RandomState | None = 0,
        run: str | os.PathLike[str] | None = None,
        storage: str | None = None,
    ) -> None:
        self.estimator = estimator
        self.distributions = distributions
        self.n_trials = n_trials
        self.sampler = sampler
        self.cv = cv
        self.scoring = scoring
        self.refit = refit
        self.engine = engine
        self.halving = halving
        self.resource = resource
        self.min_resource = min_resource
        self.max_resource = max_resource
        self.eta = eta
        self.max_evaluations = max_evaluations
        self.seconds = seconds
        self.timeout = timeout
        self.error_score = error_score
        self.return_train_score = return_train_score
        self.ensemble = ensemble
        self.random_state = random_state
        self.run = run
        self.storage = storage

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        own = get_tags(self.estimator)
        tags.estimator_type = own.estimator_type
        tags.classifier_tags, tags.regressor_tags = own.classifier_tags, own.regressor_tags
        tags.input_tags.pairwise = own.input_tags.pairwise
        tags.input_tags.sparse = own.input_tags.sparse
        tags.input_tags.string = own.input_tags.string
        tags.array_api_support = False
        return tags

    def __sklearn_clone__(self) -> Self:
        """A twin that has the same engine."""
        return clone_with_engine(self)

    def get_metadata_routing(self) -> Any:
        """Who may request what is given to :meth:`fit` and :meth:`score`: the estimator, the splitter, scorers."""
        return router_of(self, scorers_of(self))

    # ---- searching

    def fit(self, X: Any, y: Any = None, **params: Any) -> Self:
        """Search, and fit the best candidate on all rows.

        An interrupt (Ctrl-C) ends the search; what is finished by then is used.

        Parameters
        ----------
        X : array-like, sparse matrix, list of texts or Dataset, of n_rows rows
        y : array-like of shape (n_rows,), optional
        **params : dict
            For the fit of the estimator; those with a value for each row are split along. ``groups`` are for the
            splitter.

        Raises
        ------
        SettingsError
            If a parameter cannot be.
        PlanError
            If not one evaluation gave a score.
        """
        # A stream can be read once: the best is fitted on it as well.
        X, y = (list(values) if isinstance(values, Iterator) else values for values in (X, y))
        with logged(self):
            handle = self.start(X, y, **params)
            try:
                handle.wait()
            except KeyboardInterrupt:
                interrupted = f"the search was interrupted: {handle.progress()}"
                handle.abort()
                handle.wait()
                # Last, since a warning may be made an error.
                warnings.warn(interrupted, InterruptedSearchWarning, stacklevel=2)
            with unlogged():
                self._finish(X, y, params)
        return self

    def start(self, X: Any, y: Any = None, **params: Any) -> SearchHandle:
        """Begin to search, and return at once.

        When the search is over, this estimator has its attributes but ``best_estimator_``, for which :meth:`refit_best`
        fits once more. If another was started meanwhile, they are those of the last.

        Parameters
        ----------
        X, y, **params
            See :meth:`fit`.

        Returns
        -------
        SearchHandle
        """
        spaces = spaces_of(self.distributions)
        check_parameters(self)
        seed = seed_from(self.random_state)
        proposer = proposer_of(self.sampler, self.distributions, self.n_trials, seed, self.storage)
        scorers = self._scorers()
        asked = Asked(self, X, y, params, scorers, self._metric(scorers), spaces, seed, proposer)
        # Hashing takes its time, so that it is the driver's affair; anything else that is wrong is told at once.
        when_started = partial(prepare, asked) if asked.is_text else partial(_given, prepare(asked))
        for name in _LEARNT:
            self.__dict__.pop(name, None)
        latest = self._latest = object()
        self.handle_ = SearchHandle(
            when_started, proposer, self.engine, seconds=self.seconds, raises=self.error_score == "raise",
            on_end=lambda handle: self._take(handle) if self._latest is latest else None,
        )  # fmt: skip
        return self.handle_

    def refit_best(self, X: Any, y: Any = None, **params: Any) -> Self:
        """Fit the best candidate on all rows; :meth:`fit` does so by itself."""
        check_is_fitted(self, "cv_results_")
        if self.best_index_ is None:
            raise PlanError(
                "no candidate has a score",
                "all were NaN, or nothing was finished: see handle_.progress() and handle_.failures()",
            )
        started = time.perf_counter()
        best = {name: clone(value, safe=False) for name, value in self.best_params_.items()}
        if self.halving and self.resource != "rows":  # what the best was scored with
            best[self.resource] = int(self.cv_results_["n_resources"][self.best_index_])
        self.best_estimator_ = clone(self.estimator).set_params(**best)
        own = routed(self, scorers_of(self), params).fit
        self.best_estimator_.fit(X, **own) if y is None else self.best_estimator_.fit(X, y, **own)
        self.refit_time_ = time.perf_counter() - started
        for name in ("n_features_in_", "feature_names_in_"):
            if hasattr(self.best_estimator_, name):
                setattr(self, name, getattr(self.best_estimator_, name))
        return self

    def _finish(self, X: Any, y: Any, params: Mapping[str, Any]) -> None:
        failures = self.handle_.failures()
        if failures:
            n = self.handle_.progress()
            if not n.done:
                raise PlanError(
                    f"all {n.failed} evaluations failed, the first with {failures[0].error}",
                    "mend the estimator or its parameters; handle_.failures() has the tracebacks",
                )
            warnings.warn(
                f"{n.failed} of {n.failed + n.done} evaluations failed, the first with {failures[0].error}",
                FailedCandidatesWarning,
                stacklevel=3,
            )
        if self.refit:
            self.refit_best(X, y, **params)
        if self.ensemble is not None:
            best = [dict(row.params) for row in self.handle_.ranking() if not math.isnan(row.mean)]
            with engine_for(self.engine) as engine:
                job = self.handle_.job
                labels = y if job.text is None else job.text.y
                self.ensemble_, self.ensemble_loss_ = build(
                    engine, job, best[: size_of(self.ensemble)], X, y, labels
                )

    def _take(self, handle: SearchHandle) -> None:
        """The attributes that a search gives when it is over."""
        policy = handle.policy
        if callable(self.scoring) and policy.metrics not in ([], ["score"]):
            self.multimetric_ = True  # one function that gives several
        metrics = (policy.metrics or list(self.scorer_)) if self.multimetric_ else ["score"]
        results = cv_results(policy, metrics, train=self.return_train_score, halving=self.halving)
        if self.error_score != "raise" and not math.isnan(float(self.error_score)):
            results = with_error_score(results, policy, metrics, float(self.error_score))
        suffix = "score" if not self.multimetric_ else self._metric(self.scorer_)
        self.cv_results_ = results
        self.best_index_ = (
            _chosen(self.refit, results) if callable(self.refit) else best_index(results, suffix)
        )
        if self.best_index_ is None:
            # Nobody is whole: the ranking has the rule for those.
            first = handle.best_so_far()
            if first is not None and not math.isnan(first.mean):
                self.best_index_ = policy.trials.index(first.trial)
                self.best_score_ = first.mean
        else:
            self.best_score_ = float(results[f"mean_test_{suffix}"][self.best_index_])
        if self.best_index_ is not None:
            self.best_params_ = dict(results["params"][self.best_index_])

    # ---- what is asked for

    def _scorers(self) -> dict[str, Any]:
        scoring = self.scoring
        self.multimetric_ = _is_several(scoring)
        scorers = scorers_of(self)
        self.scorer_ = scorers if self.multimetric_ else scorers["score"]
        return dict(scorers)

    def _metric(self, scorers: Mapping[str, Any]) -> str:
        """The metric that decides."""
        if callable(self.scoring) and isinstance(self.refit, str):
            return self.refit
        if not self.multimetric_ or len(scorers) == 1 or callable(self.refit) or self.refit is False:
            return next(iter(scorers))
        if self.refit not in scorers:
            raise SettingsError(
                f"refit={self.refit!r} does not say which of {', '.join(scorers)} decides", "name one of them"
            )
        return str(self.refit)


def scorers_of(search: Any) -> dict[str, Any]:
    """The scorers of a search by name; the only one is ``"score"``."""
    scoring = search.scoring
    if not _is_several(scoring):
        return {"score": check_scoring(search.estimator, scoring)}
    named = dict(scoring) if isinstance(scoring, Mapping) else {name: name for name in sorted(scoring)}
    return {name: check_scoring(search.estimator, value) for name, value in named.items()}


def _is_several(scoring: Any) -> bool:
    return isinstance(scoring, (list, tuple, set, Mapping))


def _chosen(refit: Callable[[dict[str, Any]], Any], results: dict[str, Any]) -> int:
    """The row that a function chooses."""
    row, n_rows = refit(results), len(results["params"])
    if not isinstance(row, (int, np.integer)) or not 0 <= row < n_rows:
        raise SettingsError(f"refit chose row {row!r}", f"it has to return a number from 0 to {n_rows - 1}")
    return int(row)


def _given(prepared: Prepared, stop: Callable[[], bool]) -> Prepared:
    return prepared
