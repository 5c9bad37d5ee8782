"""What a finished training says: how good, where, and what to do next."""

from __future__ import annotations

from typing import TYPE_CHECKING

from manymill import display

if TYPE_CHECKING:
    from pathlib import Path

    from manymill.events import Event
    from manymill.linear.run import Run


def ending(run: Path, last: Event | None) -> str:
    """A line for the end of what was watched, by its last event."""
    from manymill.events import Ended, ForestGrown
    from manymill.run_folder import has_ended

    if isinstance(last, ForestGrown):
        return (
            f"done    {last.trees:,} trees"
            if not last.interrupted
            else "stopped: train again goes on with it"
        )
    if not isinstance(last, Ended) or not has_ended(run):
        return f"stopped: manymill resume {run} goes on with it"
    accuracy = last.holdout_accuracy
    quality = "nothing was held out" if accuracy is None else f"held-out accuracy {accuracy:.4f}"
    return f"done    {last.n_rows:,} rows, pass {last.best_pass} of {last.passes} kept, {quality}"


def summary(run: Run) -> str:
    """Lines for the end of a training."""
    trained, ledger = run.trained, run.ledger
    lines = []
    if ledger.n_rejected:
        listed = f"; see {ledger.path}" if ledger.path is not None else ""
        lines.append(f"bad     {ledger.summary()}{listed}")
    accuracy = trained.metrics.accuracy
    quality = "nothing was held out" if accuracy is None else f"held-out accuracy {accuracy:.4f}"
    lanes = f" in {trained.lanes} lanes" if trained.lanes > 1 else ""
    lines.append(
        f"done    {trained.n_rows:,} rows{lanes}, pass {trained.best_pass} of {trained.passes} kept, {quality}"
    )
    lines.append(f"saved   {run.folder / 'model'}")
    lines.append(
        f"next    manymill evaluate {run.folder} TEST_FILES   manymill predict {run.folder} NEW_FILES"
    )
    return display.lines(lines)
