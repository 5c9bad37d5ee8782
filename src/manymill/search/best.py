"""What the best candidate of a search does in the search's place: predict, transform, score."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numpy.typing import NDArray
from sklearn.exceptions import NotFittedError
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from manymill.search.routing import score_params


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
