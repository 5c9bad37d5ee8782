"""Route fit parameters to estimator, splitter and scorers, as in scikit-learn.

::

    fit(X, y, sample_weight=w, groups=g)
        by default                          w to the estimator, and to scorers that accept weights; g to the splitter
        with metadata routing enabled       each to the objects that requested it
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from manymill.search.evaluation import current_config
from manymill.search.sklearn_private import accepts_sample_weight


@dataclass(frozen=True, slots=True)
class RoutedParams:
    """Fit parameters by consumer."""

    fit: Mapping[str, Any]
    split: Mapping[str, Any]
    score: Mapping[str, Mapping[str, Any]]  # by scorer


def route_params(search: Any, scorers: Mapping[str, Any], params: Mapping[str, Any]) -> RoutedParams:
    """Route the fit parameters of a search to estimator, splitter and scorers.

    Raises
    ------
    TypeError, UnsetMetadataPassedError
        With metadata routing, if nothing requested a parameter.
    """
    from sklearn.utils.metadata_routing import process_routing

    if routing_enabled():
        routed: Any = process_routing(search, "fit", **params)
        score = {name: routed[key].score for name, key in _routing_keys(scorers).items()}
        return RoutedParams(routed.estimator.fit, routed.splitter.split, score)
    fit = {name: value for name, value in params.items() if name != "groups"}
    weights = {"sample_weight": fit["sample_weight"]} if fit.get("sample_weight") is not None else {}
    return RoutedParams(
        fit,
        {"groups": params["groups"]} if "groups" in params else {},
        {
            name: weights if weights and accepts_sample_weight(scorer) else {}
            for name, scorer in scorers.items()
        },
    )


def make_router(search: Any, scorers: Mapping[str, Any]) -> Any:
    """The ``MetadataRouter`` of a search, for ``get_metadata_routing``."""
    from sklearn.utils.metadata_routing import MetadataRouter, MethodMapping

    router = MetadataRouter(owner=search)
    router.add(estimator=search.estimator, method_mapping=MethodMapping().add(caller="fit", callee="fit"))
    scoring = MethodMapping().add(caller="score", callee="score").add(caller="fit", callee="score")
    for name, key in _routing_keys(scorers).items():
        router.add(method_mapping=scoring, **{key: scorers[name]})
    router.add(splitter=search.cv, method_mapping=MethodMapping().add(caller="fit", callee="split"))
    return router


def route_score_params(
    search: Any, scorers: Mapping[str, Any], metric: str, params: Mapping[str, Any]
) -> Mapping[str, Any]:
    """The parameters of ``score`` for the scorer of a metric.

    Raises
    ------
    ValueError
        If there are any and metadata routing is not enabled.
    """
    from sklearn.utils.metadata_routing import process_routing

    if not params:
        return {}
    if not routing_enabled():
        raise ValueError(
            f"score accepts {', '.join(sorted(params))} only with metadata routing: "
            "call sklearn.set_config(enable_metadata_routing=True)"
        )
    routed: Any = process_routing(search, "score", **params)
    score_params: Mapping[str, Any] = routed[_routing_keys(scorers)[metric]].score
    return score_params


def routing_enabled() -> bool:
    """Whether scikit-learn's metadata routing is enabled."""
    return bool(current_config()["enable_metadata_routing"])


def _routing_keys(scorers: Mapping[str, Any]) -> dict[str, str]:
    """Keys of the scorers in a router; names of metrics may not be identifiers."""
    return {name: f"scorer{index}" for index, name in enumerate(scorers)}
