"""How a search of another process is doing, read from its journal."""

from __future__ import annotations

import os
from dataclasses import dataclass

from manymill.search.journal import events_of
from manymill.search.policy import Policy, Rules
from manymill.search.ranking import Ranked, ranking


@dataclass(frozen=True, slots=True)
class Standing:
    """What a journal tells so far."""

    policy: Policy
    ended: str  # why; empty while it is not over

    def rows(self) -> list[Ranked]:
        """The ranking."""
        return ranking(self.policy)

    def __str__(self) -> str:
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
    events, told, ended = events_of(folder)
    rules = Rules(
        told["n_trials"], told["n_splits"], tuple(told["rungs"]), told["eta"], metric=told["metric"]
    )
    policy = Policy(rules)
    policy.replay(events)
    return Standing(policy, ended)
