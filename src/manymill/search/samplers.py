"""Samplers of candidates: a grid, independent draws, or a sampler of Optuna.

`encode_proposal` writes a candidate to the journal: a listed value as its index in the list, so that any object can be
searched, and a drawn value as the number or string that it is.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from manymill.errors import RunFolderError, SettingsError
from manymill.search.distributions import Integers, LogUniform, Uniform
from manymill.validation import check

Space = Mapping[str, Any]
Distributions = Space | Sequence[Space]

# Greatest number of points of a grid that is enumerated.
_MAX_GRID_SIZE = 10_000_000


@dataclass(frozen=True, slots=True)
class Proposal:
    """A candidate: its parameters, and the index of the space that they are from."""

    space: int
    params: dict[str, Any]


class Proposer(ABC):
    """Abstract base class of samplers, with an ask-and-tell interface.

    Attributes
    ----------
    adaptive : bool
        Whether candidates depend on earlier scores.
    n_trials : int
        Greatest number of candidates.
    first : Proposal or None
        The first candidate if it is given.
    grid_indices : sequence of int
        Index of each candidate in the grid, as scikit-learn orders it; empty if there is no grid.
    """

    adaptive = False
    grid_indices: Sequence[int] = ()

    def __init__(self, n_trials: int, first: Proposal | None = None) -> None:
        self.n_trials, self.first = n_trials, first
        self._next_trial = 0

    def ask(self) -> Proposal | None:
        """The next candidate; None if there are no more."""
        if self._next_trial >= self.n_trials:
            return None
        trial = self._next_trial
        self._next_trial += 1
        return self._propose(trial)

    @abstractmethod
    def _propose(self, trial: int) -> Proposal:
        """The candidate of a trial."""

    def tell(self, trial: int, score: float) -> None:  # noqa: B027
        """Report the mean score of a candidate over its splits; NaN if it failed."""

    def replay(self, trial: int, proposal: Proposal) -> None:
        """Report a candidate that was proposed before the search was resumed."""
        self._next_trial = max(self._next_trial, trial + 1)

    def close(self) -> None:  # noqa: B027
        """Free resources; the search is over."""


def make_proposer(
    sampler: str,
    distributions: Distributions,
    n_trials: int,
    seed: int,
    storage: str | None = None,
    first: Space | None = None,
) -> Proposer:
    """Create the sampler of a search.

    Parameters
    ----------
    sampler : str
        ``"auto"``: the whole grid if all values are listed and it has at most ``n_trials`` points, else draws, which
        are without replacement if there is a grid. ``"grid"``, ``"random"``, or a sampler of Optuna such as ``"tpe"``.
    distributions, n_trials, seed, storage, first
        See `SearchCV`.

    Raises
    ------
    SettingsError
        If the sampler is unknown, or cannot search these distributions, or the first candidate is not among them.
    """
    spaces = parameter_spaces(distributions)
    start = None if first is None else _first_proposal(spaces, first)
    needs_optuna = is_optuna(sampler)
    check(
        storage is None or needs_optuna,
        "storage",
        storage,
        f"None, since sampler={sampler!r} does not use it",
    )
    if needs_optuna:
        from manymill.search.optuna_samplers import OptunaProposer

        return OptunaProposer(sampler, spaces, n_trials, seed, storage, start)
    if sampler == "grid":
        return GridSampler(spaces, None, seed, start)
    size = grid_size(spaces)
    if size is not None and size <= _MAX_GRID_SIZE:
        return GridSampler(spaces, n_trials, seed, start)
    return RandomSampler(spaces, n_trials, seed, start)


def is_optuna(sampler: str) -> bool:
    """Whether a sampler is one of Optuna's."""
    return sampler not in ("auto", "grid", "random")


def parameter_spaces(distributions: Distributions) -> list[Space]:
    """Validate the distributions of a search; gives one mapping for each space.

    Raises
    ------
    SettingsError
        If a parameter has neither values nor a distribution.
    """
    spaces: list[Any] = [distributions]
    if not isinstance(distributions, Mapping):
        spaces = list(distributions) if isinstance(distributions, Iterable) else []
    valid = bool(spaces) and all(
        isinstance(space, Mapping) and all(isinstance(name, str) for name in space) for space in spaces
    )
    check(valid, "distributions", distributions, "{parameter: values}, or a list of such mappings")
    for space in spaces:
        for name, values in space.items():
            listed = listed_values(values)
            if listed is None:
                valid = hasattr(values, "rvs") or type(values).__module__.startswith("optuna.")
            else:
                valid = len(listed) > 0
            check(
                valid,
                name,
                values,
                "a list of one or more values, or a distribution with rvs() such as scipy.stats.loguniform(1e-4, 1)",
            )
    return spaces


def _first_proposal(spaces: Sequence[Space], first: Any) -> Proposal:
    """The candidate that is evaluated first, from the first space that contains it.

    Values of distributions are not checked: they may lie outside.
    """
    names = first.keys() if isinstance(first, Mapping) else None
    for number, space in enumerate(spaces):
        if space.keys() != names:
            continue
        lists = {name: listed_values(values) for name, values in space.items()}
        if all(
            listed is None or any(_is_equal(item, first[name]) for item in listed)
            for name, listed in lists.items()
        ):
            return Proposal(number, {name: first[name] for name in sorted(space)})
    raise SettingsError.invalid("first", first, "a value of each parameter of one space, or None")


def listed_values(values: Any) -> Sequence[Any] | None:
    """The values of a list, range or one-dimensional array; None for a distribution."""
    if isinstance(values, np.ndarray):
        return values.tolist() if values.ndim == 1 else None
    return values if isinstance(values, (list, tuple, range)) else None


def grid_size(spaces: Sequence[Space]) -> int | None:
    """Number of points of a grid; None if a parameter has a distribution."""
    total = 0
    for space in spaces:
        n = 1
        for values in space.values():
            listed = listed_values(values)
            if listed is None:
                return None
            n *= len(listed)
        total += n
    return total


class GridSampler(Proposer):
    """Points of a grid in random order without replacement, so that early scores cover all regions.

    Raises
    ------
    SettingsError
        If a parameter has a distribution, or the grid is too large.
    """

    def __init__(
        self, spaces: Sequence[Space], n_trials: int | None, seed: int, first: Proposal | None = None
    ) -> None:
        size = grid_size(spaces)
        if size is None:
            raise SettingsError(
                "sampler='grid' cannot search distributions", "list the values, or use another sampler"
            )
        if size > _MAX_GRID_SIZE:
            raise SettingsError(
                f"the grid has {size:,} points, more than {_MAX_GRID_SIZE:,}",
                "search fewer parameters, or give distributions",
            )
        super().__init__(size if n_trials is None else min(n_trials, size), first)
        self._spaces = spaces
        order = np.random.default_rng(seed).permutation(size)
        if first is not None:
            index = self._index(first)
            order = np.concatenate([[index], order[order != index]])
        self.grid_indices = order[: self.n_trials].tolist()

    def _index(self, proposal: Proposal) -> int:
        """The index of a candidate in the grid, which `_propose` inverts."""
        index = 0
        for name, values in _lists(self._spaces[proposal.space]).items():
            index = index * len(values) + index_of(values, proposal.params[name])
        return index + (grid_size(self._spaces[: proposal.space]) or 0)

    def _propose(self, trial: int) -> Proposal:
        index = self.grid_indices[trial]
        for number, space in enumerate(self._spaces):
            lists = _lists(space)
            n = grid_size([space]) or 0
            if index < n:
                params = {}
                for name, values in reversed(lists.items()):
                    index, value_index = divmod(index, len(values))
                    params[name] = values[value_index]
                return Proposal(number, dict(sorted(params.items())))
            index -= n
        raise AssertionError("index beyond the grid")


def _lists(space: Space) -> dict[str, list[Any]]:
    """The values of each parameter of a grid, in the order of scikit-learn."""
    return {name: list(listed_values(space[name]) or ()) for name in sorted(space)}


class RandomSampler(Proposer):
    """Independent draws (Bergstra & Bengio 2012), each with its own seed, so that a draw depends on its number only."""

    def __init__(
        self, spaces: Sequence[Space], n_trials: int, seed: int, first: Proposal | None = None
    ) -> None:
        super().__init__(n_trials, first)
        self._spaces, self._seed = spaces, seed

    def _propose(self, trial: int) -> Proposal:
        if trial == 0 and self.first is not None:
            return self.first
        generator = np.random.default_rng((self._seed, trial))
        number = int(generator.integers(len(self._spaces)))
        space = self._spaces[number]
        return Proposal(number, {name: _draw(space[name], generator) for name in sorted(space)})


def _draw(values: Any, generator: np.random.Generator) -> Any:
    listed = listed_values(values)
    if listed is not None:
        return listed[int(generator.integers(len(listed)))]
    # User-defined distributions get a RandomState, as in scikit-learn's searches.
    takes_generator = hasattr(values, "dist") or isinstance(values, Uniform | LogUniform | Integers)
    source = generator if takes_generator else np.random.RandomState(generator.integers(2**32))
    value = values.rvs(random_state=source)
    return value.item() if isinstance(value, np.generic) else value


def encode_proposal(spaces: Sequence[Space], proposal: Proposal) -> dict[str, Any]:
    """Convert a candidate to JSON.

    Raises
    ------
    SettingsError
        If a drawn value is neither a number nor a string.
    """
    encoded: dict[str, Any] = {}
    for name, value in proposal.params.items():
        listed = listed_values(spaces[proposal.space][name])
        if listed is not None:
            encoded[name] = {"place": index_of(listed, value)}
        elif value is None or isinstance(value, (bool, int, float, str)):
            encoded[name] = value
        else:
            raise SettingsError(f"cannot write {name}={value!r} to the journal", "list such values")
    return {"space": proposal.space, "values": encoded}


def decode_proposal(spaces: Sequence[Space], record: Mapping[str, Any]) -> Proposal:
    """Convert a candidate from JSON.

    Raises
    ------
    RunFolderError
        If the candidate is not from these spaces.
    """
    try:
        space = spaces[record["space"]]
        params = {}
        for name, value in record["values"].items():
            listed = listed_values(space[name])
            params[name] = value if listed is None else listed[value["place"]]
        return Proposal(record["space"], params)
    except (LookupError, TypeError, AttributeError) as error:
        raise RunFolderError(
            f"the journal contains a candidate of other distributions: {error!r}",
            "start a new search in another folder",
        ) from None


def index_of(listed: Sequence[Any], value: Any) -> int:
    """The index of a value in its list; identity counts first, since equality may be ambiguous."""
    for index, item in enumerate(listed):
        if item is value:
            return index
    # Values of an array, NaN among them, are new objects every time.
    return next(index for index, item in enumerate(listed) if _is_equal(item, value))


def _is_equal(item: Any, value: Any) -> bool:
    try:
        return type(item) is type(value) and bool(item == value or (item != item and value != value))
    except (ValueError, TypeError):
        return False
