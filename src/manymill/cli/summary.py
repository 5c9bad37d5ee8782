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
    from manymill.run_folder import has_ended, read_plan

    if isinstance(last, ForestGrown) and not last.interrupted:
        return f"done    {last.trees:,} trees"
    if read_plan(run).get("kind") == "forest":
        return "stopped: the same train command resumes it"
    if not isinstance(last, Ended) or not has_ended(run):
        return f"stopped: manymill resume {run} resumes it"
    return _done(last.n_rows, "", last.best_pass, last.passes, last.holdout_accuracy)


def _done(n_rows: int, lanes: str, best_pass: int, passes: int, accuracy: float | None) -> str:
    quality = "no held-out rows" if accuracy is None else f"held-out accuracy {accuracy:.4f}"
    return f"done    {n_rows:,} rows{lanes}, best pass {best_pass} of {passes}, {quality}"


def summary(run: Run) -> str:
    """The last lines of a training."""
    trained, ledger = run.trained, run.ledger
    lines = []
    if ledger.n_rejected:
        listed = f"; see {ledger.path}" if ledger.path is not None else ""
        lines.append(f"bad     {ledger.summary()}{listed}")
    lanes = f" in {trained.lanes} lanes" if trained.lanes > 1 else ""
    accuracy = trained.metrics.accuracy
    lines.append(_done(trained.n_rows, lanes, trained.best_pass, trained.passes, accuracy))
    lines.append(f"saved   {run.folder / 'model'}")
    lines.append(
        f"next    manymill evaluate {run.folder} TEST_FILES   manymill predict {run.folder} NEW_FILES"
    )
    return display.lines(lines)
