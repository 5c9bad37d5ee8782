"""What the best candidate of a search does in the search's place: predict, transform, score."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numpy.typing import NDArray
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted


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

    def score(self, X: Any, y: Any = None) -> float:
        """The score of the best estimator, by the metric that decides."""
        check_is_fitted(self, "best_estimator_")
        several = isinstance(self.scorer_, dict)
        scorer = self.scorer_[self._metric(self.scorer_)] if several else self.scorer_
        score = scorer(self._predictor, X) if y is None else scorer(self._predictor, X, y)
        return float(score[self._metric(score)] if isinstance(score, dict) else score)

    @available_if(_best_has("predict"))  # type: ignore[untyped-decorator]
    def predict(self, X: Any) -> Any:
        """What the best estimator predicts."""
        check_is_fitted(self, "best_estimator_")
        return self._predictor.predict(X)

    @available_if(_best_has("predict_proba"))  # type: ignore[untyped-decorator]
    def predict_proba(self, X: Any) -> Any:
        """Probabilities of the best estimator."""
        check_is_fitted(self, "best_estimator_")
        return self._predictor.predict_proba(X)

    @available_if(_best_has("predict_log_proba"))  # type: ignore[untyped-decorator]
    def predict_log_proba(self, X: Any) -> Any:
        """Logarithms of the probabilities of the best estimator."""
        check_is_fitted(self, "best_estimator_")
        return self._predictor.predict_log_proba(X)

    @available_if(_best_has("decision_function"))  # type: ignore[untyped-decorator]
    def decision_function(self, X: Any) -> Any:
        """Decision values of the best estimator."""
        check_is_fitted(self, "best_estimator_")
        return self._predictor.decision_function(X)

    @available_if(_best_has("score_samples"))  # type: ignore[untyped-decorator]
    def score_samples(self, X: Any) -> Any:
        """Scores of rows by the best estimator."""
        check_is_fitted(self, "best_estimator_")
        return self._predictor.score_samples(X)

    @available_if(_best_has("transform"))  # type: ignore[untyped-decorator]
    def transform(self, X: Any) -> Any:
        """What the best estimator makes of rows."""
        check_is_fitted(self, "best_estimator_")
        return self._predictor.transform(X)

    @available_if(_best_has("inverse_transform"))  # type: ignore[untyped-decorator]
    def inverse_transform(self, X: Any) -> Any:
        """What the best estimator made rows of."""
        check_is_fitted(self, "best_estimator_")
        return self._predictor.inverse_transform(X)

    def _metric(self, scorers: Any) -> str:
        """The metric that decides."""
        raise NotImplementedError
