"""Samplers of candidates, and their replay in a resumed search."""

import json

import numpy as np
import pytest
from scipy import stats
from sklearn.model_selection import ParameterGrid

from manymill.errors import SettingsError
from manymill.search import optuna_samplers
from manymill.search.distributions import Integers, LogUniform, Uniform
from manymill.search.samplers import decode_proposal, encode_proposal, make_proposer, parameter_spaces

SPACES = {
    "logspace": {"C": np.logspace(-3, 3, 7)},
    "range": {"n": range(1000, 2000, 100)},
    "nan": {"missing": np.array([1.0, 2.0, np.nan])},
    "arrays": {"weights": [np.zeros(2), np.ones(2)], "other": [None, "a", (1, 2), 1, True, 1.0]},
    "scipy": {"C": stats.loguniform(1e-3, 1e3), "n": stats.randint(1, 9), "u": stats.uniform(0, 2)},
    "ours": {"C": LogUniform(1e-3, 1e3), "n": Integers(1, 9, log=True), "u": Uniform(0, 2)},
}


def candidates(proposer, n):
    return [proposer.ask() for _ in range(n)]


@pytest.mark.parametrize("sampler", ["random", "tpe"])
@pytest.mark.parametrize("name", SPACES)
def test_a_search_that_was_killed_goes_on_with_candidates_it_told_its_journal(sampler, name):
    spaces = parameter_spaces(SPACES[name])
    asked = candidates(make_proposer(sampler, SPACES[name], 4, 0), 2)
    proposals = [
        decode_proposal(spaces, json.loads(json.dumps(encode_proposal(spaces, proposal))))
        for proposal in asked
    ]
    assert str(proposals) == str(asked)
    resumed = make_proposer(sampler, SPACES[name], 4, 0)
    for trial, proposal in enumerate(proposals):
        resumed.replay(trial, proposal)
        resumed.tell(trial, 0.5)
    assert resumed.ask() is not None


@pytest.mark.parametrize("sampler", ["tpe", "qmc", "nsgaii"])
def test_a_sampler_that_goes_on_does_not_begin_with_the_first_candidates(sampler):
    space = {"C": LogUniform(1e-3, 1e3), "u": Uniform(0, 1)}
    first = candidates(make_proposer(sampler, space, 9, 0), 3)
    resumed = make_proposer(sampler, space, 9, 0)
    for trial, proposal in enumerate(first):
        resumed.replay(trial, proposal)
    assert not any(proposal in first for proposal in candidates(resumed, 4))


@pytest.mark.parametrize("sampler", ["grid", "auto", "random", "tpe", "qmc"])
def test_the_first_candidate_is_the_given_one_also_when_a_search_resumes(sampler):
    space = {
        "C": [0.1, 1, 10],
        "kernel": ["linear", "rbf", None],
        "u": [Uniform(0, 1), [0.2, 0.4]][sampler == "grid"],
    }
    given = {"C": 10, "u": 0.4, "kernel": None}
    whole = candidates(make_proposer(sampler, space, 6, 0, first=given), 6)
    assert whole[0].params == given
    resumed = make_proposer(sampler, space, 6, 0, first=given)
    resumed.replay(0, whole[0])
    rest = candidates(resumed, 5)
    assert whole[0] not in rest
    if sampler != "tpe":  # which depends on scores, and takes another seed
        assert rest == whole[1:]


def test_a_grid_with_a_first_candidate_has_the_other_points_once_and_in_the_same_order():
    spaces = [{"C": [1, 10], "gamma": [0.1, 0.2]}, {"kernel": ["linear", "rbf"], "C": [1, 2, 3]}]
    plain = make_proposer("grid", spaces, 1, 3)
    given = make_proposer("grid", spaces, 1, 3, first={"C": 3, "kernel": "linear"})
    points, begun = (
        dict(zip(grid.grid_indices, candidates(grid, 10), strict=True)) for grid in (plain, given)
    )
    assert begun == points
    index = given.grid_indices[0]
    assert points[index].params == {"C": 3, "kernel": "linear"}
    assert given.grid_indices[1:] == [each for each in plain.grid_indices if each != index]


def test_a_grid_is_scikit_learns_in_an_order_of_its_own():
    space = [{"C": [1, 10], "gamma": [0.1, 0.2]}, {"kernel": ["linear"], "C": [1, 2]}, {}]
    proposals = candidates(grid := make_proposer("grid", space, 1, 0), 7)
    assert grid.ask() is None
    params = [proposal.params for proposal in proposals]
    assert sorted(map(str, params)) == sorted(str(dict(sorted(p.items()))) for p in ParameterGrid(space))


def test_seeds_differ_and_a_seed_is_repeated():
    def drawn(seed):
        return [p.params["C"] for p in candidates(make_proposer("random", SPACES["scipy"], 5, seed), 5)]

    assert drawn(3) == drawn(3)
    assert len({*drawn(3), *drawn(4)}) == 10


def test_optunas_samplers_keep_to_our_distributions():
    proposer = make_proposer(
        "tpe", {"n": Integers(2, 4), "C": LogUniform(1e-3, 1e-2), "u": Uniform(5, 6)}, 15, 0
    )
    for trial in range(15):
        params = proposer.ask().params
        assert params["n"] in (2, 3, 4)
        assert 1e-3 <= params["C"] <= 1e-2
        assert 5 <= params["u"] <= 6
        proposer.tell(trial, params["u"])


def test_a_storage_of_optuna_has_the_candidates_and_scores(tmp_path):
    import optuna

    url = f"sqlite:///{tmp_path / 'search.db'}"
    proposer = make_proposer("tpe", {"u": Uniform(0, 1)}, 2, 0, url)
    drawn = [proposer.ask().params["u"], proposer.ask().params["u"]]
    proposer.tell(0, 0.25)
    proposer.tell(1, float("nan"))
    trials = optuna.load_study(study_name=None, storage=url).trials
    assert [(trial.params["u"], trial.state.name, trial.value) for trial in trials] == [
        (drawn[0], "COMPLETE", 0.25),
        (drawn[1], "FAIL", None),
    ]


@pytest.mark.parametrize(
    ("sampler", "space", "storage", "message"),
    [
        ("grid", {"C": Uniform(0, 1)}, None, "sampler='grid' cannot search distributions"),
        ("random", {"C": [1]}, "sqlite://", "storage='sqlite://' is invalid"),
        ("tpe", {"C": stats.norm()}, None, "norm"),
        ("tpe", [{"C": [1]}, {"C": [2]}], None, "cannot search 2 spaces"),
        ("dowsing", {"C": [1]}, None, "sampler='dowsing' is invalid: expected 'auto'"),
        ("auto", [{"C": [1]}, 3], None, r"distributions=\[.*\] is invalid"),
        ("auto", {"C": []}, None, r"C=\[\] is invalid: expected a list of one or more values"),
        ("auto", {"C": "abc"}, None, "C='abc' is invalid: expected a list"),
    ],
)
def test_what_cannot_be_searched_is_refused(sampler, space, storage, message):
    with pytest.raises(SettingsError, match=message):
        make_proposer(sampler, space, 3, 0, storage)


@pytest.mark.parametrize("sampler", ["cmaes", "gp"])
def test_what_a_sampler_comes_to_need_is_asked_for_at_once(sampler, monkeypatch):
    monkeypatch.setattr(optuna_samplers, "find_spec", lambda name: None)
    with pytest.raises(SettingsError, match="pip install"):
        make_proposer(sampler, {"C": Uniform(0, 1)}, 3, 0)


def test_a_distribution_of_which_optuna_knows_nothing_is_refused():
    class Own:
        def rvs(self, random_state):
            return 1.0

    with pytest.raises(SettingsError, match="Own"):
        make_proposer("tpe", {"C": Own()}, 3, 0)
    assert make_proposer("random", {"C": Own()}, 3, 0).ask().params == {"C": 1.0}
