"""Samplers of Optuna, which use the scores of earlier candidates.

Optuna: Akiba et al. 2019, "Optuna: A Next-generation Hyperparameter Optimization Framework".
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any

from manymill.errors import SettingsError
from manymill.search.distributions import Integers, LogUniform, Uniform
from manymill.search.samplers import Proposal, Proposer, Space, index_of, listed_values
from manymill.validation import check_choice

SAMPLERS = {
    "tpe": "TPESampler",
    "cmaes": "CmaEsSampler",
    "gp": "GPSampler",
    "qmc": "QMCSampler",
    "nsgaii": "NSGAIISampler",
}

# Packages that a sampler would import in the middle of a search.
_REQUIRED_PACKAGES = {"cmaes": "cmaes", "gp": "torch"}


class OptunaProposer(Proposer):
    """Samples candidates with an Optuna study, which receives their scores.

    Parameters
    ----------
    sampler : str
        A key of `SAMPLERS`.
    spaces : sequence of mapping
        Exactly one space. Distributions are those of `manymill.search.distributions`, SciPy's uniform, loguniform and
        randint, or Optuna's own.
    n_trials : int
    seed : int
    storage : str, optional
        URL of an Optuna storage, for example ``sqlite:///search.db``, which optuna-dashboard can show. A resumed search
        is a new study there.
    first : Proposal, optional
        The first candidate.

    Raises
    ------
    SettingsError
        If Optuna or a package of the sampler is not installed, or the sampler cannot search the space.
    """

    adaptive = True

    def __init__(
        self,
        sampler: str,
        spaces: Sequence[Space],
        n_trials: int,
        seed: int,
        storage: str | None = None,
        first: Proposal | None = None,
    ) -> None:
        super().__init__(n_trials, first)
        check_choice(sampler, "sampler", ("auto", "grid", "random", *SAMPLERS))
        try:
            import optuna
        except ImportError as error:
            raise SettingsError(
                f"sampler={sampler!r} requires Optuna, which is not installed",
                "pip install 'manymill[optuna]'",
            ) from error
        package = _REQUIRED_PACKAGES.get(sampler)
        if package is not None and find_spec(package) is None:
            raise SettingsError(
                f"sampler={sampler!r} requires {package}, which is not installed", f"pip install {package}"
            )
        if len(spaces) != 1:
            raise SettingsError(
                f"sampler={sampler!r} cannot search {len(spaces)} spaces", "give distributions as one mapping"
            )
        self._optuna = optuna
        self._name, self._seed = sampler, seed
        self._space = spaces[0]
        self._distributions = {
            name: _to_optuna(optuna, name, self._space[name]) for name in sorted(self._space)
        }
        # Optuna would log every trial to the standard error.
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        try:
            self._study = optuna.create_study(
                storage=storage, sampler=self._make_sampler(seed), direction="maximize"
            )
        except Exception as error:  # any error of the storage's database
            if storage is None:
                raise
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise SettingsError(
                f"cannot use storage={storage!r}: {reason}",
                "give the URL of a writable database, such as sqlite:///search.db",
            ) from error
        self._open_trials: dict[int, Any] = {}

    def _make_sampler(self, seed: int) -> Any:
        with warnings.catch_warnings():
            # The user chose the sampler, experimental or not.
            warnings.simplefilter("ignore", self._optuna.exceptions.ExperimentalWarning)
            return getattr(self._optuna.samplers, SAMPLERS[self._name])(seed=seed)

    def _propose(self, trial: int) -> Proposal:
        if trial == 0 and self.first is not None:
            self._enqueue(self.first)
        optuna_trial = self._open_trials[trial] = self._study.ask(self._distributions)
        params = {}
        for name in self._distributions:
            listed = listed_values(self._space[name])
            value = optuna_trial.params[name]
            params[name] = value if listed is None else listed[value]
        return Proposal(0, params)

    def tell(self, trial: int, score: float) -> None:
        """Report the mean score of a candidate over its splits; NaN if it failed."""
        optuna_trial = self._open_trials.pop(trial, None)
        if optuna_trial is None:
            return
        if math.isfinite(score):
            self._study.tell(optuna_trial, score)
        else:
            self._study.tell(optuna_trial, state=self._optuna.trial.TrialState.FAIL)

    def replay(self, trial: int, proposal: Proposal) -> None:
        """Report a candidate that was proposed before the search was resumed."""
        # A quasi-random sequence does not depend on scores: a new study proposes the same points.
        is_sequence = self._name == "qmc"
        if not is_sequence or (trial == 0 and self.first is not None):
            self._enqueue(proposal)
        self._open_trials[trial] = self._study.ask(self._distributions)
        super().replay(trial, proposal)
        # With the first seed, other samplers would propose the first candidates again.
        if not is_sequence:
            self._study.sampler = self._make_sampler(self._seed + self._next_trial)

    def _enqueue(self, proposal: Proposal) -> None:
        """Make the study propose this candidate next."""
        values = {}
        for name, value in proposal.params.items():
            listed = listed_values(self._space[name])
            values[name] = value if listed is None else index_of(listed, value)
        self._study.enqueue_trial(values)

    def close(self) -> None:
        """Mark unfinished candidates as failed, so that they do not stay running in the storage."""
        while self._open_trials:
            _, optuna_trial = self._open_trials.popitem()
            self._study.tell(optuna_trial, state=self._optuna.trial.TrialState.FAIL)


def _to_optuna(optuna: Any, name: str, values: Any) -> Any:
    """The distribution of Optuna for a parameter."""
    listed = listed_values(values)
    if listed is not None:
        # Optuna supports numbers and strings only, so it samples the index of other objects.
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
        f"{name}: Optuna cannot sample from {kind or type(values).__name__}",
        "give a list, SciPy's uniform, loguniform or randint, or a distribution of Optuna",
    )
