import pytest

from manymill.data.dataset import Dataset
from manymill.events import RoundEnded, Warned
from manymill.linear.settings import Settings
from manymill.linear.training import train

# Sorted by label, and large enough to be cut into many blocks.
TEXTS = [
    f"{'fish' if i < 6000 else 'bird'} number {i % 97} of {i % 31} " + "filling words " * 8
    for i in range(12_000)
]
LABELS = ["fish"] * 6000 + ["bird"] * 6000


def events_of(**settings):
    seen = []
    settings = {"passes": 1, "rounds_per_pass": 2, "holdout": 0.0, **settings}
    asked = Settings(n_features=2**12, lanes=4, **settings)
    plan = Dataset.from_memory(TEXTS, LABELS).plan()
    train(plan, asked, on_best=lambda *state: None, observe=seen.append, threads=2)
    return seen


def warnings_of(**settings):
    return [event.message for event in events_of(**settings) if isinstance(event, Warned)]


def test_lanes_of_neighbours_in_a_sorted_source_are_warned_of():
    (message,) = warnings_of(interleaved=False)
    assert "differ in their labels" in message
    assert "--contiguous" in message


def test_interleaved_lanes_of_a_sorted_source_are_alike():
    assert warnings_of(interleaved=True) == []


@pytest.mark.parametrize("rule", ["uniform", "damped", "mass", "magnitude"])
def test_the_rule_asked_for_is_taken_in_every_round(rule):
    rounds = [event for event in events_of(merge=rule) if isinstance(event, RoundEnded)]
    assert [(event.rule, event.step) for event in rounds] == [(rule, 1.0)] * 2


def test_lanes_that_are_merged_once_are_merged_along_mass_by_default():
    (only,) = [event for event in events_of(rounds_per_pass=1) if isinstance(event, RoundEnded)]
    assert only.rule == "mass"
