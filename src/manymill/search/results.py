"""Results of a search: the ranking of candidates, also incomplete ones, and ``cv_results_``.

A candidate is ranked by a lower bound of its final mean score. Let n of its N splits be done, and let s be the standard
deviation of scores within candidates, pooled over all of them after subtracting the effect of each split (as long as
there are too few candidates to estimate these effects, they are not subtracted). Then

    bound = mean - Z * s * sqrt(1/n - 1/N)

subtracts what the missing splits may change: the standard error of the mean of n values drawn from N without
replacement (Cochran 1977, "Sampling Techniques", 2.6). It is 0 if all splits are done, so complete candidates are
compared by their means on the same splits, and a candidate does not overtake them by one lucky split.

``cv_results_`` has the keys of scikit-learn's searches:
https://scikit-learn.org/stable/modules/generated/sklearn.model_selection.GridSearchCV.html
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from manymill.search.events import Evaluated
from manymill.search.policy import Policy, Rung, decisive_rung

# Standard errors that are subtracted from the mean.
Z = 2.0


@dataclass(frozen=True, slots=True)
class RankedCandidate:
    """A candidate in the ranking.

    Attributes
    ----------
    rank : int
        From 1; equal candidates have equal ranks.
    trial : int
    params : mapping
    mean : float
        Mean score of the splits that are done, after subtracting the effect of each split; NaN if a split failed.
    sem : float
        Standard error of the mean over splits; NaN for fewer than two.
    bound : float
        Lower bound of the final mean, which determines the rank.
    n_done, n_failed, n_splits : int
        Splits on the decisive rung.
    resource : int or None
        Rows or passes on the decisive rung; None for all.
    partial : bool
        Whether splits are missing.
    fit_seconds : float
        Mean time of a fit.
    """

    rank: int
    trial: int
    params: Mapping[str, Any]
    mean: float
    sem: float
    bound: float
    n_done: int
    n_failed: int
    n_splits: int
    resource: int | None
    partial: bool
    fit_seconds: float


def rank_candidates(policy: Policy, metric: str | None = None) -> list[RankedCandidate]:
    """The candidates that have a result, the best first.

    Candidates on a higher rung of halving come first, failures and NaN last. Ties are in the order of the grid, or of
    proposal.
    """
    metric = metric or policy.rules.metric
    rows: list[tuple[tuple[bool, int, float], RankedCandidate]] = []
    decisive = {trial: decisive_rung(rungs, policy.rules.n_splits) for trial, rungs in policy.results.items()}
    for rung in range(len(policy.rules.rungs)):
        trials = [trial for trial in policy.results if decisive[trial] == rung]
        # Infinite scores give NaN; that is no reason for a warning.
        with np.errstate(invalid="ignore"):
            ranked = _rank_rung(policy, rung, trials, metric)
        rows += [((math.isnan(row.mean), -rung, -row.bound), row) for row in ranked]
    rows.sort(key=lambda row: (row[0], policy.grid_index(row[1].trial)))
    out: list[RankedCandidate] = []
    for index, (key, row) in enumerate(rows):
        tied = index > 0 and rows[index - 1][0] == key
        out.append(replace(row, rank=out[-1].rank if tied else index + 1))
    return out


def ranking_text(rows: list[RankedCandidate], n: int = 10) -> str:
    """The first candidates of a ranking, one per line; ``~`` marks those with missing splits."""
    lines = []
    for row in rows[:n]:
        score = "failed" if math.isnan(row.mean) else f"{row.mean:.4f}"
        error = "" if math.isnan(row.sem) else f" +/- {row.sem:.4f}"
        mark = "~" if row.partial else " "
        resource = "" if row.resource is None else f" with {row.resource:,}"
        params = ", ".join(f"{name}={' '.join(repr(value).split())}" for name, value in row.params.items())
        lines.append(f"{row.rank:>4}{mark} {score}{error} ({row.n_done}/{row.n_splits}{resource})  {params}")
    if len(rows) > n:
        lines.append(f"      ... and {len(rows) - n:,} more")
    return "\n".join(lines)


def _rank_rung(policy: Policy, rung_index: int, trials: list[int], metric: str) -> list[RankedCandidate]:
    """The candidates of a rung, without their ranks."""
    n_splits = policy.rules.n_splits
    rungs = [policy.results[trial][rung_index] for trial in trials]
    adjusted, deviation = _subtract_split_effects(
        _by_split(rungs, n_splits, lambda done: done.scores[metric])
    )
    out = []
    for trial, rung, row in zip(trials, rungs, adjusted, strict=True):
        scores = row[~np.isnan(row)]
        n_done, n_failed = len(rung.evaluated), len(rung.failed)
        mean = float(scores.mean()) if len(scores) and len(scores) == n_done and not n_failed else math.nan
        sem = float(scores.std(ddof=1) / math.sqrt(len(scores))) if len(scores) > 1 else math.nan
        n_missing = n_splits - n_done - n_failed
        margin = Z * deviation * math.sqrt(max(0.0, 1 / max(1, n_done) - 1 / n_splits))
        bound = -math.inf if math.isnan(mean) else mean - margin
        times = [done.fit_seconds for done in rung.evaluated.values()]
        out.append(
            RankedCandidate(
                0, trial, policy.params[trial], mean, sem, bound, n_done, n_failed, n_splits,
                policy.rules.rungs[rung_index], n_missing > 0, sum(times) / len(times) if times else math.nan,
            )
        )  # fmt: skip
    return out


def _subtract_split_effects(scores: NDArray[np.float64]) -> tuple[NDArray[np.float64], float]:
    """Scores without the effect of each split, and their standard deviation within candidates.

    The effects are estimated from candidates with several splits, so that a candidate does not rank higher because its
    only split is an easy one. The scores of complete candidates do not change.
    """
    known = np.isfinite(scores)
    several = known & (known.sum(axis=1, keepdims=True) > 1)
    within = np.where(several, scores, np.nan)
    sums, counts = np.nansum(within, axis=1), np.maximum(1, several.sum(axis=1))
    deviations = np.where(several, scores - (sums / counts)[:, None], 0.0)
    n_scores = several.sum(axis=0)
    effects = np.where(n_scores > 0, deviations.sum(axis=0) / np.maximum(1, n_scores), 0.0)
    effects -= effects.mean()
    complete = known.all(axis=1, keepdims=True)
    adjusted = np.where(complete, scores, scores - effects)
    residuals = np.where(several, deviations - effects, 0.0)
    freedom = int(np.maximum(0, several.sum(axis=1) - 1).sum())
    raw = float((deviations**2).sum()) / max(1, freedom)
    remaining = freedom - max(
        0, int((n_scores > 0).sum()) - 1
    )  # each fitted effect takes a degree of freedom
    deviation = math.sqrt(float((residuals**2).sum()) / remaining if remaining > 0 else raw)
    if not raw:
        # No candidate has two different scores: only differences between candidates show how scores vary.
        means = np.array([row[valid].mean() for row, valid in zip(scores, known, strict=True) if valid.any()])
        deviation = float(means.std(ddof=1)) if len(means) > 1 else 0.0
    return adjusted, deviation


def cv_results(
    policy: Policy, metrics: Sequence[str], *, train: bool = False, halving: bool = False
) -> dict[str, Any]:
    """Results as ``cv_results_``: a row for each candidate, in the order of the grid or of proposal.

    The numbers of a candidate are those of its decisive rung, as in the ranking. If splits are missing or failed, its
    means are NaN and its ranks the last; ``n_splits_done`` is the number of finished splits, and ``trial`` the number
    of the candidate in logs, failures and the ranking.
    """
    trials = policy.trials
    n_splits = policy.rules.n_splits
    decisive = [max(0, decisive_rung(policy.results[trial], n_splits)) for trial in trials]
    rungs = [policy.results[trial][index] for trial, index in zip(trials, decisive, strict=True)]
    out: dict[str, Any] = {}
    for name, field in (("fit", "fit_seconds"), ("score", "score_seconds")):
        times = _by_split(rungs, n_splits, lambda done, field=field: getattr(done, field))  # type: ignore[misc]
        out[f"mean_{name}_time"], out[f"std_{name}_time"] = _mean(times), _std(times)
    out |= _param_columns([policy.params[trial] for trial in trials])
    for metric in metrics:
        suffix = "score" if list(metrics) == ["score"] else metric
        scores = _by_split(rungs, n_splits, lambda done, m=metric: done.scores[m])  # type: ignore[misc]
        out |= _score_columns("test", suffix, scores)
        out[f"rank_test_{suffix}"] = rank_scores(out[f"mean_test_{suffix}"], decisive)
        if train:
            train_scores = _by_split(
                rungs,
                n_splits,
                lambda done, m=metric: done.train_scores.get(m, math.nan),  # type: ignore[misc]
            )
            out |= _score_columns("train", suffix, train_scores)
    out["trial"] = np.array(trials, np.int64)
    out["n_splits_done"] = np.array([len(rung.evaluated) for rung in rungs], np.int64)
    if halving:
        out["iter"] = np.array(decisive, np.int64)
        resources = [
            policy.rules.rungs[index] or _n_rows(rung) for index, rung in zip(decisive, rungs, strict=True)
        ]
        out["n_resources"] = np.array(resources, np.int64)
    return out


def best_index(results: dict[str, Any], suffix: str) -> int | None:
    """The row of the best candidate; None if none is complete."""
    ranks, means = results[f"rank_test_{suffix}"], results[f"mean_test_{suffix}"]
    known = np.flatnonzero(~np.isnan(means))
    return int(known[np.argmin(ranks[known])]) if len(known) else None


def with_error_score(
    results: dict[str, Any], policy: Policy, metrics: list[str], error_score: float
) -> dict[str, Any]:
    """Results in which failed evaluations have the error score; means and ranks are computed again."""
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
            scores = np.stack([results[f"split{i}_{name}"] for i in range(policy.rules.n_splits)], axis=1)
            for row_and_split in failed:
                scores[row_and_split] = error_score
            results |= _score_columns(part, suffix, scores)
        rungs = results.get("iter", np.zeros(len(policy.trials), np.int64)).tolist()
        results[f"rank_test_{suffix}"] = rank_scores(results[f"mean_test_{suffix}"], rungs)
    return results


def rank_scores(means: NDArray[np.float64], rungs: list[int]) -> NDArray[np.int32]:
    """Ranks from 1, the best; equal means share the smaller rank, higher rungs come first, NaN last."""
    keys = [
        (1, 0, 0.0) if math.isnan(mean) else (0, -rung, -float(mean))
        for rung, mean in zip(rungs, means, strict=True)
    ]
    first = {key: rank for rank, key in reversed(list(enumerate(sorted(keys), 1)))}
    return np.array([first[key] for key in keys], np.int32)


def _n_rows(rung: Rung) -> int:
    """Number of training rows without a limit; splits may differ by a few."""
    return max((done.n_rows for done in rung.evaluated.values()), default=0)


def _by_split(rungs: list[Rung], n_splits: int, value: Callable[[Evaluated], float]) -> NDArray[np.float64]:
    """A value of each evaluation, shape (n_rungs, n_splits); NaN if it is missing."""
    out = np.full((len(rungs), n_splits), np.nan)
    for row, rung in enumerate(rungs):
        for split, done in rung.evaluated.items():
            out[row, split] = value(done)
    return out


def _mean(values: NDArray[np.float64]) -> NDArray[np.float64]:
    with np.errstate(invalid="ignore"):  # scores may be infinite
        return values.mean(axis=1) if len(values) else np.empty(0)


def _std(values: NDArray[np.float64]) -> NDArray[np.float64]:
    with np.errstate(invalid="ignore"):
        return values.std(axis=1) if len(values) else np.empty(0)


def _score_columns(part: str, suffix: str, scores: NDArray[np.float64]) -> dict[str, Any]:
    out: dict[str, Any] = {
        f"split{split}_{part}_{suffix}": scores[:, split] for split in range(scores.shape[1])
    }
    return {**out, f"mean_{part}_{suffix}": _mean(scores), f"std_{part}_{suffix}": _std(scores)}


def _param_columns(candidates: list[dict[str, Any]]) -> dict[str, Any]:
    from numpy.ma import MaskedArray

    out: dict[str, Any] = {}
    for name in sorted({name for params in candidates for name in params}):
        present = [name in params for params in candidates]
        dtype = _dtype([params[name] for params in candidates if name in params])
        column: Any = MaskedArray(np.empty(len(candidates), dtype), mask=[not each for each in present])
        for row, params in enumerate(candidates):
            if name in params:
                column.data[row] = params[name]
        out[f"param_{name}"] = column
    out["params"] = candidates
    return out


def _dtype(values: list[Any]) -> Any:
    """The dtype of numbers; object for strings and all other values."""
    try:
        array = np.array(values)
    except (ValueError, OverflowError):
        return object
    return array.dtype if array.ndim == 1 and array.dtype.kind in "biufc" else object
