"""The private interfaces of scikit-learn that parameter mixing depends on, and differences between its versions.

No other module of this package imports a private name of scikit-learn, or names a private attribute of its estimators.
Tested with scikit-learn 1.6 to 1.9.
"""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray
from sklearn.feature_extraction.text import HashingVectorizer
from sklearn.utils import get_tags
from sklearn.utils.validation import _check_sample_weight as check_sample_weight

__all__ = ["COEFFICIENTS", "check_sample_weight", "requires_fit", "set_classes"]

# Arrays that the predictions of a linear model depend on, and further ones that SGD needs to continue.
COEFFICIENTS = (
    "coef_", "intercept_", "_standard_coef", "_standard_intercept", "_average_coef", "_average_intercept",
)  # fmt: skip


def set_classes(model: Any, classes: NDArray[Any]) -> None:
    """Set ``classes_`` of a fitted classifier; RidgeClassifier derives it from its label binarizer."""
    if isinstance(getattr(type(model), "classes_", None), property):
        model._label_binarizer.fit(classes)
    else:
        model.classes_ = classes.copy()


def requires_fit(transformer: Any) -> bool:
    """Whether a transformer must be fitted before ``transform``."""
    # scikit-learn 1.6 and 1.7 tag HashingVectorizer wrongly.
    return not isinstance(transformer, HashingVectorizer) and bool(get_tags(transformer).requires_fit)
