"""Whether anybody is there to work: a cluster that has lost all its workers is waited for, but not in silence."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from manymill.log import ENGINE

_log = logging.getLogger(ENGINE)

# Workers come and go within seconds where a cluster is resized.
LOOK_SECONDS = 5.0


class Presence:
    """Looks for workers now and then, on a thread of its own, and tells once that there are none.

    Parameters
    ----------
    count : callable
        The number of workers; what it raises ends the looking.
    waits : callable
        Whether somebody waits for them.
    look_closer : callable, optional
        Called at each look at which there are workers that somebody waits for.
    seconds : float
        From look to look.
    """

    def __init__(
        self,
        count: Callable[[], int],
        waits: Callable[[], bool],
        *,
        look_closer: Callable[[], None] = lambda: None,
        seconds: float = LOOK_SECONDS,
    ) -> None:
        self._count, self._waits, self._seconds = count, waits, seconds
        self._look_closer = look_closer
        self._gone = 0  # looks at which nobody was there
        self._ended = threading.Event()
        threading.Thread(target=self._look_on, name="manymill-presence", daemon=True).start()

    def look(self) -> None:
        """Look once."""
        if not self._waits():
            self._gone = 0
        elif self._count():
            if self._gone > 1:
                _log.warning("The cluster has workers again; the work goes on")
            self._gone = 0
            self._look_closer()
        else:
            self._gone += 1
            if self._gone == 2:  # at one look they may be on their way
                _log.warning(
                    "The cluster has no worker any more; the work waits for some: start them with `dask worker`"
                )

    def end(self) -> None:
        """Look no more."""
        self._ended.set()

    def _look_on(self) -> None:
        has_told = False
        while not self._ended.wait(self._seconds):
            try:
                self.look()
            except Exception as error:  # where the scheduler is gone, whoever waits is told
                if not (has_told or self._ended.is_set()):
                    _log.warning("The workers of the cluster cannot be looked at: %s", error)
                has_told = True
