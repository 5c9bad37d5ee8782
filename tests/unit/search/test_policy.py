"""The policy of a search, given events in any order."""

import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from manymill.search.events import (
    Aborted,
    Cancelled,
    End,
    Evaluate,
    Evaluated,
    Evaluation,
    Exhausted,
    Failed,
    OutOfTime,
    Propose,
    Proposed,
)
from manymill.search.policy import Policy, Rules


class Play:
    """A driver without workers: answers what the policy instructs, in an order that a test chooses."""

    def __init__(self, rules, score=lambda task: task.trial, n_listed=10**9):
        self.policy, self.score, self.n_listed = Policy(rules), score, n_listed
        self.out, self.log, self.ran, self.end = [], [], [], None
        self.follow(self.policy.begin())

    def follow(self, instructions):
        for instruction in instructions:
            match instruction:
                case Evaluate(task):
                    self.out.append(task)
                    self.ran.append(task)
                case Propose(trial):
                    more = trial < self.n_listed
                    self.tell(Proposed(trial, {"x": trial}) if more else Exhausted())
                case End(why):
                    self.end = why

    def tell(self, event):
        self.log.append(event)
        self.follow(self.policy.on(event))
        counts = self.policy.counts
        assert min(counts.values()) >= 0
        assert counts["running"] == len(self.out) - isinstance(event, Propose)

    def answer(self, place=0):
        task = self.out.pop(place)
        self.log.append(event := Evaluated(task, {"score": self.score(task)}))
        self.follow(self.policy.on(event))

    def finish(self):
        while self.out:
            self.answer()
        return self


def test_each_task_is_run_once_and_the_counts_add_up():
    play = Play(Rules(5, 3, width=2)).finish()
    assert sorted(play.ran) == [Evaluation(trial, split) for trial in range(5) for split in range(3)]
    assert play.end == "done"
    assert play.policy.counts["done"] == play.policy.total == 15


def test_every_candidate_has_one_split_before_any_has_two():
    play = Play(Rules(6, 4)).finish()
    assert [task.split for task in play.ran[:6]] == [0] * 6
    assert {task.trial for task in play.ran[:6]} == set(range(6))


def test_the_leader_is_completed_first():
    play = Play(Rules(6, 3), score=lambda task: -abs(task.trial - 2)).finish()
    assert [task.trial for task in play.ran[6:8]] == [2, 2]


def test_candidates_that_depend_on_scores_are_completed_one_by_one():
    play = Play(Rules(3, 2, adaptive=True)).finish()
    assert [task.trial for task in play.ran] == [0, 0, 1, 1, 2, 2]


def test_no_more_is_out_than_workers_take():
    play = Play(Rules(10, 3, width=4))
    while play.out:
        assert len(play.out) <= 4
        play.answer(len(play.out) // 2)


def test_a_list_that_is_shorter_ends_the_search():
    play = Play(Rules(100, 2), n_listed=3).finish()
    assert (play.end, play.policy.total) == ("done", 6)


def test_halving_gives_more_to_one_in_three():
    play = Play(Rules(27, 1, rungs=(10, 30, 90), eta=3)).finish()
    ran = {resource: [t.trial for t in play.ran if t.resource == resource] for resource in (10, 30, 90)}
    assert (len(ran[10]), len(ran[30]) >= 9, len(ran[90]) >= 3) == (27, True, True)
    assert {24, 25, 26} <= set(ran[30])
    assert 26 in ran[90]
    assert play.policy.counts["done"] == len(play.ran)


def test_halving_promotes_before_the_rung_is_full():
    play = Play(Rules(27, 1, rungs=(10, 30), eta=3), score=lambda task: -task.trial).finish()
    first = next(place for place, task in enumerate(play.ran) if task.rung == 1)
    assert first == 3


def test_a_failed_split_is_counted_and_the_others_go_on():
    play = Play(Rules(3, 2))
    play.tell(Failed(play.out.pop(), "ValueError: no", "..."))
    play.finish()
    assert (play.policy.counts["failed"], play.policy.counts["done"], play.end) == (1, 5, "done")


def test_a_candidate_that_failed_is_not_promoted():
    play = Play(Rules(6, 1, rungs=(1, 2), eta=2), score=lambda task: math.nan if task.trial == 5 else 1.0)
    play.finish()
    assert 5 not in {task.trial for task in play.ran if task.rung}


@pytest.mark.parametrize(("event", "why"), [(Aborted(), "aborted"), (OutOfTime(), "out of time")])
def test_after_an_abort_what_runs_is_awaited_and_nothing_else_begun(event, why):
    play = Play(Rules(10, 2, width=3))
    play.tell(event)
    assert play.end is None
    play.answer()
    play.tell(Cancelled(play.out.pop()))
    play.answer()
    assert play.end == why
    assert dict(play.policy.counts) == {
        "pending": 0,
        "running": 0,
        "done": 2,
        "failed": 0,
        "cancelled": 18,
    }


def test_no_more_evaluations_are_begun_than_the_budget_allows():
    play = Play(Rules(10, 3, max_evaluations=7, width=2)).finish()
    assert (len(play.ran), play.end) == (7, "out of evaluations")


def test_the_same_events_give_the_same_instructions():
    rules = Rules(20, 2, rungs=(1, 3, 9), width=3)
    play = Play(rules)
    generator = random.Random(0)
    while play.out:
        play.answer(generator.randrange(len(play.out)))
    again = Policy(rules)
    ran = [i.task for i in again.begin() if isinstance(i, Evaluate)]
    for event in play.log:
        ran += [i.task for i in again.on(event) if isinstance(i, Evaluate)]
    assert ran == play.ran


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_whatever_happens_the_counts_add_up_and_a_replay_repeats_nothing(data):
    halving = data.draw(st.booleans())
    rules = Rules(
        data.draw(st.integers(1, 9)),
        data.draw(st.integers(1, 3)),
        rungs=(1, 2, 4) if halving else (None,),
        eta=2,
        width=data.draw(st.integers(1, 4)),
        adaptive=data.draw(st.booleans()),
        max_evaluations=data.draw(st.none() | st.integers(1, 12)),
    )
    scores = random.Random(data.draw(st.integers(0, 99)))
    play = Play(rules, score=lambda task: scores.choice([0.1, 0.5, 0.9, math.nan]))
    for _ in range(data.draw(st.integers(0, 25))):
        if not play.out:
            break
        place = data.draw(st.integers(0, len(play.out) - 1))
        match data.draw(st.sampled_from("aaaafx")):
            case "a":
                play.answer(place)
            case "f":
                play.tell(Failed(play.out.pop(place), "no", "no"))
            case "x" if data.draw(st.integers(0, 5)) == 0:
                play.tell(Aborted())
    finished = {event.task for event in play.log if isinstance(event, Evaluated | Failed)}
    resumed = Play(Rules(0, 1))
    resumed.policy, resumed.end = Policy(rules), None
    resumed.policy.replay(play.log)
    assert resumed.policy.counts["done"] + resumed.policy.counts["failed"] == len(finished)
    resumed.follow(resumed.policy.begin())
    resumed.finish()
    assert not finished & set(resumed.ran)
    assert len(set(resumed.ran)) == len(resumed.ran)
    assert resumed.policy.ended
    assert resumed.policy.counts["pending"] == resumed.policy.counts["running"] == 0


class Books(RuleBasedStateMachine):
    """What happened is written down beside the policy, which must count the same after every event."""

    @initialize(
        n_trials=st.integers(1, 6),
        n_splits=st.integers(1, 3),
        halving=st.booleans(),
        width=st.integers(1, 5),
        budget=st.none() | st.integers(1, 9),
        adaptive=st.booleans(),
        n_listed=st.integers(0, 8),
    )
    def begin(self, n_trials, n_splits, halving, width, budget, adaptive, n_listed):
        rungs = (1, 2, 4) if halving else (None,)
        rules = Rules(n_trials, n_splits, rungs, 2, budget, width=width, adaptive=adaptive)
        self.play = Play(rules, n_listed=n_listed)
        self.done, self.failed, self.stopped = set(), set(), False

    @precondition(lambda self: self.play.out)
    @rule(data=st.data(), what=st.sampled_from(["done", "done", "nan", "failed", "dropped"]))
    def answer(self, data, what):
        task = self.play.out.pop(data.draw(st.integers(0, len(self.play.out) - 1)))
        if what in ("done", "nan"):
            self.done.add(task)
            score = data.draw(st.sampled_from([0.1, 0.5, 0.9])) if what == "done" else math.nan
            self.play.tell(Evaluated(task, {"score": score}))
        elif what == "failed":
            self.failed.add(task)
            self.play.tell(Failed(task, "no", "no"))
        elif self.stopped:  # tasks are dropped after an abort alone
            self.play.tell(Cancelled(task))
        else:
            self.play.out.append(task)

    @rule(event=st.sampled_from([Aborted(), OutOfTime()]), n=st.integers(0, 7))
    def stop(self, event, n):
        if n == 0 and self.play.end is None:
            self.stopped = True
            self.play.tell(event)

    @invariant()
    def the_books_agree(self):
        policy, out = self.play.policy, self.play.out
        counts, rules = policy.counts, policy.rules
        assert (counts["done"], counts["failed"]) == (len(self.done), len(self.failed))
        assert counts["running"] == len(out) == len(set(out)) <= rules.width
        assert min(counts.values()) >= 0
        exhausted = any(isinstance(event, Exhausted) for event in self.play.log)
        n_trials = len(policy.params) if exhausted else rules.n_trials
        begun_above = {(task.trial, task.rung) for task in self.play.ran if task.rung}
        assert policy.total >= (n_trials + len(begun_above)) * rules.n_splits
        if len(rules.rungs) == 1:
            assert policy.total == n_trials * rules.n_splits
        assert not (self.done | self.failed) & set(out)
        assert (self.play.end is not None) == (not out)
        if self.play.end is not None:
            assert counts["pending"] == 0


TestBooks = Books.TestCase
TestBooks.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
