"""What there is to see in the events of a search: numbers for pictures and for tables alike.

::

    events ──► boxes         scores by the value of a parameter
           ──► improvements  candidates that are whole, and the best of them, by time
           ──► curves        scores of a candidate by what it was given
           ──► spans         who worked when

The pictures of a search as tables, for terminals.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from manymill.search.events import Evaluated, Event, Failed, Proposed, Task

# More values of a number than this are put into bins with as many candidates in each.
MOST_VALUES = 8
_BINS = 6


@dataclass(frozen=True, slots=True)
class Seen:
    """What the events of a search tell."""

    params: Mapping[int, Mapping[str, Any]]
    evaluated: Sequence[Evaluated]
    failed: Sequence[Failed]
    n_splits: int
    metric: str

    @classmethod
    def of(cls, events: Iterable[Event], n_splits: int, metric: str) -> Seen:
        """What is to be seen in some events."""
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
    """The scores of the candidates with one value of a parameter, or with values in a bin."""

    value: str
    scores: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Improvement:
    """A candidate became whole.

    Attributes
    ----------
    seconds : float
        From the start of the search.
    n_done : int
        Evaluations done by then.
    score : float
        Its mean.
    best : float
        The best mean by then, of those that were given as much as anyone.
    """

    seconds: float
    n_done: int
    trial: int
    rung: int
    score: float
    best: float


@dataclass(frozen=True, slots=True)
class Point:
    """The mean scores of a candidate with some resource; `train` is NaN where it was not measured."""

    resource: float
    score: float
    deviation: float
    train: float


@dataclass(frozen=True, slots=True)
class Span:
    """What a worker did from one moment to another, in seconds from the start of the search."""

    worker: str
    task: Task
    start: float
    end: float
    failed: bool


def boxes(seen: Seen) -> dict[str, list[Box]]:
    """For each parameter its values in order, with the mean scores of the candidates that had them.

    With halving the scores are those of the first rung: all candidates have it, so that they can be compared. Scores
    that are not finite have no place in a box.
    """
    scores: dict[int, list[float]] = defaultdict(list)
    for event in seen.evaluated:
        if event.task.rung == 0 and math.isfinite(event.scores[seen.metric]):
            scores[event.task.trial].append(event.scores[seen.metric])
    means = {trial: float(np.mean(values)) for trial, values in sorted(scores.items())}
    names = sorted({name for trial in means for name in seen.params[trial]})
    return {name: _boxes_of(name, seen, means) for name in names}


def _boxes_of(name: str, seen: Seen, means: Mapping[int, float]) -> list[Box]:
    pairs = [(seen.params[trial][name], mean) for trial, mean in means.items() if name in seen.params[trial]]
    values = [value for value, _ in pairs]
    if all(_is_number(value) for value in values) and len(set(values)) > MOST_VALUES:
        return _binned(sorted(pairs))
    groups: dict[str, list[float]] = defaultdict(list)
    order: dict[str, tuple[Any, ...]] = {}
    for value, mean in pairs:
        # Estimators and arrays are told in several lines.
        label = f"{value:.4g}" if isinstance(value, float) else " ".join(str(value).split())
        # Numbers by size, then what else there is by name.
        order[label] = (0, value, "") if _is_number(value) else (1, 0, label)
        groups[label].append(mean)
    return [Box(label, tuple(groups[label])) for label in sorted(groups, key=order.__getitem__)]


def _binned(pairs: list[tuple[Any, float]]) -> list[Box]:
    """Bins with about as many candidates in each; equal values are in one bin."""
    sorted_values = [value for value, _ in pairs]
    edges = sorted({sorted_values[len(pairs) * place // _BINS] for place in range(1, _BINS)})
    bins: dict[int, list[tuple[Any, float]]] = defaultdict(list)
    for value, mean in pairs:
        bins[int(np.searchsorted(edges, value, side="right"))].append((value, mean))
    return [
        Box(_range(inside[0][0], inside[-1][0]), tuple(mean for _, mean in inside))
        for _, inside in sorted(bins.items())
    ]


def _range(low: Any, high: Any) -> str:
    return f"{low:.3g}" if low == high else f"{low:.3g} to {high:.3g}"


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)


def improvements(seen: Seen) -> list[Improvement]:
    """The candidates in the order in which they became whole, with the best so far.

    A candidate that was given more stands before one that was given less: where the first candidate gets to a higher
    rung of halving, the best is the best of that rung from then on.
    """
    scores: dict[tuple[int, int], list[float]] = defaultdict(list)
    best, highest, out = -math.inf, 0, []
    for n_done, event in enumerate(sorted(seen.evaluated, key=lambda event: event.seconds), 1):
        task = event.task
        own = scores[task.trial, task.rung]
        own.append(event.scores[seen.metric])
        mean = sum(own) / len(own)
        if len(own) < seen.n_splits or math.isnan(mean):
            continue
        if task.rung > highest:
            highest, best = task.rung, mean
        elif task.rung == highest:
            best = max(best, mean)
        out.append(Improvement(event.seconds, n_done, task.trial, task.rung, mean, best))
    return out


def curves(seen: Seen) -> dict[int, list[Point]]:
    """Scores by resource of the candidates that were given two amounts at least, the best first."""
    groups: dict[int, dict[int, list[Evaluated]]] = defaultdict(lambda: defaultdict(list))
    for event in seen.evaluated:
        groups[event.task.trial][event.task.rung].append(event)
    out = {
        trial: [_point(rungs[rung], seen.metric) for rung in sorted(rungs)]
        for trial, rungs in groups.items()
        if len(rungs) > 1
    }
    order = sorted(out, key=lambda trial: (-len(out[trial]), -out[trial][-1].score, trial))
    return {trial: out[trial] for trial in order}


def _point(events: Sequence[Evaluated], metric: str) -> Point:
    given = [event.n_rows if event.task.resource is None else event.task.resource for event in events]
    scores = np.array([event.scores[metric] for event in events])
    learnt = [event.train_scores.get(metric, math.nan) for event in events]
    with np.errstate(invalid="ignore"):  # scores may be infinite
        return Point(float(np.mean(given)), float(scores.mean()), float(scores.std()), float(np.mean(learnt)))


def spans(seen: Seen) -> dict[str, list[Span]]:
    """What each worker did, in order; workers in the order in which they came."""
    out: dict[str, list[Span]] = defaultdict(list)
    ended: list[Evaluated | Failed] = [*seen.evaluated, *seen.failed]
    for event in sorted(ended, key=lambda event: event.seconds):
        took = event.fit_seconds + event.score_seconds if isinstance(event, Evaluated) else 0.0
        # Results come in one after the other: a worker cannot have begun before it ended its last task.
        earliest = out[event.worker][-1].end if out[event.worker] else 0.0
        start = min(event.seconds, max(earliest, event.seconds - took))
        out[event.worker].append(
            Span(event.worker, event.task, start, event.seconds, isinstance(event, Failed))
        )
    return dict(out)


_WIDTH = 40
_MOST_ROWS = 20
_SHADES = " .:-=+*#"


def params_table(seen: Seen, only: str | None = None) -> str:
    """For each parameter a line for each value: candidates, quartiles, and a box from the least score to the best."""
    shown = {name: rows for name, rows in boxes(seen).items() if only in (None, name)}
    all_scores = [score for rows in shown.values() for box in rows for score in box.scores]
    if not all_scores:
        return "no candidate has a score yet"
    low, high = min(all_scores), max(all_scores)
    blocks = []
    for name, rows in shown.items():
        head = [name, "n", "min", "median", "max", f"{low:.4f} to {high:.4f}"]
        lines = [
            [box.value, str(len(box.scores)), *_numbers(np.quantile(box.scores, (0, 0.5, 1))),
             drawn_box(box.scores, low, high)]
            for box in rows
        ]  # fmt: skip
        blocks.append(aligned([head, *lines]))
    return "\n\n".join(blocks)


def drawn_box(scores: Sequence[float], low: float, high: float) -> str:
    """A box plot in characters: ``|--[  :  ]---|`` from the least to the greatest, with quartiles and median."""
    scale = (_WIDTH - 1) / (high - low) if high > low else 0.0
    places = [round((value - low) * scale) for value in np.quantile(scores, (0, 0.25, 0.5, 0.75, 1))]
    out = [" "] * _WIDTH
    out[places[0] : places[4] + 1] = "-" * (places[4] - places[0] + 1)
    out[places[1] : places[3] + 1] = " " * (places[3] - places[1] + 1)
    for place, mark in zip((places[0], places[4], places[1], places[3], places[2]), "||[]:", strict=True):
        out[place] = mark
    return "".join(out).rstrip()


def time_table(seen: Seen) -> str:
    """The moments at which the best candidate was another one."""
    rows, last = [["seconds", "evaluations", "best", "candidate", "parameters"]], None
    for moment in improvements(seen):
        if moment.score == moment.best and (moment.rung, moment.best) != last:
            last = (moment.rung, moment.best)
            params = ", ".join(
                f"{name}={' '.join(str(value).split())}" for name, value in seen.params[moment.trial].items()
            )
            rows.append(
                [f"{moment.seconds:.2f}", str(moment.n_done), f"{moment.best:.4f}", str(moment.trial), params]
            )
    return aligned(rows) if len(rows) > 1 else "no candidate is whole yet"


def curves_table(seen: Seen) -> str:
    """A line for each candidate and amount of the resource, the best candidates first."""
    rows = [["candidate", "resource", "score", "deviation", "train"]]
    for trial, points in list(curves(seen).items())[:_MOST_ROWS]:
        for point in points:
            train = "" if math.isnan(point.train) else f"{point.train:.4f}"
            rows.append(
                [str(trial), f"{point.resource:,.0f}", *_numbers((point.score, point.deviation)), train]
            )
    return aligned(rows) if len(rows) > 1 else "no candidate was given two amounts of a resource"


def workers_table(seen: Seen) -> str:
    """A line for each worker: what it did, and when it was busy; ``#`` is all the time, a blank none."""
    workers = spans(seen)
    if not workers:
        return "no evaluation has ended yet"
    end = max(last[-1].end for last in workers.values())
    rows = [["worker", "evaluations", "failed", "busy", f"0 to {end:.2f} s"]]
    for worker, worked in workers.items():
        busy = sum(span.end - span.start for span in worked)
        load = np.zeros(_WIDTH)
        for span in worked:
            edges = np.clip(np.linspace(0, end, _WIDTH + 1), span.start, span.end)
            load += np.diff(edges)
        shades = np.ceil(np.clip(load / max(end / _WIDTH, 1e-12), 0, 1) * (len(_SHADES) - 1) - 1e-9)
        n_failed = sum(span.failed for span in worked)
        share = busy / end if end else 0.0
        bar = "".join(_SHADES[int(shade)] for shade in shades)
        rows.append([worker or "?", str(len(worked)), str(n_failed), f"{share:.0%}", bar.rstrip()])
    return aligned(rows)


def aligned(rows: list[list[str]]) -> str:
    """Rows in columns: the first and the last to the left, those between to the right."""
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
