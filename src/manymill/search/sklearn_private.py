"""Private functions of scikit-learn that the search uses; tested with versions 1.6 to 1.9.

Every private name of scikit-learn in this package is imported or accessed here, so that a new version of scikit-learn
can break one module only.
"""

from __future__ import annotations

from collections.abc import Callable
from inspect import signature
from typing import Any

from sklearn.utils import _safe_indexing as select_rows
from sklearn.utils.metaestimators import _safe_split as split_rows
from sklearn.utils.validation import _num_samples as count_rows

__all__ = ["accepts_sample_weight", "count_rows", "select_rows", "split_rows"]


def accepts_sample_weight(scorer: Callable[..., Any]) -> bool:
    """Whether a scorer has a parameter ``sample_weight``; scorers of scikit-learn know whether their metric has."""
    if hasattr(scorer, "_accept_sample_weight"):
        return bool(scorer._accept_sample_weight())
    return "sample_weight" in signature(scorer).parameters
