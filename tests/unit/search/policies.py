"""Policies with given scores, for tests of rankings and tables."""

from manymill.search.events import Evaluated, Evaluation, Failed, Proposed
from manymill.search.policy import Policy, Rules


def policy_of(scores, n_splits, rungs=(None,), failed=()):
    """A policy of candidates with scores by (trial, split, rung)."""
    policy = Policy(Rules(99, n_splits, rungs=rungs))
    trials = sorted({trial for trial, *_ in [*scores, *failed]})
    policy.replay([Proposed(trial, {"x": trial}) for trial in trials])
    policy.replay([Evaluated(Evaluation(*place), {"score": score}) for place, score in scores.items()])
    policy.replay([Failed(Evaluation(*place), "ValueError: no", "...") for place in failed])
    return policy


def splits(trial, *scores, rung=0):
    """Scores of a candidate on its first splits."""
    return {(trial, split, rung): score for split, score in enumerate(scores)}
