"""Private parts of scikit-learn used by the text estimators. Tested with scikit-learn 1.6 to the newest."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from sklearn.base import _fit_context
from sklearn.feature_extraction.text import HashingVectorizer

_Estimator = TypeVar("_Estimator", bound=type)
_Method = TypeVar("_Method", bound=Callable[..., Any])

# The private methods of a vectorizer that make tokens.
TOKEN_METHODS = ("_word_ngrams", "_char_ngrams", "_char_wb_ngrams")


def validates_parameters(fit: _Method) -> _Method:
    """Decorate a fit method to validate the parameters first, and respect ``skip_parameter_validation``."""
    decorated: _Method = _fit_context(prefer_skip_nested_validation=True)(fit)
    return decorated


def extend_parameter_constraints(**constraints: Any) -> Callable[[_Estimator], _Estimator]:
    """Decorate an estimator class to validate further parameters, in addition to those of its base class."""

    def extend(estimator: _Estimator) -> _Estimator:
        inherited: dict[str, Any] = estimator._parameter_constraints  # type: ignore[attr-defined]
        estimator._parameter_constraints = {**inherited, **constraints}  # type: ignore[attr-defined]
        return estimator

    return extend


def validate_parameters(estimator: Any) -> None:
    """Validate the parameters of an estimator as its ``fit`` does.

    Raises
    ------
    ValueError
        If a parameter is invalid.
    """
    estimator._validate_params()


def word_ngrams(vectorizer: HashingVectorizer, tokens: Iterable[Any]) -> Any:
    """Join tokens to the n-grams of the vectorizer's ``ngram_range``."""
    return vectorizer._word_ngrams(tokens)
