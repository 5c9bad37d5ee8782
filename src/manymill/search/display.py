"""Visualisation of a search: matplotlib plots, text tables, and a live table for notebooks."""

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
from manymill.search.history import (
    SearchHistory,
    best_over_time,
    curves_table,
    params_table,
    resource_curves,
    scores_by_value,
    time_table,
    worker_timelines,
    workers_table,
)
from manymill.search.journal import read_search
from manymill.validation import check_choice

KINDS = ("params", "time", "curves", "workers")
_MAX_CURVES = 20


class SearchDisplay:
    """Plots and tables of a search, running or finished.

    Create one with :meth:`from_search`. The kinds:

    ``"params"``
        A box plot for each parameter: mean scores of the candidates by its value. Numbers with many values are
        binned. With halving the scores are those with the smallest resource, which all candidates have.
    ``"time"``
        Each candidate at the time when its last split was done, and the best score so far.
    ``"curves"``
        With halving, scores by resource of the candidates that were promoted, on test rows and, with
        ``return_train_score``, on training rows.
    ``"workers"``
        Which worker evaluated when.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes of the last plot; the first of them if a plot has several.
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

    def __init__(self, history: SearchHistory) -> None:
        self.history = history

    @classmethod
    def from_search(cls, search: Any, *, metric: str | None = None) -> Self:
        """Take a snapshot of a search; later results are not shown.

        Parameters
        ----------
        search : SearchCV, SearchHandle, or path of a run folder
        metric : str, optional
            The metric that ranks candidates, by default.

        Raises
        ------
        SettingsError
            If the search does not have the metric, or was not started.
        RunFolderError
            If the folder does not contain a search.
        """
        if isinstance(search, (str, Path, os.PathLike)):
            events, settings, _ = read_search(search)
            n_splits, ranked_by = settings.get("n_splits", 0), settings.get("metric", "")
        else:
            handle = getattr(search, "handle_", search)
            if not hasattr(handle, "log"):
                raise SettingsError(f"{search!r} is not a started search", "call fit or start first")
            rules = handle.policy.rules
            events, n_splits, ranked_by = list(handle.log), rules.n_splits, rules.metric
        history = SearchHistory.from_events(events, n_splits, ranked_by if metric is None else metric)
        if history.evaluated:
            check_choice(history.metric, "metric", history.evaluated[0].scores)
        return cls(history)

    # ---- tables

    def text(self, kind: str = "params", *, param: str | None = None) -> str:
        """Format a kind as a text table.

        Parameters
        ----------
        kind : {"params", "time", "curves", "workers"}
        param : str, optional
            For ``"params"``, the only parameter to show.
        """
        self._check(kind, param)
        match kind:
            case "params":
                return params_table(self.history, param)
            case "time":
                return time_table(self.history)
            case "curves":
                return curves_table(self.history)
            case _:
                return workers_table(self.history)

    def __str__(self) -> str:
        return f"{self.text('time')}\n\n{self.text('params')}"

    # ---- plots

    def plot(self, kind: str = "params", *, ax: Any = None, param: str | None = None) -> Self:
        """Plot a kind with matplotlib.

        Parameters
        ----------
        kind : {"params", "time", "curves", "workers"}
        ax : Axes, or list of Axes, optional
            Axes to draw on; ``"params"`` needs one for each parameter. A new figure by default.
        param : str, optional
            For ``"params"``, the only parameter to show.

        Returns
        -------
        SearchDisplay
            This object, with ``ax_``, ``axes_`` and ``figure_``.

        Raises
        ------
        PlanError
            If matplotlib is not installed, or there is nothing to plot yet.
        """
        self._check(kind, param)
        if kind == "params":
            panels: list[Callable[[Any], None]] = [
                partial(self._plot_parameter, name=name)
                for name in scores_by_value(self.history)
                if param in (None, name)
            ]
        else:
            panels = [
                {"time": self._plot_time, "curves": self._plot_curves, "workers": self._plot_workers}[kind]
            ]
        if not panels or not self.history.evaluated:
            raise PlanError("no candidate has a score yet", "wait for the first result and call it again")
        self.axes_ = _axes(ax, len(panels))
        for draw, axes in zip(panels, self.axes_, strict=True):
            draw(axes)
        self.ax_ = self.axes_[0]
        self.figure_ = self.ax_.figure
        return self

    def _check(self, kind: str, param: str | None) -> None:
        check_choice(kind, "kind", KINDS)
        names = {name for params in self.history.params.values() for name in params}
        if param is not None:
            check_choice(param, "param", sorted(names))

    def _plot_parameter(self, axes: Any, name: str) -> None:
        boxes = scores_by_value(self.history)[name]
        axes.boxplot([box.scores for box in boxes])
        labels = [_without_math(box.value) for box in boxes]
        axes.set_xticks(range(1, len(boxes) + 1), labels, rotation=30, ha="right")
        axes.set(xlabel=name, ylabel=self.history.metric)

    def _plot_time(self, axes: Any) -> None:
        completions = best_over_time(self.history)
        seconds = [each.seconds for each in completions]
        axes.scatter(seconds, [each.score for each in completions], s=12, alpha=0.5, label="candidate")
        axes.step(seconds, [each.best for each in completions], where="post", label="best so far")
        axes.set(xlabel="seconds", ylabel=self.history.metric)
        axes.legend()

    def _plot_curves(self, axes: Any) -> None:
        curves = list(resource_curves(self.history).values())[:_MAX_CURVES]
        if not curves:
            raise PlanError("no candidate was evaluated with two resources", "search with halving=True")
        for index, points in enumerate(curves):
            resources = np.array([point.resource for point in points])
            scores = np.array([point.score for point in points])
            first = index == 0
            style = {"alpha": 1.0 if first else 0.25, "linewidth": 2 if first else 1}
            axes.plot(resources, scores, "o-", color="C0", label="test, the best" if first else None, **style)
            if first:
                deviation = np.array([point.deviation for point in points])
                axes.fill_between(resources, scores - deviation, scores + deviation, color="C0", alpha=0.15)
            train_scores = [point.train for point in points]
            if not all(math.isnan(score) for score in train_scores):
                axes.plot(
                    resources, train_scores, "o--", color="C1", label="train" if first else None, **style
                )
        axes.set(xscale="log", xlabel="resource", ylabel=self.history.metric)
        axes.legend()

    def _plot_workers(self, axes: Any) -> None:
        timelines = worker_timelines(self.history)
        for index, spans in enumerate(timelines.values()):
            bars = [(span.start, span.end - span.start) for span in spans]
            # Neighbours differ in colour, and a candidate has one colour on all workers.
            colors = ["red" if span.failed else f"C{span.task.trial % 10}" for span in spans]
            axes.broken_barh(bars, (index - 0.4, 0.8), facecolors=colors)
            failures = [span.end for span in spans if span.failed]
            axes.plot(failures, [index] * len(failures), "rx")
        axes.set_yticks(range(len(timelines)), [worker or "?" for worker in timelines])
        axes.set(xlabel="seconds", ylabel="worker")


def _without_math(label: str) -> str:
    """A label in which matplotlib does not interpret dollar signs as formulas."""
    return label.replace("$", r"\$")


def _axes(ax: Any, n: int) -> list[Any]:
    """The given axes, or those of a new figure."""
    if ax is not None:
        axes = list(np.ravel(np.asarray(ax, dtype=object)))
        if len(axes) != n:
            raise SettingsError(
                f"ax has {len(axes)} axes for {n} plots", "give one for each parameter, or param="
            )
        return axes
    try:
        from matplotlib import pyplot
    except ImportError as error:
        raise PlanError("matplotlib is not installed", "pip install 'manymill[plots]'") from error
    width = math.ceil(math.sqrt(n))
    height = math.ceil(n / width)
    figure, grid = pyplot.subplots(height, width, squeeze=False, figsize=(5 * width, 3.5 * height))
    figure.set_layout_engine("constrained")
    for unused in grid.ravel()[n:]:
        unused.remove()
    return list(grid.ravel()[:n])


# Seconds between two updates of the live table, and the number of candidates in it.
_UPDATE_SECONDS = 1.0
_SHOWN_CANDIDATES = 10


def as_html(handle: Any) -> str:
    """Progress and the first candidates of the ranking as HTML."""
    progress = handle.progress()
    cells = "".join(
        f"<tr><td>{row.rank}{'~' if row.partial else ''}</td><td>{_score_text(row.mean)}</td>"
        f"<td>{row.n_done}/{row.n_splits}</td><td>{html.escape(str(dict(row.params)))}</td></tr>"
        for row in handle.ranking()[:_SHOWN_CANDIDATES]
    )
    head = "<tr><th>rank</th><th>score</th><th>splits</th><th>parameters</th></tr>"
    share = (progress.total - progress.pending - progress.running) / max(1, progress.total)
    return (
        f'<div><p><progress value="{share:.3f}"></progress> {html.escape(str(progress))}</p>'
        f"<table>{head}{cells}</table></div>"
    )


def show_live(handle: Any, *, seconds: float = _UPDATE_SECONDS) -> threading.Thread | None:
    """Display a search in the current notebook cell, and update it until the search ends.

    Parameters
    ----------
    handle : SearchHandle
    seconds : float
        Time between two updates.

    Returns
    -------
    Thread or None
        The thread that updates; None if the search is over, or the display cannot be updated.
    """
    from IPython.display import display

    shown = display(_mime_bundle(handle), raw=True, display_id=True)
    if shown is None or handle.done():
        return None

    def update() -> None:
        over = False
        while not over:
            over = handle.ends_within(seconds)
            shown.update(_mime_bundle(handle), raw=True)

    thread = threading.Thread(target=update, name="manymill-notebook", daemon=True)
    thread.start()
    return thread


def _mime_bundle(handle: Any) -> dict[str, str]:
    """A search as HTML for notebooks and as text for terminals."""
    return {"text/html": as_html(handle), "text/plain": str(handle)}


def _score_text(mean: float) -> str:
    return "failed" if math.isnan(mean) else f"{mean:.4f}"
