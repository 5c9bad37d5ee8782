"""History of a search, prepared from its events for plots, and as text tables for terminals.

::

    events ──► SearchHistory ──► scores_by_value    scores by the value of a parameter
                             ──► best_over_time     complete candidates and the best of them over time
                             ──► resource_curves    scores of a candidate by resource
                             ──► worker_timelines   which worker evaluated when
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from manymill.search.events import Evaluated, Evaluation, Event, Failed, Proposed
from manymill.validation import is_number

# Numbers with more distinct values than this are binned.
MAX_VALUES = 8
_BINS = 6


@dataclass(frozen=True, slots=True)
class SearchHistory:
    """Candidates and results of a search."""

    params: Mapping[int, Mapping[str, Any]]
    evaluated: Sequence[Evaluated]
    failed: Sequence[Failed]
    n_splits: int
    metric: str

    @classmethod
    def from_events(cls, events: Iterable[Event], n_splits: int, metric: str) -> SearchHistory:
        """Collect the history from events, with the scores of a metric."""
        events = list(events)
        return cls(
            {event.trial: event.params for event in events if isinstance(event, Proposed)},
            [event for event in events if isinstance(event, Evaluated)],
            [event for event in events if isinstance(event, Failed)],
            n_splits,
            metric,
        )


@dataclass(frozen=True, slots=True)
class Box:
    """Mean scores of the candidates with one value of a parameter, or with values in one bin."""

    value: str
    scores: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Completion:
    """The last split of a candidate was evaluated.

    Attributes
    ----------
    seconds : float
        From the start of the search.
    n_done : int
        Number of evaluations done so far.
    trial, rung : int
    score : float
        Mean score of the candidate.
    best : float
        Best mean score so far, among the candidates on the highest rung.
    """

    seconds: float
    n_done: int
    trial: int
    rung: int
    score: float
    best: float


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """Mean scores of a candidate with one resource; `train` is NaN if training rows were not scored."""

    resource: float
    score: float
    deviation: float
    train: float


@dataclass(frozen=True, slots=True)
class WorkerSpan:
    """An evaluation on a worker; times are in seconds from the start of the search."""

    worker: str
    task: Evaluation
    start: float
    end: float
    failed: bool


def scores_by_value(history: SearchHistory) -> dict[str, list[Box]]:
    """For each parameter its values in order, with the mean scores of the candidates that have them.

    With halving the scores are those of the first rung, which all candidates have. Scores that are not finite are left
    out.
    """
    scores: dict[int, list[float]] = defaultdict(list)
    for event in history.evaluated:
        if event.task.rung == 0 and math.isfinite(event.scores[history.metric]):
            scores[event.task.trial].append(event.scores[history.metric])
    means = {trial: float(np.mean(values)) for trial, values in sorted(scores.items())}
    names = sorted({name for trial in means for name in history.params[trial]})
    return {name: _boxes(name, history, means) for name in names}


def _boxes(name: str, history: SearchHistory, means: Mapping[int, float]) -> list[Box]:
    pairs = [
        (history.params[trial][name], mean) for trial, mean in means.items() if name in history.params[trial]
    ]
    values = [value for value, _ in pairs]
    if all(is_number(value) for value in values) and len(set(values)) > MAX_VALUES:
        return _binned(sorted(pairs))
    groups: dict[str, list[float]] = defaultdict(list)
    order: dict[str, tuple[Any, ...]] = {}
    for value, mean in pairs:
        label = f"{value:.4g}" if isinstance(value, float) else _one_line(value)
        # Numbers by value, then everything else by name.
        order[label] = (0, value, "") if is_number(value) else (1, 0, label)
        groups[label].append(mean)
    return [Box(label, tuple(groups[label])) for label in sorted(groups, key=order.__getitem__)]


def _binned(pairs: list[tuple[Any, float]]) -> list[Box]:
    """Bins of about equal numbers of candidates; equal values are in one bin."""
    values = [value for value, _ in pairs]
    edges = sorted({values[len(pairs) * edge // _BINS] for edge in range(1, _BINS)})
    bins: dict[int, list[tuple[Any, float]]] = defaultdict(list)
    for value, mean in pairs:
        bins[int(np.searchsorted(edges, value, side="right"))].append((value, mean))
    return [
        Box(_range_label(inside[0][0], inside[-1][0]), tuple(mean for _, mean in inside))
        for _, inside in sorted(bins.items())
    ]


def _range_label(low: Any, high: Any) -> str:
    return f"{low:.3g}" if low == high else f"{low:.3g} to {high:.3g}"


def _one_line(value: Any) -> str:
    """The text of a value; estimators and arrays have several lines."""
    return " ".join(str(value).split())


def best_over_time(history: SearchHistory) -> list[Completion]:
    """The candidates in the order of completion, with the best mean score so far.

    Scores on a higher rung replace those on lower ones: when the first candidate completes a higher rung, the best is
    the best on that rung from then on.
    """
    scores: dict[tuple[int, int], list[float]] = defaultdict(list)
    best, highest, out = -math.inf, 0, []
    for n_done, event in enumerate(sorted(history.evaluated, key=lambda event: event.seconds), 1):
        task = event.task
        splits = scores[task.trial, task.rung]
        splits.append(event.scores[history.metric])
        mean = sum(splits) / len(splits)
        if len(splits) < history.n_splits or math.isnan(mean):
            continue
        if task.rung > highest:
            highest, best = task.rung, mean
        elif task.rung == highest:
            best = max(best, mean)
        out.append(Completion(event.seconds, n_done, task.trial, task.rung, mean, best))
    return out


def resource_curves(history: SearchHistory) -> dict[int, list[CurvePoint]]:
    """Scores by resource of the candidates that were evaluated with two or more resources, the best first."""
    groups: dict[int, dict[int, list[Evaluated]]] = defaultdict(lambda: defaultdict(list))
    for event in history.evaluated:
        groups[event.task.trial][event.task.rung].append(event)
    curves = {
        trial: [_point(rungs[rung], history.metric) for rung in sorted(rungs)]
        for trial, rungs in groups.items()
        if len(rungs) > 1
    }
    order = sorted(curves, key=lambda trial: (-len(curves[trial]), -curves[trial][-1].score, trial))
    return {trial: curves[trial] for trial in order}


def _point(events: Sequence[Evaluated], metric: str) -> CurvePoint:
    resources = [event.n_rows if event.task.resource is None else event.task.resource for event in events]
    scores = np.array([event.scores[metric] for event in events])
    train = [event.train_scores.get(metric, math.nan) for event in events]
    with np.errstate(invalid="ignore"):  # scores may be infinite
        return CurvePoint(
            float(np.mean(resources)), float(scores.mean()), float(scores.std()), float(np.mean(train))
        )


def worker_timelines(history: SearchHistory) -> dict[str, list[WorkerSpan]]:
    """The evaluations of each worker in order; workers in the order of their first result."""
    out: dict[str, list[WorkerSpan]] = defaultdict(list)
    ended: list[Evaluated | Failed] = [*history.evaluated, *history.failed]
    for event in sorted(ended, key=lambda event: event.seconds):
        duration = event.fit_seconds + event.score_seconds if isinstance(event, Evaluated) else 0.0
        # The time of a result is that of its arrival: a worker cannot have begun before its previous result.
        earliest = out[event.worker][-1].end if out[event.worker] else 0.0
        start = min(event.seconds, max(earliest, event.seconds - duration))
        out[event.worker].append(
            WorkerSpan(event.worker, event.task, start, event.seconds, isinstance(event, Failed))
        )
    return dict(out)


_WIDTH = 40
_MAX_CURVES = 20
_SHADES = " .:-=+*#"


def params_table(history: SearchHistory, only: str | None = None) -> str:
    """For each parameter a line per value: number of candidates, quartiles, and a box plot."""
    tables = {name: rows for name, rows in scores_by_value(history).items() if only in (None, name)}
    scores = [score for rows in tables.values() for box in rows for score in box.scores]
    if not scores:
        return "no candidate has a score yet"
    low, high = min(scores), max(scores)
    blocks = []
    for name, rows in tables.items():
        head = [name, "n", "min", "median", "max", f"{low:.4f} to {high:.4f}"]
        lines = [
            [box.value, str(len(box.scores)), *_numbers(np.quantile(box.scores, (0, 0.5, 1))),
             box_plot(box.scores, low, high)]
            for box in rows
        ]  # fmt: skip
        blocks.append(align_columns([head, *lines]))
    return "\n\n".join(blocks)


def box_plot(scores: Sequence[float], low: float, high: float) -> str:
    """A box plot in characters, ``|--[  :  ]---|``: minimum, quartiles, median and maximum."""
    scale = (_WIDTH - 1) / (high - low) if high > low else 0.0
    columns = [round((value - low) * scale) for value in np.quantile(scores, (0, 0.25, 0.5, 0.75, 1))]
    minimum, lower, median, upper, maximum = columns
    out = [" "] * _WIDTH
    out[minimum : maximum + 1] = "-" * (maximum - minimum + 1)
    out[lower : upper + 1] = " " * (upper - lower + 1)
    for column, mark in zip((minimum, maximum, lower, upper, median), "||[]:", strict=True):
        out[column] = mark
    return "".join(out).rstrip()


def time_table(history: SearchHistory) -> str:
    """A line for each new best candidate."""
    rows, last = [["seconds", "evaluations", "best", "candidate", "parameters"]], None
    for each in best_over_time(history):
        if each.score == each.best and (each.rung, each.best) != last:
            last = (each.rung, each.best)
            params = history.params[each.trial].items()
            rows.append(
                [f"{each.seconds:.2f}", str(each.n_done), f"{each.best:.4f}", str(each.trial),
                 ", ".join(f"{name}={_one_line(value)}" for name, value in params)]
            )  # fmt: skip
    return align_columns(rows) if len(rows) > 1 else "no candidate is complete yet"


def curves_table(history: SearchHistory) -> str:
    """A line for each candidate and resource, the best candidates first."""
    rows = [["candidate", "resource", "score", "deviation", "train"]]
    for trial, points in list(resource_curves(history).items())[:_MAX_CURVES]:
        for point in points:
            train = "" if math.isnan(point.train) else f"{point.train:.4f}"
            rows.append(
                [str(trial), f"{point.resource:,.0f}", *_numbers((point.score, point.deviation)), train]
            )
    return align_columns(rows) if len(rows) > 1 else "no candidate was evaluated with two resources"


def workers_table(history: SearchHistory) -> str:
    """A line for each worker: its evaluations, and its load over time from blank (idle) to ``#`` (busy)."""
    timelines = worker_timelines(history)
    if not timelines:
        return "no evaluation has ended yet"
    end = max(spans[-1].end for spans in timelines.values())
    rows = [["worker", "evaluations", "failed", "busy", f"0 to {end:.2f} s"]]
    for worker, spans in timelines.items():
        busy = sum(span.end - span.start for span in spans)
        load = np.zeros(_WIDTH)
        for span in spans:
            edges = np.clip(np.linspace(0, end, _WIDTH + 1), span.start, span.end)
            load += np.diff(edges)
        shades = np.ceil(np.clip(load / max(end / _WIDTH, 1e-12), 0, 1) * (len(_SHADES) - 1) - 1e-9)
        n_failed = sum(span.failed for span in spans)
        share = busy / end if end else 0.0
        bar = "".join(_SHADES[int(shade)] for shade in shades)
        rows.append([worker or "?", str(len(spans)), str(n_failed), f"{share:.0%}", bar.rstrip()])
    return align_columns(rows)


def align_columns(rows: list[list[str]]) -> str:
    """Align cells in columns: the first and the last to the left, the others to the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    last = len(widths) - 1
    lines = []
    for row in rows:
        cells = [
            cell.ljust(width) if column in (0, last) else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def _numbers(values: Iterable[float]) -> list[str]:
    return [f"{value:.4f}" for value in values]
