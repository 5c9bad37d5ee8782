"""Queries to the workers of a Dask cluster, and detection of workers that give no sign of life.

A worker that is stopped or hangs keeps its connection, so Dask gives it up only after five minutes (``worker-ttl``).
Its missing heartbeats, which the scheduler records, show it sooner.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from manymill.engine.heartbeat import SilenceTimer

if TYPE_CHECKING:
    from manymill.engine.dask_plugin import WorkerState

Result = TypeVar("Result")


class DaskWorkers:
    """The workers that a client sees.

    Parameters
    ----------
    client : distributed.Client

    Attributes
    ----------
    is_querying_all : bool
        Whether a query waits for the answers of all workers.
    """

    def __init__(self, client: Any) -> None:
        self._client = client
        self.is_querying_all = False

    def run_on_all(self, function: Callable[..., Result], *arguments: Any) -> dict[str, Result]:
        """Run a function on every worker and return its results by address, without workers that are lost meanwhile.

        Raises
        ------
        Exception
            That of the function.
        """
        self.is_querying_all = True
        try:
            answers = self._client.run(function, *arguments, on_error="return")
        finally:
            self.is_querying_all = False
        results = {address: answer for address, answer in answers.items() if not isinstance(answer, OSError)}
        for result in results.values():
            if isinstance(result, Exception):
                raise result
        return results

    def states(self) -> dict[str, WorkerState]:
        """Return what the scheduler knows of each worker, by address."""
        from manymill.engine.dask_plugin import worker_states

        states: dict[str, WorkerState] = self._client.run_on_scheduler(worker_states, self._client.id)
        return states

    def cpu_seconds(self, address: str) -> float | None:
        """Return the CPU time that the process of a worker has used; None if its nanny does not know."""
        from manymill.engine.dask_plugin import cpu_seconds

        answers = self._client.run(cpu_seconds, workers=[address], nanny=True, on_error="ignore")
        return next(iter(answers.values()), None)

    def give_up(self, address: str) -> None:
        """Move the calls of a worker to others; the worker is killed if it has a nanny."""
        from manymill.engine.dask_plugin import give_up

        self._client.run_on_scheduler(give_up, address)


class HeartbeatMonitor:
    """Finds workers that give no sign of life: no heartbeat, and no CPU time if a nanny reports it.

    Parameters
    ----------
    workers : DaskWorkers
    names : mapping
        Names of the items of unfinished calls, by Dask's keys.
    stall_seconds : float
        A worker that is silent for this long is given up.
    poll_seconds : float
        Time between two checks.
    on_silence, on_loss : callable
        See `Engine`.
    """

    def __init__(
        self,
        workers: DaskWorkers,
        names: Mapping[str, str],
        *,
        stall_seconds: float,
        poll_seconds: float,
        on_silence: Callable[[str, str, float], None],
        on_loss: Callable[[str, str, int], None],
    ) -> None:
        self._workers, self._names = workers, names
        self._stall_seconds, self._poll_seconds = stall_seconds, poll_seconds
        self._on_silence, self._on_loss = on_silence, on_loss
        self._silences: dict[str, SilenceTimer] = {}
        self._signs: dict[str, tuple[float, float | None]] = {}
        self._n_losses: Counter[str] = Counter()

    def check(self) -> None:
        """Check each worker once."""
        workers = self._workers.states()
        self._silences = {
            address: self._silences.get(address) or SilenceTimer(self._poll_seconds) for address in workers
        }
        self._signs = {address: sign for address, sign in self._signs.items() if address in workers}
        for address, worker in workers.items():
            silence = self._silences[address]
            silence.update(self._is_alive(address, worker))
            if not (worker.keys or worker.holds_results or self._workers.is_querying_all):
                continue  # this client does not wait for it
            if silence.seconds >= self._stall_seconds:
                self._give_up(address, worker)
            elif silence.should_warn():
                for name in self._item_names(worker):
                    self._on_silence(name, address, silence.seconds)

    def _is_alive(self, address: str, worker: WorkerState) -> bool:
        before = self._signs.get(address)
        used = None
        # A call that holds Python's global interpreter lock delays Dask's heartbeats, but uses CPU time.
        if before is not None and before[0] == worker.last_seen and worker.has_nanny:
            used = self._workers.cpu_seconds(address)
        self._signs[address] = worker.last_seen, used
        return before is None or before[0] != worker.last_seen or (used is not None and used != before[1])

    def _give_up(self, address: str, worker: WorkerState) -> None:
        names = self._item_names(worker)
        self._workers.give_up(address)
        self._silences.pop(address)
        why = f"its worker ({address}) gave no sign of life for {self._stall_seconds:g} s and was given up"
        for name in names:
            self._n_losses[name] += 1
            self._on_loss(name, why, self._n_losses[name])

    def _item_names(self, worker: WorkerState) -> list[str]:
        """Return the names of the items that wait for a worker."""
        known = {self._names[key] for key in worker.keys if key in self._names}
        return sorted(known) or ["results of earlier calls"]
