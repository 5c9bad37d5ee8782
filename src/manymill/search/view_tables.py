"""The pictures of a search as tables, for terminals."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np

from manymill.search.views import Seen, boxes, curves, improvements, spans

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
