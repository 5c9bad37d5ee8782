"""Policies that were told scores, for tests of what is read off them."""

from manymill.search.events import Evaluated, Failed, Proposed, Task
from manymill.search.policy import Policy, Rules


def policy_of(scores, n_splits, rungs=(None,), failed=()):
    """A policy of candidates with scores by (trial, split, rung)."""
    policy = Policy(Rules(99, n_splits, rungs=rungs))
    trials = sorted({trial for trial, *_ in [*scores, *failed]})
    policy.replay([Proposed(trial, {"x": trial}) for trial in trials])
    policy.replay([Evaluated(Task(*place), {"score": score}) for place, score in scores.items()])
    policy.replay([Failed(Task(*place), "ValueError: no", "...") for place in failed])
    return policy


def splits(trial, *scores, rung=0):
    """Scores of a candidate on its first splits."""
    return {(trial, split, rung): score for split, score in enumerate(scores)}
