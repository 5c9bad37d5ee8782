"""How many classes the promised memory has room for: asked whenever a training meets a class that the plan lacks.

In: numbers of classes and the memory that a training of so many needs. Out: an error in order, or events that say what
the training takes now.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from manymill.data.dataset import Plan
from manymill.display import quoted
from manymill.errors import MemoryLimitError
from manymill.events import ClassesFound, Observer, Warned
from manymill.linear.memory import available_bytes, megabytes, memory_need
from manymill.linear.settings import Settings
from manymill.linear.sizes import state_bytes

# A training that takes more than this times what the plan said is told of.
_WORTH_A_WARNING = 1.1


@dataclass(frozen=True, slots=True)
class Knobs:
    """What the settings that help are called at the interface that is used."""

    classes: str
    n_features: str
    label: str
    memory: str | None  # None: there is no such setting
    engine: str
    lanes: str


OPTIONS = Knobs(
    "--classes", "--n-features", "--label", "--memory", "--engine, --workers or --stall-seconds", "--lanes"
)
PARAMETERS = Knobs("scan(..., classes=...)", "n_features", "scan(..., label=...)", None, "engine", "lanes")


class ClassLimit:
    """The memory that was promised for a training, and whether further classes fit in it.

    Parameters
    ----------
    need : callable
        Bytes that a training of so many classes takes at most, by the number of classes and of features.
    n_features : int
        Features of the training.
    n_planned : int
        Classes of the plan.
    limit : int or None
        Bytes promised; None: what the machine has available now.
    observe : callable
        Called with events.
    knobs : Knobs
        Names of settings, for messages.
    """

    def __init__(
        self,
        need: Callable[[int, int], int],
        n_features: int,
        n_planned: int,
        *,
        limit: int | None,
        observe: Observer = lambda event: None,
        knobs: Knobs = PARAMETERS,
    ) -> None:
        self._need, self._n_features, self._n_planned = need, n_features, n_planned
        self._is_given = limit is not None
        self._allowed = limit if limit is not None else available_bytes()
        self._observe, self._knobs = observe, knobs
        self._planned_bytes = self._warned_bytes = need(n_planned, n_features)

    @classmethod
    def of_training(
        cls,
        plan: Plan,
        settings: Settings,
        n_planned: int,
        *,
        threads: int,
        limit: int | None,
        observe: Observer = lambda event: None,
        knobs: Knobs = PARAMETERS,
    ) -> ClassLimit:
        """The limit of a training of a plan, with settings whose number of features is known."""

        def need(n_classes: int, n_features: int) -> int:
            asked = replace(settings, n_features=n_features)
            return memory_need(plan, asked, threads=threads, n_classes=n_classes).total

        n_features = settings.analyzer.n_features
        return cls(need, n_features, n_planned, limit=limit, observe=observe, knobs=knobs)

    def check_plan(self) -> None:
        """Refuse a training whose model is too large to begin with.

        Raises
        ------
        MemoryLimitError
            With the memory needed and the settings that help.
        """
        needed = _state_bytes(self._n_features, self._n_planned)
        if needed <= self._allowed:
            return
        raise MemoryLimitError(
            f"a model of {self._n_planned:,} classes and {self._n_features:,} features needs {megabytes(needed)} of "
            f"memory, {self._has_allowed()}",
            self._way_out(0, self._n_planned, needed),
        )

    def check(self, n_known: int, new: Sequence[str], where: str = "") -> None:
        """Refuse further classes if the training would then take more than was promised.

        Parameters
        ----------
        n_known : int
            Classes so far.
        new : sequence of str
            The further ones.
        where : str
            File and row of the first of them, if they are known.

        Raises
        ------
        MemoryLimitError
            With the number of classes, one of them, the memory needed and the settings that help.
        """
        n_classes = n_known + len(new)
        if n_classes <= max(2, self._n_planned):  # the state of one class is that of two
            return
        # The old state is there until the new one has its weights.
        needed = self._need(n_classes, self._n_features) + _old_bytes(self._n_features, n_known)
        if needed <= self._allowed:
            return
        at = f" in {where}" if where else ""
        raise MemoryLimitError(
            f"{n_classes:,} classes were met, {n_classes - self._n_planned:,} of which the plan did not have (such as "
            f"{quoted(new[0])}{at}): the training would need {megabytes(needed)} of memory, {self._has_allowed()}",
            self._way_out(n_known, n_classes, needed),
        )

    def found(self, n_known: int, new: Sequence[str]) -> None:
        """Tell of classes that are learnt from now on, and of the memory if that is more than the plan said."""
        n_classes = n_known + len(new)
        self._observe(ClassesFound(tuple(new), n_classes))
        n_bytes = self._need(n_classes, self._n_features)
        if n_bytes <= _WORTH_A_WARNING * self._warned_bytes:
            return
        # The next warning comes when it has about doubled.
        self._warned_bytes = 2 * n_bytes
        self._observe(
            Warned(
                f"{n_classes:,} classes were met, the plan had {self._n_planned:,} (new: {quoted(new[0])}): the "
                f"training may take {megabytes(n_bytes)} of memory instead of {megabytes(self._planned_bytes)}, "
                f"{megabytes(_state_bytes(self._n_features, n_classes))} of it for the model. If these are not "
                f"classes, name those to learn with {self._knobs.classes}, or another column with "
                f"{self._knobs.label}"
            )
        )

    def admit(self, n_known: int, new: Sequence[str], where: str = "") -> None:
        """Refuse further classes (:meth:`check`), or tell of them (:meth:`found`)."""
        self.check(n_known, new, where)
        self.found(n_known, new)

    def _has_allowed(self) -> str:
        whose = "the limit is" if self._is_given else "this machine had available only"
        return f"{whose} {megabytes(self._allowed)}"

    def _way_out(self, n_known: int, n_classes: int, needed: int) -> str:
        knobs = self._knobs
        ways = [f"name the classes to learn with {knobs.classes} or, if these are not labels, another column with "
                f"{knobs.label}"]  # fmt: skip
        if knobs.memory is not None:
            ways.append(f"allow {megabytes(needed)} with {knobs.memory}")
        for shift in range(1, 30):
            fewer = self._n_features >> shift
            if fewer < 1024:
                ways.append(f"{knobs.n_features} takes less memory the lower it is")
                break
            need = self._need(n_classes, fewer) + _old_bytes(fewer, n_known)
            if need <= self._allowed:
                ways.append(f"use {knobs.n_features} {fewer}, which needs {megabytes(need)}")
                break
        return "; ".join(ways)


def _state_bytes(n_features: int, n_classes: int) -> int:
    return state_bytes(n_features, 1 if n_classes <= 2 else n_classes)


def _old_bytes(n_features: int, n_classes: int) -> int:
    """Bytes of the state that is there before classes are added; none before anything was learnt."""
    return _state_bytes(n_features, n_classes) if n_classes else 0
