"""A preference for a worker that is gone is dropped; lives in the Dask scheduler.

A call that prefers a worker may go to any other. But where all workers are lost at once, Dask (seen in 2026.8)
lets such calls wait for ever for one that will not come back, though others do.
"""

from __future__ import annotations

from typing import Any

from distributed import SchedulerPlugin


class ForgetLostPlaces(SchedulerPlugin):
    """Lets what waits without a worker run on the worker that joins."""

    name = "manymill-places"
    idempotent = True

    def add_worker(self, scheduler: Any, worker: str) -> None:
        """Called by the scheduler before it looks what the new worker can do."""
        for task in scheduler.unrunnable:
            if task.loose_restrictions:
                task.worker_restrictions = None
                task.host_restrictions = None
