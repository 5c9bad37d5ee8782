"""The workers of a Dask cluster: what is asked of all of them, and which give no sign of life.

A worker that is stopped or hangs keeps its connection, so that Dask gives it up after five minutes only
(``worker-ttl``). Its heartbeats, which the scheduler notes, are missed sooner.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from manymill.engine.heartbeat import Silence

if TYPE_CHECKING:
    from manymill.engine.dask_plugin import SeenWorker

Result = TypeVar("Result")


class DaskWorkers:
    """The workers that a client sees.

    Parameters
    ----------
    client : distributed.Client

    Attributes
    ----------
    all_are_asked : bool
        Whether an answer of every worker is being waited for.
    """

    def __init__(self, client: Any) -> None:
        self._client = client
        self.all_are_asked = False

    def ask(self, function: Callable[..., Result], *arguments: Any) -> dict[str, Result]:
        """What a function gives on every worker, by address; without those that are lost meanwhile.

        Raises
        ------
        Exception
            That of the function.
        """
        self.all_are_asked = True
        try:
            came = self._client.run(function, *arguments, on_error="return")
        finally:
            self.all_are_asked = False
        answers = {address: answer for address, answer in came.items() if not isinstance(answer, OSError)}
        for answer in answers.values():
            if isinstance(answer, Exception):
                raise answer
        return answers

    def seen(self) -> dict[str, SeenWorker]:
        """What the scheduler knows of each worker, by address."""
        from manymill.engine.dask_plugin import seen_workers

        workers: dict[str, SeenWorker] = self._client.run_on_scheduler(seen_workers, self._client.id)
        return workers

    def processor_seconds(self, address: str) -> float | None:
        """What the process of a worker has used of the processor, by its nanny; None if that does not know."""
        from manymill.engine.dask_plugin import processor_seconds

        answers = self._client.run(processor_seconds, workers=[address], nanny=True, on_error="ignore")
        return next(iter(answers.values()), None)

    def give_up(self, address: str) -> None:
        """Have the calls of a worker done by others; it is killed where it has a nanny."""
        from manymill.engine.dask_plugin import give_up

        self._client.run_on_scheduler(give_up, address)


class Heartbeats:
    """Finds workers that give no sign of life: no heartbeat, and no work of the processor where a nanny sees that.

    Parameters
    ----------
    workers : DaskWorkers
    names : mapping
        The item of each call that is out, by Dask's key.
    stall_seconds : float
        A worker that is silent for so long is given up.
    look_seconds : float
        From look to look.
    on_silence, on_loss : callable
        See `Engine`.
    """

    def __init__(
        self,
        workers: DaskWorkers,
        names: Mapping[str, str],
        *,
        stall_seconds: float,
        look_seconds: float,
        on_silence: Callable[[str, str, float], None],
        on_loss: Callable[[str, str, int], None],
    ) -> None:
        self._workers, self._item_names = workers, names
        self._stall_seconds, self._look_seconds = stall_seconds, look_seconds
        self._on_silence, self._on_loss = on_silence, on_loss
        self._silences: dict[str, Silence] = {}
        self._signs: dict[str, tuple[float, float | None]] = {}
        self._losses: Counter[str] = Counter()

    def look(self) -> None:
        """Look at each worker once."""
        workers = self._workers.seen()
        self._silences = {
            address: self._silences.get(address) or Silence(self._look_seconds) for address in workers
        }
        self._signs = {address: sign for address, sign in self._signs.items() if address in workers}
        for address, worker in workers.items():
            silence = self._silences[address]
            silence.look(self._is_alive(address, worker))
            if not (worker.keys or worker.holds or self._workers.all_are_asked):
                continue  # nobody here waits for it
            if silence.seconds >= self._stall_seconds:
                self._give_up(address, worker)
            elif silence.is_news():
                for name in self._names(worker):
                    self._on_silence(name, address, silence.seconds)

    def _is_alive(self, address: str, worker: SeenWorker) -> bool:
        before = self._signs.get(address)
        used = None
        # A call that holds Python's global lock keeps Dask's heartbeats back, but uses the processor.
        if before is not None and before[0] == worker.last_seen and worker.has_nanny:
            used = self._workers.processor_seconds(address)
        self._signs[address] = worker.last_seen, used
        return before is None or before[0] != worker.last_seen or (used is not None and used != before[1])

    def _give_up(self, address: str, worker: SeenWorker) -> None:
        names = self._names(worker)
        self._workers.give_up(address)
        self._silences.pop(address)
        why = f"its worker ({address}) gave no sign of life for {self._stall_seconds:g} s and was given up"
        for name in names:
            self._losses[name] += 1
            self._on_loss(name, why, self._losses[name])

    def _names(self, worker: SeenWorker) -> list[str]:
        """The items that wait for a worker."""
        known = {self._item_names[key] for key in worker.keys if key in self._item_names}
        return sorted(known) or ["results of earlier calls"]
