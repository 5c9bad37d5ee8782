"""What a finished training says: how good, where, and what to do next."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from manymill.linear.run import Run


def summary(run: Run) -> str:
    """Lines for the end of a training."""
    trained, ledger = run.trained, run.ledger
    lines = []
    if ledger.n_rejected:
        listed = f"; see {ledger.path}" if ledger.path is not None else ""
        lines.append(f"bad     {ledger.summary()}{listed}")
    accuracy = trained.measured.accuracy
    quality = "nothing was held out" if accuracy is None else f"held-out accuracy {accuracy:.4f}"
    lines.append(
        f"done    {trained.n_rows:,} rows, pass {trained.best_pass} of {trained.passes} kept, {quality}"
    )
    lines.append(f"saved   {run.folder / 'model'}")
    lines.append(
        f"next    manymill evaluate {run.folder} TEST_FILES   manymill predict {run.folder} NEW_FILES"
    )
    return "\n".join(lines)
