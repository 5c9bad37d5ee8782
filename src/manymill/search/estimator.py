"""`SearchCV`: hyperparameter search with scikit-learn's interface, which can be watched, aborted and resumed."""

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
from sklearn.utils import get_tags
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from manymill.engine.selection import engine_for
from manymill.errors import PlanError, SettingsError
from manymill.estimator_support import clone_with_engine, seed_from
from manymill.search.ensembles import build_ensemble, ensemble_size
from manymill.search.evaluation import clone_params
from manymill.search.handle import SearchHandle
from manymill.search.mlflow import autologging_disabled, search_logged
from manymill.search.parameters import check_parameters, make_scorer
from manymill.search.results import best_index, cv_results, with_error_score
from manymill.search.routing import make_router, route_params, route_score_params
from manymill.search.samplers import Distributions, make_proposer, parameter_spaces
from manymill.search.setup import PreparedSearch, SearchRequest, prepare_search
from manymill.validation import any_of, check, is_integer


def _best_has(name: str) -> Callable[[Any], bool]:
    """Condition for `available_if`: the best estimator, or before fitting the searched one, has an attribute."""

    def condition(self: Any) -> bool:
        getattr(getattr(self, "ensemble_", getattr(self, "best_estimator_", self.estimator)), name)
        return True

    return condition


class BestCandidateMixin:
    """Methods of a search that the ensemble, or else the best estimator, executes."""

    estimator: Any
    best_estimator_: Any
    ensemble_: Any
    scorer_: Any
    multimetric_: bool
    refit: Any

    @property
    def _predictor(self) -> Any:
        """The ensemble if there is one, else the best estimator."""
        return self.ensemble_ if hasattr(self, "ensemble_") else self.best_estimator_

    @property
    def classes_(self) -> NDArray[Any]:
        """Class labels of the best estimator."""
        _best_has("classes_")(self)
        classes: NDArray[Any] = self._predictor.classes_
        return classes

    def score(self, X: Any, y: Any = None, **params: Any) -> float:
        """Score of the best estimator by the metric that ranks candidates.

        Parameters
        ----------
        X, y
            See `fit`.
        **params : dict
            Parameters of the scorer, routed by scikit-learn's metadata routing.

        Returns
        -------
        float

        Raises
        ------
        ValueError
            If there are such parameters and metadata routing is not enabled.
        """
        self._check_can_predict("score")
        scorers = self.scorer_ if isinstance(self.scorer_, dict) else {"score": self.scorer_}
        metric = self._metric(scorers) if self.multimetric_ and isinstance(self.scorer_, dict) else "score"
        score_params = route_score_params(self, scorers, metric, params)
        data = (X,) if y is None else (X, y)
        score = scorers[metric](self._predictor, *data, **score_params)
        return float(score[self._metric(score)] if isinstance(score, dict) else score)

    @available_if(_best_has("predict"))  # type: ignore[untyped-decorator]
    def predict(self, X: Any) -> Any:
        """Predictions of the best estimator."""
        self._check_can_predict("predict")
        return self._predictor.predict(X)

    @available_if(_best_has("predict_proba"))  # type: ignore[untyped-decorator]
    def predict_proba(self, X: Any) -> Any:
        """Probabilities of the best estimator."""
        self._check_can_predict("predict_proba")
        return self._predictor.predict_proba(X)

    @available_if(_best_has("predict_log_proba"))  # type: ignore[untyped-decorator]
    def predict_log_proba(self, X: Any) -> Any:
        """Log probabilities of the best estimator."""
        self._check_can_predict("predict_log_proba")
        return self._predictor.predict_log_proba(X)

    @available_if(_best_has("decision_function"))  # type: ignore[untyped-decorator]
    def decision_function(self, X: Any) -> Any:
        """Decision values of the best estimator."""
        self._check_can_predict("decision_function")
        return self._predictor.decision_function(X)

    @available_if(_best_has("score_samples"))  # type: ignore[untyped-decorator]
    def score_samples(self, X: Any) -> Any:
        """Sample scores of the best estimator."""
        self._check_can_predict("score_samples")
        return self._predictor.score_samples(X)

    @available_if(_best_has("transform"))  # type: ignore[untyped-decorator]
    def transform(self, X: Any) -> Any:
        """Transformation of rows by the best estimator."""
        self._check_can_predict("transform")
        return self._predictor.transform(X)

    @available_if(_best_has("inverse_transform"))  # type: ignore[untyped-decorator]
    def inverse_transform(self, X: Any) -> Any:
        """Inverse transformation of rows by the best estimator."""
        self._check_can_predict("inverse_transform")
        return self._predictor.inverse_transform(X)

    def _check_can_predict(self, method: str) -> None:
        """Raise ``NotFittedError`` if there is neither an ensemble nor a best estimator."""
        if hasattr(self, "ensemble_") or hasattr(self, "best_estimator_"):
            return
        if hasattr(self, "cv_results_"):
            raise NotFittedError(
                f"no estimator was fitted on all rows, since refit={self.refit!r}: "
                f"call refit_best(X, y) before {method}"
            )
        check_is_fitted(self, "best_estimator_")

    def _metric(self, scorers: Any) -> str:
        """Name of the metric that ranks candidates."""
        raise NotImplementedError


# Attributes of a fit, which the next one removes.
_FITTED_ATTRIBUTES = (
    "cv_results_", "best_index_", "best_params_", "best_score_", "best_estimator_", "refit_time_", "ensemble_",
    "ensemble_loss_", "n_features_in_", "feature_names_in_",
)  # fmt: skip


class FailedCandidatesWarning(UserWarning):
    """Some evaluations failed; `SearchCV.handle_.failures()` has their tracebacks."""


class InterruptedSearchWarning(UserWarning):
    """A search was interrupted; its finished results are used."""


class SearchCV(BestCandidateMixin, MetaEstimatorMixin, BaseEstimator):
    """Hyperparameter search by cross-validation, over a grid, distributions or a sampler of Optuna.

    Parameters
    ----------
    estimator : estimator with scikit-learn's interface
    distributions : mapping, or sequence of mappings
        For each parameter a list of values, or a distribution with ``rvs``.
    n_trials : int
        Greatest number of candidates.
    first : mapping, optional
        The first candidate, such as the values that are known to be good: a value of each parameter of one mapping of
        ``distributions``.
    sampler : str
        ``"auto"``, ``"grid"`` (all points), ``"random"``, or one of Optuna's: ``"tpe"``, ``"cmaes"``, ``"gp"``,
        ``"qmc"``, ``"nsgaii"``.
    cv : int, splitter or iterable
        As in scikit-learn.
    scoring : str, callable, list or mapping
        As in scikit-learn; a list or mapping for several metrics.
    refit : bool, str or callable
        Whether to fit the best candidate on all rows; with several metrics the name of the one that ranks candidates.
        A callable chooses the row of ``cv_results_``.
    engine : int, str, Executor, Engine or None
        Execution engine, such as threads, processes or a cluster: see :mod:`manymill.engine`.
    halving : bool
        Whether to use asynchronous successive halving: candidates begin with few rows, or little of another resource,
        and the best of them get more.
    resource : str
        Resource of halving: ``"rows"``, or a parameter of the estimator such as the number of trees or iterations.
    min_resource, max_resource : int or "auto"
        Resource of a candidate on the first and on the last rung; by default up to all rows.
    eta : int
        One of ``eta`` candidates of a rung is promoted, to ``eta`` times the resource.
    max_evaluations : int, optional
        Budget of evaluations, each a fit of a candidate on a split.
    seconds : float, optional
        Time budget in seconds, after which no evaluation is begun.
    timeout : float, optional
        Timeout of an evaluation in seconds. In threads, or in a library that does not return to Python, an evaluation
        is not stopped, but counts as failed.
    error_score : float or "raise"
        Score of a failed evaluation in ``cv_results_``; ``"raise"`` ends the search with the first failure.
    return_train_score : bool
        Whether ``cv_results_`` includes scores of training rows.
    ensemble : str or int, optional
        ``"top10"``, or a number of candidates: the best candidates are combined to an ensemble, weighted on
        out-of-fold predictions, which then predicts. Costs for each of them a fit per split and one on all rows.
    random_state : int, RandomState or None
        Seed; with one worker, the same seed gives the same search.
    run : path, optional
        Run folder for the journal, from which a search that was killed is resumed when it is started again.
    storage : str, optional
        URL of an Optuna storage, such as ``sqlite:///search.db``, to which Optuna's samplers write their trials;
        optuna-dashboard can show it.

    Attributes
    ----------
    cv_results_, best_index_, best_params_, best_score_, best_estimator_, refit_time_, n_splits_, scorer_, multimetric_
        As in scikit-learn's searches.
    ensemble_ : VotingClassifier or VotingRegressor
        Fitted ensemble of scikit-learn, with ``ensemble``.
    ensemble_loss_ : float
        Its out-of-fold log loss, or mean squared error.
    handle_ : SearchHandle
        Gives the ranking, failures and the log of events.

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
        first: Mapping[str, Any] | None = None,
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
        self.first = first
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
        inner = get_tags(self.estimator)
        tags.estimator_type = inner.estimator_type
        tags.classifier_tags, tags.regressor_tags = inner.classifier_tags, inner.regressor_tags
        for name in ("one_d_array", "two_d_array", "pairwise", "sparse", "string"):
            setattr(tags.input_tags, name, getattr(inner.input_tags, name))
        tags.array_api_support = False
        return tags

    def __sklearn_clone__(self) -> Self:
        """A clone with the same engine."""
        return clone_with_engine(self)

    def get_metadata_routing(self) -> Any:
        """Routing of the parameters of :meth:`fit` and :meth:`score` to estimator, splitter and scorers."""
        return make_router(self, named_scorers(self))

    # ---- search

    def fit(self, X: Any, y: Any = None, **params: Any) -> Self:
        """Search, and fit the best candidate on all rows.

        An interrupt (Ctrl-C) ends the search; its finished results are used.

        Parameters
        ----------
        X : array-like, sparse matrix, list of texts or Dataset, of n_rows rows
        y : array-like of shape (n_rows,), optional
        **params : dict
            Parameters for the fit of the estimator; those with a value for each row are split with the data.
            ``groups`` is passed to the splitter.

        Returns
        -------
        SearchCV

        Raises
        ------
        SettingsError
            If a parameter is invalid.
        PlanError
            If all evaluations fail.
        """
        # An iterator can be read once only, but the best candidate is fitted on the same rows.
        X, y = (list(values) if isinstance(values, Iterator) else values for values in (X, y))
        with search_logged(self):
            handle = self.start(X, y, **params)
            try:
                handle.wait()
            except KeyboardInterrupt:
                message = f"the search was interrupted: {handle.progress()}"
                handle.abort()
                handle.wait()
                # Last, since the user may turn warnings into errors.
                warnings.warn(message, InterruptedSearchWarning, stacklevel=2)
            with autologging_disabled():
                self._finish(X, y, params)
        return self

    def start(self, X: Any, y: Any = None, **params: Any) -> SearchHandle:
        """Start the search and return at once.

        When the search is over, this estimator has its fitted attributes except ``best_estimator_``, which
        :meth:`refit_best` fits. If several searches were started, the attributes are those of the last one.

        Parameters
        ----------
        X, y, **params
            See :meth:`fit`.

        Returns
        -------
        SearchHandle
        """
        check_parameters(self)
        spaces = parameter_spaces(self.distributions)
        seed = seed_from(self.random_state)
        proposer = make_proposer(
            self.sampler, self.distributions, self.n_trials, seed, self.storage, self.first
        )
        scorers = self._set_scorers()
        request = SearchRequest(self, X, y, params, scorers, self._metric(scorers), spaces, seed, proposer)
        # Hashing texts takes time and is left to the thread of the search; all other errors are raised here.
        if request.hashes_texts:
            prepare: Callable[[Callable[[], bool]], PreparedSearch] = partial(prepare_search, request)
        else:
            prepare = partial(_already_prepared, prepare_search(request))
        for name in _FITTED_ATTRIBUTES:
            self.__dict__.pop(name, None)
        latest = self._latest = object()
        self.handle_ = SearchHandle(
            prepare, proposer, self.engine, seconds=self.seconds, raises=self.error_score == "raise",
            on_end=lambda handle: self._set_results(handle) if self._latest is latest else None,
        )  # fmt: skip
        return self.handle_

    def refit_best(self, X: Any, y: Any = None, **params: Any) -> Self:
        """Fit the best candidate on all rows; :meth:`fit` does so itself.

        Parameters
        ----------
        X, y, **params
            See :meth:`fit`.

        Returns
        -------
        SearchCV

        Raises
        ------
        PlanError
            If no candidate has a score.
        """
        check_is_fitted(self, "cv_results_")
        if self.best_index_ is None:
            raise PlanError(
                "no candidate has a score",
                "all scores are NaN, or no evaluation was finished: see handle_.progress() and handle_.failures()",
            )
        started = time.perf_counter()
        best = clone_params(self.best_params_)
        if self.halving and self.resource != "rows":  # the resource of its scores
            best[self.resource] = int(self.cv_results_["n_resources"][self.best_index_])
        self.best_estimator_ = clone(self.estimator).set_params(**best)
        fit_params = route_params(self, named_scorers(self), params).fit
        data = (X,) if y is None else (X, y)
        self.best_estimator_.fit(*data, **fit_params)
        self.refit_time_ = time.perf_counter() - started
        for name in ("n_features_in_", "feature_names_in_"):
            if hasattr(self.best_estimator_, name):
                setattr(self, name, getattr(self.best_estimator_, name))
        return self

    def _finish(self, X: Any, y: Any, params: Mapping[str, Any]) -> None:
        failures = self.handle_.failures()
        if failures:
            progress = self.handle_.progress()
            if not progress.done:
                raise PlanError(
                    f"all {progress.failed} evaluations failed, the first with {failures[0].error}",
                    "correct the estimator or its parameters; handle_.failures() has the tracebacks",
                )
            n_ended = progress.failed + progress.done
            warnings.warn(
                f"{progress.failed} of {n_ended} evaluations failed, the first with {failures[0].error}",
                FailedCandidatesWarning,
                stacklevel=3,
            )
        if self.refit:
            self.refit_best(X, y, **params)
        if self.ensemble is not None:
            ranked = [dict(row.params) for row in self.handle_.ranking() if not math.isnan(row.mean)]
            best = ranked[: ensemble_size(self.ensemble)]
            job = self.handle_.job
            labels = y if job.text is None else job.text.y
            with engine_for(self.engine) as engine:
                self.ensemble_, self.ensemble_loss_ = build_ensemble(engine, job, best, X, y, labels)

    def _set_results(self, handle: SearchHandle) -> None:
        """Set the attributes of a search that is over."""
        policy = handle.policy
        if callable(self.scoring) and policy.metrics not in ([], ["score"]):
            self.multimetric_ = True  # a function that returns several metrics
        metrics = (policy.metrics or list(self.scorer_)) if self.multimetric_ else ["score"]
        results = cv_results(policy, metrics, train=self.return_train_score, halving=self.halving)
        if self.error_score != "raise" and not math.isnan(float(self.error_score)):
            results = with_error_score(results, policy, metrics, float(self.error_score))
        suffix = "score" if not self.multimetric_ else self._metric(self.scorer_)
        self.cv_results_ = results
        self.best_index_ = (
            _choose_row(self.refit, results) if callable(self.refit) else best_index(results, suffix)
        )
        if self.best_index_ is None:
            # No candidate is complete: take the first of the ranking.
            first = handle.best_so_far()
            if first is not None and not math.isnan(first.mean):
                self.best_index_ = policy.trials.index(first.trial)
                self.best_score_ = first.mean
        else:
            self.best_score_ = float(results[f"mean_test_{suffix}"][self.best_index_])
        if self.best_index_ is not None:
            self.best_params_ = dict(results["params"][self.best_index_])

    # ---- scorers

    def _set_scorers(self) -> dict[str, Any]:
        self.multimetric_ = _is_multimetric(self.scoring)
        scorers = named_scorers(self)
        self.scorer_ = scorers if self.multimetric_ else scorers["score"]
        return dict(scorers)

    def _metric(self, scorers: Mapping[str, Any]) -> str:
        """Name of the metric that ranks candidates."""
        if callable(self.scoring) and isinstance(self.refit, str):
            return self.refit
        if not self.multimetric_ or len(scorers) == 1 or callable(self.refit) or self.refit is False:
            return next(iter(scorers))
        named = isinstance(self.refit, str) and self.refit in scorers
        check(named, "refit", self.refit, f"the metric that ranks candidates: {any_of(scorers)}")
        return str(self.refit)


def named_scorers(search: Any) -> dict[str, Any]:
    """The scorers of a search by name; a single scorer has the name ``"score"``."""
    scoring = search.scoring
    if not _is_multimetric(scoring):
        return {"score": make_scorer(search.estimator, scoring)}
    check(len(scoring) > 0, "scoring", scoring, "one or more metrics")
    named = (
        dict(scoring) if isinstance(scoring, Mapping) else {name: name for name in sorted(scoring, key=str)}
    )
    return {name: make_scorer(search.estimator, value) for name, value in named.items()}


def _is_multimetric(scoring: Any) -> bool:
    return isinstance(scoring, (list, tuple, set, Mapping))


def _choose_row(refit: Callable[[dict[str, Any]], Any], results: dict[str, Any]) -> int:
    """The row of ``cv_results_`` that a callable ``refit`` returns."""
    row, n_rows = refit(results), len(results["params"])
    if not is_integer(row) or not 0 <= row < n_rows:
        raise SettingsError(f"refit returned {row!r}: expected a row number from 0 to {n_rows - 1}")
    return int(row)


def _already_prepared(prepared: PreparedSearch, stop: Callable[[], bool]) -> PreparedSearch:
    return prepared
