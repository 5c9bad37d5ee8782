"""Summary of a finished training: quality, files and next commands."""

from __future__ import annotations

from typing import TYPE_CHECKING

from manymill import display

if TYPE_CHECKING:
    from pathlib import Path

    from manymill.events import Event
    from manymill.linear.run import Run


def ending(run: Path, last: Event | None) -> str:
    """The last line of a watched training, by its last event."""
    from manymill.events import Ended, ForestGrown
    from manymill.run_folder import has_ended

    if isinstance(last, ForestGrown):
        return (
            f"done    {last.trees:,} trees"
            if not last.interrupted
            else "stopped: the same train command resumes it"
        )
    if not isinstance(last, Ended) or not has_ended(run):
        return f"stopped: manymill resume {run} resumes it"
    accuracy = last.holdout_accuracy
    quality = "no held-out rows" if accuracy is None else f"held-out accuracy {accuracy:.4f}"
    return f"done    {last.n_rows:,} rows, best pass {last.best_pass} of {last.passes}, {quality}"


def summary(run: Run) -> str:
    """The last lines of a training."""
    trained, ledger = run.trained, run.ledger
    lines = []
    if ledger.n_rejected:
        listed = f"; see {ledger.path}" if ledger.path is not None else ""
        lines.append(f"bad     {ledger.summary()}{listed}")
    accuracy = trained.metrics.accuracy
    quality = "no held-out rows" if accuracy is None else f"held-out accuracy {accuracy:.4f}"
    lanes = f" in {trained.lanes} lanes" if trained.lanes > 1 else ""
    lines.append(
        f"done    {trained.n_rows:,} rows{lanes}, best pass {trained.best_pass} of {trained.passes}, {quality}"
    )
    lines.append(f"saved   {run.folder / 'model'}")
    lines.append(
        f"next    manymill evaluate {run.folder} TEST_FILES   manymill predict {run.folder} NEW_FILES"
    )
    return display.lines(lines)
