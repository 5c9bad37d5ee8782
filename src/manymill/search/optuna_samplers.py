"""Candidates of Optuna's samplers, which learn from the scores of earlier ones.

Optuna: Akiba et al. 2019, "Optuna: A Next-generation Hyperparameter Optimization Framework".
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any

from manymill.errors import SettingsError
from manymill.search.config import Integers, LogUniform, Uniform
from manymill.search.samplers import Proposal, Space, listed_values, place_of

SAMPLERS = {
    "tpe": "TPESampler",
    "cmaes": "CmaEsSampler",
    "gp": "GPSampler",
    "qmc": "QMCSampler",
    "nsgaii": "NSGAIISampler",
}

# What Optuna asks for only when it comes to need it, in the midst of a search.
_NEEDED = {"cmaes": "cmaes", "gp": "torch"}


class OptunaProposer:
    """Asks a study of Optuna, and tells it the scores.

    Parameters
    ----------
    sampler : str
        Of `SAMPLERS`.
    spaces : sequence of mapping
        Exactly one: parameters and their values or distributions: those of `space`, scipy's uniform, loguniform and
        randint, or Optuna's own.
    n_trials : int
    seed : int
    storage : str, optional
        A URL of Optuna's, for example ``sqlite:///search.db``: the study is kept there as well, and optuna-dashboard
        shows it. A search that goes on in another process is another study there.

    Raises
    ------
    SettingsError
        If Optuna, or what the sampler needs, is not installed, or it cannot search this.
    """

    adaptive = True

    def __init__(
        self, sampler: str, spaces: Sequence[Space], n_trials: int, seed: int, storage: str | None = None
    ) -> None:
        try:
            import optuna
        except ImportError as error:
            raise SettingsError(
                f"the sampler {sampler!r} is Optuna's, which is not installed",
                "pip install 'manymill[optuna]'",
            ) from error
        if sampler not in SAMPLERS:
            raise SettingsError(
                f"there is no sampler {sampler!r}", f"choose auto, grid, random, {', '.join(SAMPLERS)}"
            )
        needed = _NEEDED.get(sampler)
        if needed is not None and find_spec(needed) is None:
            raise SettingsError(
                f"the sampler {sampler!r} needs {needed}, which is not installed", f"pip install {needed}"
            )
        if len(spaces) != 1:
            raise SettingsError(
                f"the sampler {sampler!r} searches one space, not {len(spaces)}", "give one mapping"
            )
        self._optuna = optuna
        self._name, self._seed = sampler, seed
        self.n_trials = n_trials
        self._space = spaces[0]
        self._distributions = {
            name: _distribution(optuna, name, self._space[name]) for name in sorted(self._space)
        }
        # Its messages would stand between ours.
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        try:
            self._study = optuna.create_study(
                storage=storage, sampler=self._seeded(seed), direction="maximize"
            )
        except Exception as error:  # of whatever keeps it
            if storage is None:
                raise
            why = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise SettingsError(
                f"storage={storage!r} cannot be used: {why}",
                "give a URL such as sqlite:///search.db, where that can be written",
            ) from error
        self._asked: dict[int, Any] = {}
        self._next = 0

    def _seeded(self, seed: int) -> Any:
        with warnings.catch_warnings():
            # Who names a sampler that Optuna calls experimental has chosen it.
            warnings.simplefilter("ignore", self._optuna.exceptions.ExperimentalWarning)
            return getattr(self._optuna.samplers, SAMPLERS[self._name])(seed=seed)

    def ask(self) -> Proposal | None:
        """The next candidate; None if there are no more."""
        if self._next >= self.n_trials:
            return None
        asked = self._study.ask(self._distributions)
        self._asked[self._next] = asked
        self._next += 1
        params = {}
        for name in self._distributions:
            listed = listed_values(self._space[name])
            value = asked.params[name]
            params[name] = value if listed is None else listed[value]
        return Proposal(0, params)

    def tell(self, trial: int, score: float) -> None:
        """The mean score of a candidate over its splits; NaN if it failed."""
        asked = self._asked.pop(trial, None)
        if asked is None:
            return
        if math.isfinite(score):
            self._study.tell(asked, score)
        else:
            self._study.tell(asked, state=self._optuna.trial.TrialState.FAIL)

    def again(self, trial: int, proposal: Proposal) -> None:
        """A candidate of the same search before it was killed: the next one comes after it."""
        values = {}
        for name, value in proposal.params.items():
            listed = listed_values(self._space[name])
            values[name] = value if listed is None else place_of(listed, value)
        # A quasi-random sequence does not mind scores: asked anew it gives the same points, and stands where it stood.
        if self._name != "qmc":
            self._study.enqueue_trial(values)
        self._asked[trial] = self._study.ask(self._distributions)
        self._next = max(self._next, trial + 1)
        # With the seed it began with, any other would come up with the first candidates once more.
        if self._name != "qmc":
            self._study.sampler = self._seeded(self._seed + self._next)

    def close(self) -> None:
        """The search is over: candidates that were not finished do not run for ever on the dashboard."""
        while self._asked:
            _, asked = self._asked.popitem()
            self._study.tell(asked, state=self._optuna.trial.TrialState.FAIL)


def _distribution(optuna: Any, name: str, values: Any) -> Any:
    listed = listed_values(values)
    if listed is not None:
        # Optuna takes words and numbers only: of anything else it learns the place.
        return optuna.distributions.CategoricalDistribution(list(range(len(listed))))
    if type(values).__module__.startswith("optuna."):
        return values
    if isinstance(values, Integers):
        return optuna.distributions.IntDistribution(values.low, values.high, log=values.log)
    if isinstance(values, Uniform | LogUniform):
        return optuna.distributions.FloatDistribution(
            values.low, values.high, log=isinstance(values, LogUniform)
        )
    kind = getattr(getattr(values, "dist", None), "name", "")
    low, high = values.support() if kind else (0, 0)
    if kind in ("loguniform", "reciprocal"):
        return optuna.distributions.FloatDistribution(float(low), float(high), log=True)
    if kind == "uniform":
        return optuna.distributions.FloatDistribution(float(low), float(high))
    if kind == "randint":
        return optuna.distributions.IntDistribution(int(low), int(high))
    raise SettingsError(
        f"{name}: Optuna's samplers cannot search scipy's {kind or type(values).__name__}",
        "give a list, scipy's uniform, loguniform or randint, or a distribution of Optuna",
    )
