"""A search in a notebook: a table that follows what happens for as long as it runs."""

from __future__ import annotations

import html
import math
import threading
from typing import Any

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
