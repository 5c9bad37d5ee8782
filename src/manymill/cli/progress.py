"""Display of events: a live bar on a terminal, plain lines elsewhere, or JSON records."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from manymill import display
from manymill.cli.output import as_json, printable
from manymill.display import shortened
from manymill.engine import interrupts
from manymill.events import (
    ClassesFound,
    Counting,
    Event,
    FeaturesCounted,
    ForestGrown,
    Interrupted,
    LaneEnded,
    Observer,
    PassEnded,
    Planned,
    Progress,
    RecipeChosen,
    Resumed,
    RoundEnded,
    Sampled,
    Warned,
    WorkerLost,
    WorkerSilent,
)
from manymill.log import forward_warnings

# Seconds between two plain lines of progress, to keep log files readable.
PLAIN_SECONDS = 5.0
# Width of the bar on a terminal: the figures need the rest of 80 columns.
BAR_WIDTH = 10
# Maximum number of signs for lanes; with more lanes a sign stands for several.
SHOWN_LANES = 32


@contextmanager
def follow(*, json: bool) -> Iterator[Observer]:
    """An observer that shows events: on stderr, or with ``json`` as one record per line on stdout."""
    with (
        contextmanager(_observer)(json=json) as observe,
        forward_warnings(lambda message: observe(Warned(message)), exclusive=True),
    ):
        yield observe


def _observer(*, json: bool) -> Iterator[Observer]:
    if json:
        yield _print_json
    elif sys.stderr.isatty():
        yield from _live()
    else:
        yield PlainLines().show


def _print_json(event: Event) -> None:
    print(as_json(event.to_json()), flush=True)


def _live() -> Iterator[Observer]:
    """A progress bar of the pass, below the lines of events."""
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn
    from rich.progress import Progress as Bar

    console = Console(stderr=True, highlight=False)
    columns = (
        TextColumn("pass {task.fields[number]}"),
        BarColumn(BAR_WIDTH),
        TextColumn("{task.fields[figures]}", markup=False),
    )
    row = LaneRow()
    with Bar(*columns, console=console, transient=True) as bar:
        task = bar.add_task("pass", total=1.0, number=1, figures="")

        def show(event: Event) -> None:
            if isinstance(event, LaneEnded):
                if row.task is None:
                    row.task = bar.add_task("lanes", total=1.0, number=event.pass_number, figures="")
                share, figures = row.after(event)
                bar.update(row.task, completed=share, number=event.pass_number, figures=figures)
            elif isinstance(event, Progress):
                bar.update(
                    task,
                    completed=event.share,
                    number=event.pass_number,
                    figures=_figures(event, memory=False),
                )
            elif isinstance(event, Counting):
                bar.update(task, completed=event.share, number="0: count", figures=_counting(event))
            elif isinstance(event, Sampled):
                interrupts.raise_if_requested()
                bar.update(
                    task, completed=event.n_bytes / max(1, event.size), figures=printable(_sampled(event))
                )
            elif (line := describe(event)) is not None:
                bar.console.print(printable(line), markup=False)

        yield show


class LaneRow:
    """The progress of the current round: which lanes are done, and their last loss."""

    def __init__(self) -> None:
        self.task: Any = None
        self._round = (0, 0)
        self._done: set[int] = set()

    def after(self, event: LaneEnded) -> tuple[float, str]:
        """Share of the round that is done, and a sign per lane: ``##-#  3/4 of round 2, loss 0.412``."""
        if self._round != (event.pass_number, event.round_number):
            self._round = (event.pass_number, event.round_number)
            self._done.clear()
        self._done.add(event.lane)
        n_signs = min(event.lanes, SHOWN_LANES)
        # A shared sign is set when all of its lanes are done.
        open_signs = {
            (lane - 1) * n_signs // event.lanes
            for lane in range(1, event.lanes + 1)
            if lane not in self._done
        }
        signs = "".join("-" if i in open_signs else "#" for i in range(n_signs))
        n_done = len(self._done)
        return n_done / event.lanes, (
            f"{signs}  {n_done}/{event.lanes} of round {event.round_number}, loss {event.loss:.3f}"
        )


class PlainLines:
    """Prints events as lines of a log."""

    def __init__(self) -> None:
        self._last = time.monotonic()

    def show(self, event: Event) -> None:
        """Print the event, unless it has no line or comes too soon after the last one."""
        if isinstance(event, Progress):
            if time.monotonic() - self._last < PLAIN_SECONDS:
                return
            self._last = time.monotonic()
            line: str | None = f"pass {event.pass_number}  {_figures(event, memory=True)}"
        elif isinstance(event, Counting):
            if time.monotonic() - self._last < PLAIN_SECONDS:
                return
            self._last = time.monotonic()
            line = f"count   {_counting(event)}"
        elif isinstance(event, Sampled):
            interrupts.raise_if_requested()  # Python may have lost the interrupt
            if time.monotonic() - self._last < PLAIN_SECONDS:
                return
            self._last = time.monotonic()
            line = _sampled(event)
        else:
            line = describe(event)
        if line is not None:
            print(printable(line), file=sys.stderr, flush=True)


def _figures(event: Progress, *, memory: bool) -> str:
    """The current figures, short enough for lines of 80 columns."""
    # The accuracy on held-out rows replaces the loss once it is known.
    held = event.holdout_accuracy
    quality = f"loss {event.loss:.3f}" if held is None else f"held-out {held:.3f}"
    used = f"{event.memory_bytes / 1e6:.0f} MB  " if memory else ""
    return (
        f"{100 * event.share:3.0f} %  {event.megabytes_per_second:.0f} MB/s  accuracy {event.accuracy:.3f}  "
        f"{quality}  {used}{_clock(event.eta_seconds)} left"
    )


def _counting(event: Counting) -> str:
    """The progress of counting features."""
    return (
        f"{100 * event.share:3.0f} %  {event.megabytes_per_second:.0f} MB/s  {event.n_rows:,} rows  "
        f"{_clock(event.eta_seconds)} left"
    )


def _sampled(event: Sampled) -> str:
    """The progress of sampling for the plan."""
    return (
        f"plan    {event.n_bytes / 1e6:,.1f} of {event.size / 1e6:,.1f} MB of {shortened(event.file)} read, "
        f"{event.n_rows:,} rows so far, {_clock(event.seconds)}"
    )


def describe(event: Event) -> str | None:
    """An event as escaped text of one or more lines; None if it is not shown."""
    text = _described(event)
    return None if text is None else display.lines([text] if isinstance(text, str) else text)


def _described(event: Event) -> str | list[str] | None:
    if isinstance(event, Planned):
        about = "" if event.exact else "about "
        read = f"read    {event.files:,} file{'s' * (event.files != 1)}, {event.source_bytes / 1e6:,.1f} MB"
        columns = f"text={event.text} label={event.label}"
        rows = f"{about}{event.n_rows:,} rows; {columns}, {event.classes} classes"
        return [f"{read}, {rows}", *(f"        {note}" for note in event.notes)]
    if isinstance(event, RecipeChosen):
        return _chosen(event)
    if isinstance(event, Warned):
        return f"warning {event.message}"
    if isinstance(event, ClassesFound):
        names = ", ".join(map(shortened, event.names[:5])) + (", ..." if len(event.names) > 5 else "")
        return f"classes {len(event.names)} new: {names}; {event.n_classes} now"
    if isinstance(event, FeaturesCounted):
        return (
            f"count   {event.n_rows:,} rows  {event.n_features:,} features in use, weights {event.weights}  "
            f"{event.seconds:.1f} s"
        )
    if isinstance(event, PassEnded):
        held = ""
        if event.holdout_accuracy is not None:
            held = f"  held-out {event.holdout_accuracy:.4f} of {event.holdout_rows:,} rows"
        saved = "  saved" if event.kept else ""
        return (
            f"pass {event.pass_number}  {event.n_rows:,} rows  loss {event.loss:.4f}  "
            f"accuracy {event.accuracy:.4f} in training{held}  {event.seconds:.1f} s{saved}"
        )
    if isinstance(event, RoundEnded):
        step = "" if event.step == 1 else f" x {event.step:g}"
        held = "" if event.holdout_accuracy is None else f"  held-out {event.holdout_accuracy:.4f}"
        exchanged = f"  {_bytes(event.bytes_out)} out, {_bytes(event.bytes_back)} back so far"
        return (
            f"pass {event.pass_number}  round {event.round_number} of {event.rounds}  merged by {event.rule}{step}"
            f"{held}{exchanged if event.bytes_out else ''}  {event.seconds:.1f} s"
        )
    if isinstance(event, ForestGrown):
        held = "" if event.score is None else f"  held-out {event.score:.4f}"
        return f"trees   {event.trees:,} with {event.n_nodes:,} nodes{held}  {event.seconds:.1f} s"
    if isinstance(event, WorkerLost | WorkerSilent):
        return f"warning {event}"
    if isinstance(event, Resumed):
        where = "" if event.round_number == 1 else f", step {event.round_number}"
        return f"resumed pass {event.pass_number}{where}"
    if isinstance(event, Interrupted):
        return "stopping: the current state is saved" if event.kept else "stopping"
    return None


def _chosen(event: RecipeChosen) -> str | list[str]:
    """What the recipe "auto" has chosen, and why."""
    if event.is_standard:
        return f"chosen  the recipe standard: {event.reason}"
    given = {
        "words": _lengths(event.values["ngram_range"]),
        "characters": _lengths(event.values["char_ngram_range"]),
        "weights": event.values["feature_weights"],
        "loss": event.values["loss"],
        "l2 times rows": event.values["l2_times_rows"],
    }
    shown = ", ".join(f"{name} {value}" for name, value in given.items() if value is not None)
    rows = f"{event.n_training:,} rows learnt, {event.n_judging:,} others judged"
    return [f"chosen  {shown}", f"        {event.reason} ({rows})"]


def _lengths(ngram_range: Any) -> str | None:
    return None if ngram_range is None else f"{ngram_range[0]} to {ngram_range[1]}"


def _bytes(number: int) -> str:
    """A number of bytes: ``850 kB``, ``12 MB``."""
    return f"{number / 1e6:,.0f} MB" if number >= 10**7 else f"{number / 1e3:,.0f} kB"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(max(0, round(seconds)), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}" if minutes >= 60 else f"{minutes}:{rest:02}"
