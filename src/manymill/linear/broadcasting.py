"""The state of the driver on its way to the workers: what changed round by round, and now and then all of it."""

from __future__ import annotations

from collections.abc import Callable

from manymill.engine.base import Engine
from manymill.linear.exchange import Arrays
from manymill.linear.lane_tasks import Broadcast

# Rounds whose changes are broadcast one by one before the whole state is again.
_CHANGES = 8


class Broadcasts:
    """What has been broadcast, for workers who may have missed some of it.

    Parameters
    ----------
    engine : Engine
        Where it is published.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.now = Broadcast()

    def change(self, changed: Arrays, whole: Callable[[], Arrays]) -> None:
        """Have the next round start from a state in which these features have new values; ``whole`` gives all of it."""
        if len(self.now.changes) >= _CHANGES:
            self.replace(whole())
            return
        version = self.now.version + 1
        changes = (*self.now.changes, (version, self._engine.publish(changed)))
        self.now = Broadcast(version, self.now.full, changes)

    def replace(self, state: Arrays) -> None:
        """Have the next round start from this state, whatever was broadcast before."""
        version = self.now.version + 1
        published = self._engine.publish(state)
        # Nobody is at work now: every worker loads what it lacks when its next task begins.
        self.withdraw()
        self.now = Broadcast(version, (version, published))

    def withdraw(self) -> None:
        """Take back all that was published."""
        full = () if self.now.full is None else (self.now.full,)
        for _, published in [*full, *self.now.changes]:
            self._engine.withdraw(published)
