"""What runs in the Dask scheduler, and in the nannies of workers.

A preference for a worker that is gone is dropped: a call that prefers a worker may go to any other. But where all
workers are lost at once, Dask (seen in 2026.8) lets such calls wait for ever for one that will not come back, though
others do.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from distributed import SchedulerPlugin

# A nanny kills a process that does not end by itself after 4 s.
_KILL_SECONDS = 12


@dataclass(frozen=True, slots=True)
class SeenWorker:
    """What a scheduler knows of a worker."""

    last_seen: float  # by the scheduler's clock
    has_nanny: bool
    keys: tuple[str, ...]  # of the client's calls that it has to do
    holds: bool  # whether it has results that the client wants


def seen_workers(client: str, dask_scheduler: Any) -> dict[str, SeenWorker]:
    """All workers by address, as a client sees them; runs in the scheduler."""

    def is_wanted(task: Any) -> bool:
        # What is wanted itself, or for something that is.
        return any(one.client_key == client for t in (task, *task.dependents) for one in t.who_wants or ())

    return {
        worker.address: SeenWorker(
            worker.last_seen,
            worker.nanny is not None,
            tuple(str(task.key) for task in worker.processing if is_wanted(task)),
            any(is_wanted(task) for task in worker.has_what),
        )
        for worker in dask_scheduler.workers.values()
    }


async def give_up(address: str, dask_scheduler: Any) -> None:
    """Kill a worker where it has a nanny, and forget it otherwise; its calls go to others. Runs in the scheduler."""
    await dask_scheduler.restart_workers(
        [address],
        timeout=_KILL_SECONDS,
        wait_for_workers=False,
        on_error="return",
        stimulus_id=f"manymill-stall-{time.time()}",
    )


def processor_seconds(dask_worker: Any) -> float | None:
    """What the process of a worker has used of the processor; runs in its nanny."""
    import psutil

    try:
        told = psutil.Process(dask_worker.process.pid).cpu_times()
    except (psutil.Error, AttributeError):  # it is being started again
        return None
    return float(told.user + told.system)


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
