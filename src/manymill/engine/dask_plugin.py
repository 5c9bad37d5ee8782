"""Functions and a plugin that run in the Dask scheduler, and in the nannies of workers.

All access to parts of the scheduler that are not its API is here. Tested with distributed 2026.8.

A call that prefers a worker may run on any other. But if all workers are lost at once, Dask lets such calls wait
forever for the preferred one, even if other workers join. The plugin drops the preference.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from distributed import SchedulerPlugin

# A nanny kills a process that has not ended after 4 s.
_KILL_SECONDS = 12


@dataclass(frozen=True, slots=True)
class WorkerState:
    """What the scheduler knows of a worker."""

    last_seen: float  # by the scheduler's clock
    has_nanny: bool
    keys: tuple[str, ...]  # the client's calls that wait on this worker or run there
    holds_results: bool  # whether it holds results that the client needs


def worker_states(client: str, dask_scheduler: Any) -> dict[str, WorkerState]:
    """Return the states of all workers by address, as a client sees them; runs in the scheduler."""

    def is_wanted(task: Any) -> bool:
        # The client wants the task itself, or one that depends on it.
        return any(one.client_key == client for t in (task, *task.dependents) for one in t.who_wants or ())

    return {
        worker.address: WorkerState(
            worker.last_seen,
            worker.nanny is not None,
            tuple(str(task.key) for task in worker.processing if is_wanted(task)),
            any(is_wanted(task) for task in worker.has_what),
        )
        for worker in dask_scheduler.workers.values()
    }


async def give_up(address: str, dask_scheduler: Any) -> None:
    """Kill a worker if it has a nanny, else remove it; its calls go to others. Runs in the scheduler."""
    await dask_scheduler.restart_workers(
        [address],
        timeout=_KILL_SECONDS,
        wait_for_workers=False,
        on_error="return",
        stimulus_id=f"manymill-stall-{time.time()}",
    )


def cpu_seconds(dask_worker: Any) -> float | None:
    """Return the CPU time that the process of a worker has used; runs in its nanny."""
    import psutil

    try:
        times = psutil.Process(dask_worker.process.pid).cpu_times()
    except (psutil.Error, AttributeError):  # the process is being restarted
        return None
    return float(times.user + times.system)


class DropLostWorkerPreference(SchedulerPlugin):
    """Let calls that wait for a lost worker run on the worker that joins."""

    name = "manymill-drop-lost-worker-preference"
    idempotent = True

    def add_worker(self, scheduler: Any, worker: str) -> None:
        """Drop the preferences; called before the scheduler looks for calls that the new worker can run."""
        for task in scheduler.unrunnable:
            if task.loose_restrictions:
                task.worker_restrictions = None
                task.host_restrictions = None
