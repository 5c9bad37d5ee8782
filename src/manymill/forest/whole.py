"""The trees of one ensemble on all rows, grown by many workers: scikit-learn's own calls, on arrays that are shared."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sklearn.ensemble._bagging import BaseBagging

from manymill.engine.base import Engine
from manymill.engine.shared_arrays import Shared, share, worth_sharing, writable
from manymill.forest.grown import Grown
from manymill.forest.planning import Call


@dataclass(frozen=True, slots=True)
class Slot:
    """The place of a shared array among the arguments of a call."""

    name: str


@dataclass(frozen=True, slots=True, eq=False)
class WholeTask:
    """One tree on all rows."""

    number: int
    call: Call
    shared: Shared

    @property
    def name(self) -> str:
        """What messages call it."""
        return f"tree {self.number}"

    def grow(self) -> Grown:
        """Grow the tree: the call of scikit-learn, given the shared arrays."""
        start = time.perf_counter()
        arrays = self.shared.load()
        if any(
            isinstance(arg, BaseBagging) for arg in self.call.args
        ):  # members look at the values themselves
            arrays = {name: writable(array) for name, array in arrays.items()}
        args = [arrays[arg.name] if isinstance(arg, Slot) else arg for arg in self.call.args]
        kwargs = {
            key: arrays[arg.name] if isinstance(arg, Slot) else arg for key, arg in self.call.kwargs.items()
        }
        made = self.call.function(*args, **kwargs)
        tree, features = (made[0][0], made[1][0]) if isinstance(made, tuple) else (made, None)
        return Grown(self.number, tree, features, seconds=time.perf_counter() - start)


def whole_tasks(
    calls: Sequence[Call], engine: Engine, first: int, original: Callable[[Any], Any] = lambda arg: arg
) -> list[WholeTask]:
    """A task a call; what is large among their arguments is shared: its original, if it is the view of one."""
    slots: dict[int, Slot] = {}
    large: dict[str, Any] = {}

    def slotted(arg: Any) -> Any:
        if not worth_sharing(arg):
            return arg
        if id(arg) not in slots:
            slots[id(arg)] = Slot(f"array{len(slots)}")
            large[slots[id(arg)].name] = original(arg)
        return slots[id(arg)]

    thin = [
        Call(
            call.function,
            tuple(slotted(arg) for arg in call.args),
            {key: slotted(arg) for key, arg in call.kwargs.items()},
        )
        for call in calls
    ]
    shared = share(engine, large)
    return [WholeTask(first + index, call, shared) for index, call in enumerate(thin)]
