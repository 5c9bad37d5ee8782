"""The results of a search as scikit-learn's searches give them: the same keys, so that whoever reads those reads ours.

Keys: https://scikit-learn.org/stable/modules/generated/sklearn.model_selection.GridSearchCV.html
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from manymill.search.policy import Policy, Rung, rung_that_counts


def cv_results(
    policy: Policy, metrics: Sequence[str], *, train: bool = False, halving: bool = False
) -> dict[str, Any]:
    """One row for each candidate that was proposed, in the order of the grid or of proposal.

    A candidate's numbers are those of the greatest resource it was wholly evaluated with, as in its ranking. Where
    splits are missing, or failed, its means are NaN and its ranks the last; ``n_splits_done`` says how many there are.
    ``trial`` is the number by which logs, failures and the ranking call a candidate.
    """
    trials = policy.trials
    n_splits = policy.rules.n_splits
    rungs = [_counting(policy.results[trial], n_splits) for trial in trials]
    out: dict[str, Any] = {}
    for name, field in (("fit", "fit_seconds"), ("score", "score_seconds")):
        times = _by_split(
            [rung for _, rung in rungs], n_splits, lambda done, field=field: getattr(done, field)
        )
        out[f"mean_{name}_time"], out[f"std_{name}_time"] = _mean(times), _std(times)
    out |= _params([policy.params[trial] for trial in trials])
    for metric in metrics:
        suffix = "score" if list(metrics) == ["score"] else metric
        scores = _by_split([rung for _, rung in rungs], n_splits, lambda done, m=metric: done.scores[m])
        out |= _scores("test", suffix, scores)
        whole = [place for place, _ in rungs]
        out[f"rank_test_{suffix}"] = ranks_of(out[f"mean_test_{suffix}"], whole)
        if train:
            learnt = _by_split(
                [rung for _, rung in rungs],
                n_splits,
                lambda done, m=metric: done.train_scores.get(m, math.nan),
            )
            out |= _scores("train", suffix, learnt)
    out["trial"] = np.array(trials, np.int64)
    out["n_splits_done"] = np.array([len(rung.evaluated) for _, rung in rungs], np.int64)
    if halving:
        out["iter"] = np.array([place for place, _ in rungs], np.int64)
        given = [policy.rules.rungs[place] or _rows(rung) for place, rung in rungs]
        out["n_resources"] = np.array(given, np.int64)
    return out


def best_index(results: dict[str, Any], suffix: str) -> int | None:
    """The row of the best candidate; None if none has a score on any split."""
    ranks, means = results[f"rank_test_{suffix}"], results[f"mean_test_{suffix}"]
    known = np.flatnonzero(~np.isnan(means))
    return int(known[np.argmin(ranks[known])]) if len(known) else None


def with_error_score(
    results: dict[str, Any], policy: Any, metrics: list[str], error_score: float
) -> dict[str, Any]:
    """The results with a number where evaluations failed; ranks follow."""
    failed = [
        (row, split)
        for row, trial in enumerate(policy.trials)
        for rung in policy.results[trial]
        for split in rung.failed
    ]
    for metric in metrics:
        suffix = "score" if metrics == ["score"] else metric
        for part in ("test", "train"):
            name = f"{part}_{suffix}"
            if f"mean_{name}" not in results:
                continue
            splits = np.stack([results[f"split{i}_{name}"] for i in range(policy.rules.n_splits)], axis=1)
            for place in failed:
                splits[place] = error_score
            results |= _scores(part, suffix, splits)
        rungs = results.get("iter", np.zeros(len(policy.trials), np.int64)).tolist()
        results[f"rank_test_{suffix}"] = ranks_of(results[f"mean_test_{suffix}"], rungs)
    return results


def _counting(rungs: list[Rung], n_splits: int) -> tuple[int, Rung]:
    place = max(0, rung_that_counts(rungs, n_splits))
    return place, rungs[place]


def _rows(rung: Rung) -> int:
    """The rows of fits that were given all there were; splits may differ by a few."""
    return max((done.n_rows for done in rung.evaluated.values()), default=0)


def _by_split(rungs: list[Rung], n_splits: int, value: Any) -> NDArray[np.float64]:
    out = np.full((len(rungs), n_splits), np.nan)
    for row, rung in enumerate(rungs):
        for split, done in rung.evaluated.items():
            out[row, split] = value(done)
    return out


def _mean(values: NDArray[np.float64]) -> NDArray[np.float64]:
    with np.errstate(invalid="ignore"):
        return values.mean(axis=1) if len(values) else np.empty(0)


def _std(values: NDArray[np.float64]) -> NDArray[np.float64]:
    with np.errstate(invalid="ignore"):  # scores may be infinite
        return values.std(axis=1) if len(values) else np.empty(0)


def _scores(part: str, suffix: str, scores: NDArray[np.float64]) -> dict[str, Any]:
    out: dict[str, Any] = {
        f"split{split}_{part}_{suffix}": scores[:, split] for split in range(scores.shape[1])
    }
    return {**out, f"mean_{part}_{suffix}": _mean(scores), f"std_{part}_{suffix}": _std(scores)}


def ranks_of(means: NDArray[np.float64], rungs: list[int]) -> NDArray[np.int32]:
    """1 is the best; equals share the smaller rank; those that came further in halving stand before the others.

    NaN stands behind all of them.
    """
    keys = [
        (1, 0, 0.0) if math.isnan(mean) else (0, -rung, -float(mean))
        for rung, mean in zip(rungs, means, strict=True)
    ]
    order = sorted(keys)
    first = {key: place for place, key in reversed(list(enumerate(order, 1)))}
    return np.array([first[key] for key in keys], np.int32)


def _params(candidates: list[dict[str, Any]]) -> dict[str, Any]:
    from numpy.ma import MaskedArray

    out: dict[str, Any] = {}
    for name in sorted({name for params in candidates for name in params}):
        values = [params.get(name) for params in candidates]
        there = [name in params for params in candidates]
        dtype = _dtype([value for value, is_there in zip(values, there, strict=True) if is_there])
        column: Any = MaskedArray(np.empty(len(values), dtype), mask=[not is_there for is_there in there])
        for place, value in enumerate(values):
            if there[place]:
                column.data[place] = value
        out[f"param_{name}"] = column
    out["params"] = candidates
    return out


def _dtype(values: list[Any]) -> Any:
    """What NumPy makes of them where those are numbers; words, and whatever else, stay the objects that they are."""
    try:
        made = np.array(values)
    except (ValueError, OverflowError):
        return object
    return made.dtype if made.ndim == 1 and made.dtype.kind in "biufc" else object
