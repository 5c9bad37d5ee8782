"""Candidates in order while some of their splits are still missing.

A candidate is ranked by a lower bound of the mean it will have. Let there be N splits, n of them done, and s the
standard deviation of scores within candidates, pooled over all of them after the effect of each split is taken out
(while there are too few candidates to tell those effects from chance, they are left in). Then

    bound = mean - Z * s * sqrt(1/n - 1/N)

is the mean, less what the missing splits may take away: the standard error of a mean of n drawn from N without
replacement (Cochran 1977, "Sampling Techniques", 2.6). It vanishes when all are done: whole candidates are compared by
their means alone, on the same splits. One that had a single lucky split does not get past them.

The results of a search as scikit-learn's searches give them: the same keys, so that whoever reads those reads ours.

Keys: https://scikit-learn.org/stable/modules/generated/sklearn.model_selection.GridSearchCV.html
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from manymill.search.policy import Policy, Rung, rung_that_counts

# Standard errors below the mean.
Z = 2.0


@dataclass(frozen=True, slots=True)
class Ranked:
    """A candidate and where it stands.

    Attributes
    ----------
    rank : int
        From 1; equal candidates have equal ranks.
    trial : int
    params : mapping
    mean : float
        Of the splits that are done, with the effect of each split taken out; NaN if one failed.
    sem : float
        Standard error of the mean over splits; NaN of fewer than two.
    bound : float
        What ranks.
    n_done, n_failed, n_splits : int
        With the greatest resource it was wholly evaluated with.
    resource : int or None
    partial : bool
        Whether splits are missing.
    fit_seconds : float
        Mean time to fit.
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


def ranking(policy: Policy, metric: str | None = None) -> list[Ranked]:
    """The candidates that have a result, the best first.

    Those that came further in halving stand before the others, failures and NaN behind all. Ties stand in the order
    of the grid, or of proposal.
    """
    metric = metric or policy.rules.metric
    rows: list[tuple[tuple[bool, int, float], Ranked]] = []
    counting = {
        trial: rung_that_counts(rungs, policy.rules.n_splits) for trial, rungs in policy.results.items()
    }
    for rung in range(len(policy.rules.rungs)):
        trials = [trial for trial in policy.results if counting[trial] == rung]
        # Scores may be infinite: what comes of those is NaN without a warning.
        with np.errstate(invalid="ignore"):
            ranked = _of_rung(policy, rung, trials, metric)
        rows += [((math.isnan(row.mean), -rung, -row.bound), row) for row in ranked]
    rows.sort(key=lambda row: (row[0], policy.place(row[1].trial)))
    out: list[Ranked] = []
    for place, (key, row) in enumerate(rows):
        tied = place > 0 and rows[place - 1][0] == key
        out.append(_with_rank(row, out[-1].rank if tied else place + 1))
    return out


def as_text(rows: list[Ranked], n: int = 10) -> str:
    """The first of a ranking, one in a line; candidates with splits missing have a ``~``."""
    lines = []
    for row in rows[:n]:
        score = "failed" if math.isnan(row.mean) else f"{row.mean:.4f}"
        error = "" if math.isnan(row.sem) else f" +/- {row.sem:.4f}"
        mark = "~" if row.partial else " "
        given = "" if row.resource is None else f" with {row.resource:,}"
        params = ", ".join(f"{name}={' '.join(repr(value).split())}" for name, value in row.params.items())
        lines.append(f"{row.rank:>4}{mark} {score}{error} ({row.n_done}/{row.n_splits}{given})  {params}")
    if len(rows) > n:
        lines.append(f"      ... and {len(rows) - n:,} more")
    return "\n".join(lines)


def _of_rung(policy: Policy, place: int, trials: list[int], metric: str) -> list[Ranked]:
    n_splits = policy.rules.n_splits
    scores = np.full((len(trials), n_splits), np.nan)
    for row, trial in enumerate(trials):
        for split, done in policy.results[trial][place].evaluated.items():
            scores[row, split] = done.scores[metric]
    adjusted, spread = _adjusted(scores)
    out = []
    for row, trial in enumerate(trials):
        rung = policy.results[trial][place]
        own = adjusted[row][~np.isnan(adjusted[row])]
        n_done, n_failed = len(rung.evaluated), len(rung.failed)
        mean = float(own.mean()) if len(own) and len(own) == n_done and not n_failed else math.nan
        sem = float(own.std(ddof=1) / math.sqrt(len(own))) if len(own) > 1 else math.nan
        missing = n_splits - n_done - n_failed
        off = Z * spread * math.sqrt(max(0.0, 1 / max(1, n_done) - 1 / n_splits))
        bound = -math.inf if math.isnan(mean) else mean - off
        times = [done.fit_seconds for done in rung.evaluated.values()]
        out.append(
            Ranked(
                0, trial, policy.params[trial], mean, sem, bound, n_done, n_failed, n_splits,
                policy.rules.rungs[place], missing > 0, sum(times) / len(times) if times else math.nan,
            )
        )  # fmt: skip
    return out


def _adjusted(scores: NDArray[np.float64]) -> tuple[NDArray[np.float64], float]:
    """The scores without the effect of each split, and their standard deviation within candidates.

    The effects are found from candidates that are done on several splits: those that were lucky with an easy split
    do not look better for it. Where every candidate is whole, the means stay as they are.
    """
    known = np.isfinite(scores)
    several = known & (known.sum(axis=1, keepdims=True) > 1)
    within = np.where(several, scores, np.nan)
    sums, counts = np.nansum(within, axis=1), np.maximum(1, several.sum(axis=1))
    deviations = np.where(several, scores - (sums / counts)[:, None], 0.0)
    met = several.sum(axis=0)
    effects = np.where(met > 0, deviations.sum(axis=0) / np.maximum(1, met), 0.0)
    effects -= effects.mean()
    # Only candidates that lack splits need their effects taken out.
    whole = known.all(axis=1, keepdims=True)
    adjusted = np.where(whole, scores, scores - effects)
    residuals = np.where(several, deviations - effects, 0.0)
    freedom = int(np.maximum(0, several.sum(axis=1) - 1).sum())
    raw = float((deviations**2).sum()) / max(1, freedom)
    left = freedom - max(0, int((met > 0).sum()) - 1)  # each effect that was fitted takes one
    spread = math.sqrt(float((residuals**2).sum()) / left if left > 0 else raw)
    if not raw:
        # Nobody has two splits, or all theirs are equal: differences of candidates are all there is to go by.
        means = np.array([own[there].mean() for own, there in zip(scores, known, strict=True) if there.any()])
        spread = float(means.std(ddof=1)) if len(means) > 1 else 0.0
    return adjusted, spread


def _with_rank(row: Ranked, rank: int) -> Ranked:
    return replace(row, rank=rank)


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
