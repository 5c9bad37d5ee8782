"""`SearchDisplay`: pictures of a search, on axes of matplotlib or as tables.

A search in a notebook: a table that follows what happens for as long as it runs.
"""

from __future__ import annotations

import html
import math
import os
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Self

import numpy as np

from manymill.errors import PlanError, SettingsError
from manymill.search import views
from manymill.search.journal import events_of
from manymill.search.views import Seen, boxes, curves, improvements, spans

KINDS = ("params", "time", "curves", "workers")
_MOST_CURVES = 20


class SearchDisplay:
    """Pictures of a search, whether it is over or runs.

    Made by :meth:`from_search`. The kinds:

    ``"params"``
        A box plot for each parameter: mean scores of the candidates by its value. Numbers with many values are put into
        bins. With halving the scores are those with the least resource, which all candidates have.
    ``"time"``
        Each candidate when it was whole, and the best so far.
    ``"curves"``
        Scores by resource of candidates that came on in halving, on test rows and, where they were measured
        (``return_train_score``), on those they were fitted on.
    ``"workers"``
        When each worker was at what.

    Attributes
    ----------
    ax_ : Axes of matplotlib
        That was drawn on last; the first of them where a picture has several.
    axes_ : list of Axes
    figure_ : Figure

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.svm import SVC
    >>> from manymill import SearchCV, SearchDisplay
    >>> search = SearchCV(SVC(), {"C": [0.01, 1, 100]}, cv=3, engine=1).fit(*load_iris(return_X_y=True))
    >>> print(SearchDisplay.from_search(search).text(kind="params"))
    C     n     min  median     max  0.3200 to 0.9733
    0.01  1  0.3200  0.3200  0.3200  :
    1     1  0.9600  0.9600  0.9600                                        :
    100   1  0.9733  0.9733  0.9733                                         :
    """

    def __init__(self, seen: Seen) -> None:
        self.seen = seen

    @classmethod
    def from_search(cls, search: Any, *, metric: str | None = None) -> Self:
        """Look at a search; what comes later is not seen.

        Parameters
        ----------
        search : SearchCV, SearchHandle, or path of a run folder
        metric : str, optional
            The one that decides, by default.

        Raises
        ------
        SettingsError
            If the search has no such metric, or was not started.
        RunFolderError
            If the folder holds no search.
        """
        if isinstance(search, (str, Path, os.PathLike)):
            events, told, _ = events_of(search)
            n_splits, decides = told.get("n_splits", 0), told.get("metric", "")
        else:
            handle = getattr(search, "handle_", search)
            if not hasattr(handle, "log"):
                raise SettingsError(f"{search!r} is no search that was started", "call fit or start first")
            rules = handle.policy.rules
            events, n_splits, decides = list(handle.log), rules.n_splits, rules.metric
        seen = Seen.of(events, n_splits, metric or decides)
        if seen.evaluated and seen.metric not in seen.evaluated[0].scores:
            known = ", ".join(seen.evaluated[0].scores)
            raise SettingsError(f"metric={metric!r} was not measured", f"name one of {known}")
        return cls(seen)

    # ---- tables

    def text(self, kind: str = "params", *, param: str | None = None) -> str:
        """The picture as a table.

        Parameters
        ----------
        kind : {"params", "time", "curves", "workers"}
        param : str, optional
            Of ``"params"``, the only one to show.
        """
        self._check(kind, param)
        match kind:
            case "params":
                return views.params_table(self.seen, param)
            case "time":
                return views.time_table(self.seen)
            case "curves":
                return views.curves_table(self.seen)
            case _:
                return views.workers_table(self.seen)

    def __str__(self) -> str:
        return f"{self.text('time')}\n\n{self.text('params')}"

    # ---- pictures

    def plot(self, kind: str = "params", *, ax: Any = None, param: str | None = None) -> Self:
        """Draw on axes of matplotlib.

        Parameters
        ----------
        kind : {"params", "time", "curves", "workers"}
        ax : Axes, or list of Axes, optional
            To draw on: of ``"params"`` one for each parameter. A new figure by default.
        param : str, optional
            Of ``"params"``, the only one to show.

        Returns
        -------
        SearchDisplay
            This one, with ``ax_``, ``axes_`` and ``figure_``.

        Raises
        ------
        PlanError
            If matplotlib is not installed, or there is nothing to draw yet.
        """
        self._check(kind, param)
        if kind == "params":
            panels: list[Callable[[Any], None]] = [
                partial(self._draw_boxes, name=name) for name in boxes(self.seen) if param in (None, name)
            ]
        else:
            panels = [
                {"time": self._draw_time, "curves": self._draw_curves, "workers": self._draw_workers}[kind]
            ]
        if not panels or not self.seen.evaluated:
            raise PlanError("no candidate has a score yet", "wait for the first, then look again")
        self.axes_ = _axes(ax, len(panels))
        for draw, axes in zip(panels, self.axes_, strict=True):
            draw(axes)
        self.ax_ = self.axes_[0]
        self.figure_ = self.ax_.figure
        return self

    def _check(self, kind: str, param: str | None) -> None:
        if kind not in KINDS:
            raise SettingsError(f"kind={kind!r} is no picture of a search", f"give one of {', '.join(KINDS)}")
        names = {name for params in self.seen.params.values() for name in params}
        if param is not None and param not in names:
            raise SettingsError(f"no candidate has {param!r}", f"give one of {', '.join(sorted(names))}")

    def _draw_boxes(self, axes: Any, name: str) -> None:
        rows = boxes(self.seen)[name]
        axes.boxplot([box.scores for box in rows])
        axes.set_xticks(range(1, len(rows) + 1), [_plain(box.value) for box in rows], rotation=30, ha="right")
        axes.set(xlabel=name, ylabel=self.seen.metric)

    def _draw_time(self, axes: Any) -> None:
        moments = improvements(self.seen)
        seconds = [moment.seconds for moment in moments]
        axes.scatter(seconds, [moment.score for moment in moments], s=12, alpha=0.5, label="candidate")
        axes.step(seconds, [moment.best for moment in moments], where="post", label="best so far")
        axes.set(xlabel="seconds", ylabel=self.seen.metric)
        axes.legend()

    def _draw_curves(self, axes: Any) -> None:
        shown = list(curves(self.seen).values())[:_MOST_CURVES]
        if not shown:
            raise PlanError("no candidate was given two amounts of a resource", "search with halving=True")
        for place, points in enumerate(shown):
            given = np.array([point.resource for point in points])
            scores = np.array([point.score for point in points])
            first = place == 0
            style = {"alpha": 1.0 if first else 0.25, "linewidth": 2 if first else 1}
            axes.plot(given, scores, "o-", color="C0", label="test, the best" if first else None, **style)
            if first:
                off = np.array([point.deviation for point in points])
                axes.fill_between(given, scores - off, scores + off, color="C0", alpha=0.15)
            learnt = [point.train for point in points]
            if not all(math.isnan(score) for score in learnt):
                axes.plot(given, learnt, "o--", color="C1", label="train" if first else None, **style)
        axes.set(xscale="log", xlabel="resource", ylabel=self.seen.metric)
        axes.legend()

    def _draw_workers(self, axes: Any) -> None:
        workers = spans(self.seen)
        for place, worked in enumerate(workers.values()):
            bars = [(span.start, span.end - span.start) for span in worked]
            # Neighbours differ in colour, and a candidate has one colour on all workers.
            colors = ["red" if span.failed else f"C{span.task.trial % 10}" for span in worked]
            axes.broken_barh(bars, (place - 0.4, 0.8), facecolors=colors)
            failures = [span.end for span in worked if span.failed]
            axes.plot(failures, [place] * len(failures), "rx")
        axes.set_yticks(range(len(workers)), [worker or "?" for worker in workers])
        axes.set(xlabel="seconds", ylabel="worker")


def _plain(label: str) -> str:
    """A label that matplotlib takes as it is, and not for a formula."""
    return label.replace("$", r"\$")


def _axes(ax: Any, n: int) -> list[Any]:
    """Axes to draw on, made if none are given."""
    if ax is not None:
        given = list(np.ravel(np.asarray(ax, dtype=object)))
        if len(given) != n:
            raise SettingsError(f"{len(given)} axes are given, for {n} pictures", "give one each, or param=")
        return given
    try:
        from matplotlib import pyplot
    except ImportError as error:
        raise PlanError("matplotlib is not installed", "pip install 'manymill[plots]'") from error
    width = math.ceil(math.sqrt(n))
    height = math.ceil(n / width)
    figure, made = pyplot.subplots(height, width, squeeze=False, figsize=(5 * width, 3.5 * height))
    figure.set_layout_engine("constrained")
    for spare in made.ravel()[n:]:
        spare.remove()
    return list(made.ravel()[:n])


# How often the table is drawn again.
_DRAW_SECONDS = 1.0
_SHOWN = 10


def as_html(handle: Any) -> str:
    """Progress and the first of the ranking, as things stand."""
    progress = handle.progress()
    cells = "".join(
        f"<tr><td>{row.rank}{'~' if row.partial else ''}</td><td>{_score(row.mean)}</td>"
        f"<td>{row.n_done}/{row.n_splits}</td><td>{html.escape(str(dict(row.params)))}</td></tr>"
        for row in handle.ranking()[:_SHOWN]
    )
    head = "<tr><th>rank</th><th>score</th><th>splits</th><th>parameters</th></tr>"
    share = (progress.total - progress.pending - progress.running) / max(1, progress.total)
    return (
        f'<div><p><progress value="{share:.3f}"></progress> {html.escape(str(progress))}</p>'
        f"<table>{head}{cells}</table></div>"
    )


def show_live(handle: Any, *, seconds: float = _DRAW_SECONDS) -> threading.Thread | None:
    """Show a search in the cell that asks for it, and draw it again until it is over.

    Parameters
    ----------
    handle : SearchHandle
    seconds : float
        Between two drawings.

    Returns
    -------
    Thread or None
        The one that draws; None if the search is over, or nothing can be drawn again.
    """
    from IPython.display import display

    shown = display(_bundle(handle), raw=True, display_id=True)
    if shown is None or handle.done():
        return None

    def draw() -> None:
        over = False
        while not over:
            over = handle.ends_within(seconds)
            shown.update(_bundle(handle), raw=True)

    thread = threading.Thread(target=draw, name="manymill-notebook", daemon=True)
    thread.start()
    return thread


def _bundle(handle: Any) -> dict[str, str]:
    """What browsers show, and what terminals do."""
    return {"text/html": as_html(handle), "text/plain": str(handle)}


def _score(mean: float) -> str:
    return "failed" if math.isnan(mean) else f"{mean:.4f}"
