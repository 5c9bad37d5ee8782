"""How a search of another process is doing, read from its journal."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from manymill.search.journal import events_of
from manymill.search.policy import Policy, Rules
from manymill.search.ranking import Ranked, ranking
from manymill.storage.journal import is_at_work


@dataclass(frozen=True, slots=True)
class Standing:
    """What a journal tells so far."""

    policy: Policy
    begun: bool  # the data has been read
    at_work: bool  # a process is at it
    ended: str  # why; empty while it is not over

    def rows(self) -> list[Ranked]:
        """The ranking."""
        return ranking(self.policy)

    def __str__(self) -> str:
        counts = self.policy.counts
        left = f"{counts['pending']:,} not done yet" if self.begun else "preparing the data"
        killed = "" if self.at_work else "; no process is at it: the same command goes on"
        return (
            f"{counts['done']:,} evaluations done, {counts['failed']:,} failed; {self.ended or left + killed}"
        )


def standing(folder: str | os.PathLike[str]) -> Standing:
    """How the search in a run folder stands.

    Raises
    ------
    RunFolderError
        If there is none.
    """
    # Asked before reading: what was written before the process ended is then read.
    at_work = is_at_work(Path(folder))
    events, told, ended = events_of(folder)
    policy = Policy(_rules(told) if told else Rules(n_trials=0, n_splits=1))
    policy.replay(events)
    return Standing(policy, bool(told), at_work, ended)


def _rules(told: dict[str, Any]) -> Rules:
    return Rules(told["n_trials"], told["n_splits"], tuple(told["rungs"]), told["eta"], metric=told["metric"])
