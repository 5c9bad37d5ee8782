"""Whom the further parameters of a fit are for: the estimator, the splitter, or a scorer.

::

    fit(X, y, sample_weight=w, groups=g)
        as scikit-learn does by default     w to the fit, and to scorers that take weights; g to the splitter
        with metadata routing enabled       each to whoever requested it
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from inspect import signature
from typing import Any


@dataclass(frozen=True, slots=True)
class Routed:
    """The parameters of a fit by who gets them."""

    fit: Mapping[str, Any]
    split: Mapping[str, Any]
    score: Mapping[str, Mapping[str, Any]]  # by scorer


def routed(search: Any, scorers: Mapping[str, Any], params: Mapping[str, Any]) -> Routed:
    """Whom parameters of the fit of a search are for.

    Raises
    ------
    TypeError, UnsetMetadataPassedError
        With metadata routing, of what nobody requested.
    """
    from sklearn.utils.metadata_routing import process_routing

    if is_enabled():
        found: Any = process_routing(search, "fit", **params)
        score = {name: found[key].score for name, key in zip(scorers, _keys(scorers), strict=True)}
        return Routed(found.estimator.fit, found.splitter.split, score)
    fit = {name: value for name, value in params.items() if name != "groups"}
    weights = {"sample_weight": fit["sample_weight"]} if fit.get("sample_weight") is not None else {}
    return Routed(
        fit,
        {"groups": params["groups"]} if "groups" in params else {},
        {name: weights if weights and _takes_weights(scorer) else {} for name, scorer in scorers.items()},
    )


def router_of(search: Any, scorers: Mapping[str, Any]) -> Any:
    """What scikit-learn's ``get_metadata_routing`` gives for a search."""
    from sklearn.utils.metadata_routing import MetadataRouter, MethodMapping

    router = MetadataRouter(owner=search)
    router.add(estimator=search.estimator, method_mapping=MethodMapping().add(caller="fit", callee="fit"))
    scoring = MethodMapping().add(caller="score", callee="score").add(caller="fit", callee="score")
    for scorer, key in zip(scorers.values(), _keys(scorers), strict=True):
        router.add(method_mapping=scoring, **{key: scorer})
    router.add(splitter=search.cv, method_mapping=MethodMapping().add(caller="fit", callee="split"))
    return router


def score_params(
    search: Any, scorers: Mapping[str, Any], metric: str, params: Mapping[str, Any]
) -> Mapping[str, Any]:
    """Those of the parameters of ``score`` that the scorer of a metric gets.

    Raises
    ------
    ValueError
        If there are any and metadata routing is not enabled.
    """
    from sklearn.utils.metadata_routing import process_routing

    if not params:
        return {}
    if not is_enabled():
        raise ValueError(
            f"score takes {', '.join(sorted(params))} with metadata routing alone: "
            "call sklearn.set_config(enable_metadata_routing=True)"
        )
    found: Any = process_routing(search, "score", **params)
    given: Mapping[str, Any] = found[dict(zip(scorers, _keys(scorers), strict=True))[metric]].score
    return given


def is_enabled() -> bool:
    """Whether scikit-learn is to route by request."""
    from sklearn import get_config

    return bool(get_config()["enable_metadata_routing"])


def _keys(scorers: Mapping[str, Any]) -> list[str]:
    """The scorers as a router calls them."""
    return [f"scorer{place}" for place in range(len(scorers))]


def _takes_weights(scorer: Callable[..., Any]) -> bool:
    if hasattr(scorer, "_accept_sample_weight"):
        return bool(scorer._accept_sample_weight())
    return "sample_weight" in signature(scorer).parameters
