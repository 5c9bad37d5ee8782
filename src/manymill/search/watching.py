"""How a search of another process is doing, read from its journal."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

from manymill.search.journal import FORMAT, records
from manymill.search.policy import Policy, Rules
from manymill.search.ranking import Ranked, ranking
from manymill.search.steps import Evaluated, Event, Exhausted, Failed, Proposed, Task


class Standing:
    """What a journal tells so far; take its records as they come."""

    def __init__(self) -> None:
        self.policy: Policy | None = None
        self.ended = ""

    def take(self, record: dict[str, Any]) -> None:
        """One more record."""
        if record.get("format") == FORMAT:
            told = record["settings"]
            self.policy = Policy(
                Rules(
                    told["n_trials"],
                    told["n_splits"],
                    tuple(told["rungs"]),
                    told["eta"],
                    metric=told["metric"],
                )
            )
        elif record["event"] == "Ended":
            self.ended = record["why"]
        elif self.policy is not None and (event := _event(record)) is not None:
            self.ended = ""
            self.policy.replay([event])

    def rows(self) -> list[Ranked]:
        """The ranking."""
        return [] if self.policy is None else ranking(self.policy)

    def __str__(self) -> str:
        if self.policy is None:
            return "no search has begun"
        counts = self.policy.counts
        state = self.ended or f"{counts['pending']:,} not done yet"
        return f"{counts['done']:,} evaluations done, {counts['failed']:,} failed; {state}"


def standing(folder: str | os.PathLike[str]) -> Standing:
    """How the search in a run folder stands.

    Raises
    ------
    RunFolderError
        If there is none.
    """
    out = Standing()
    _take_all(out, records(folder))
    return out


def _take_all(out: Standing, told: Iterable[dict[str, Any]]) -> None:
    for record in told:
        out.take(record)


def _event(record: dict[str, Any]) -> Event | None:
    told = dict(record)
    name = told.pop("event")
    if name == "Proposed":
        return Proposed(told["trial"], told["shown"])
    if name == "Exhausted":
        return Exhausted()
    kinds: dict[str, Any] = {"Evaluated": Evaluated, "Failed": Failed}
    if name in kinds:
        event: Event = kinds[name](Task(**told.pop("task")), **told)
        return event
    return None
