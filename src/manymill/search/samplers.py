"""Where candidates come from: a grid, draws from distributions, or one of Optuna's samplers.

A candidate is told to a journal by `encoded`: values that were listed by their place in the list, so that any object
may be searched, others as the numbers or words that they are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from manymill.errors import RunFolderError, SettingsError
from manymill.search.config import Integers, LogUniform, Uniform

Space = Mapping[str, Any]
Distributions = Space | Sequence[Space]

# A grid is not listed any further than this to draw from it.
_LARGEST_GRID = 10_000_000


@dataclass(frozen=True, slots=True)
class Proposal:
    """A candidate: the space it is from, and its parameters."""

    space: int
    params: dict[str, Any]


def spaces_of(distributions: Distributions) -> list[Space]:
    """The spaces that are searched, each a mapping of a parameter to its values or their distribution.

    Raises
    ------
    SettingsError
        If a parameter has neither.
    """
    spaces = [distributions] if isinstance(distributions, Mapping) else list(distributions)
    if not spaces or not all(isinstance(space, Mapping) for space in spaces):
        raise SettingsError(
            f"distributions={distributions!r} are none", "give {parameter: values}, or a list of those"
        )
    for space in spaces:
        for name, values in space.items():
            listed = listed_values(values)
            if listed is None and not hasattr(values, "rvs") and not _is_optunas(values):
                raise SettingsError(
                    f"{name}={values!r} is neither a list of values nor a distribution",
                    "give a list, or a distribution with rvs(), such as scipy.stats.loguniform(1e-4, 1)",
                )
            if listed is not None and not len(listed):
                raise SettingsError(f"{name} has no values", "give one at least")
    return spaces


def listed_values(values: Any) -> Sequence[Any] | None:
    """The values of a list; None of a distribution."""
    if isinstance(values, np.ndarray):
        return values.tolist() if values.ndim == 1 else None
    return values if isinstance(values, (list, tuple, range)) else None


def grid_size(spaces: Sequence[Space]) -> int | None:
    """How many candidates there are; None if there is no end to them."""
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


class Grid:
    """Points of a grid in random order, each once: early scores are of all regions.

    Attributes
    ----------
    places : list of int
        Where each candidate stands in the grid, as scikit-learn lists it: of equals the first is the best.
    """

    adaptive = False

    def __init__(self, spaces: Sequence[Space], n_trials: int | None, seed: int) -> None:
        size = grid_size(spaces)
        if size is None:
            raise SettingsError(
                "a distribution has no grid", "list its values, or leave the sampler to be chosen"
            )
        n = size if n_trials is None else min(n_trials, size)
        if size > _LARGEST_GRID:
            raise SettingsError(
                f"the grid has {size:,} points", "search fewer parameters, or give distributions"
            )
        self._spaces = spaces
        self.places: list[int] = np.random.default_rng(seed).permutation(size)[:n].tolist()
        self.n_trials = n
        self._next = 0

    def ask(self) -> Proposal | None:
        """The next candidate; None if there are no more."""
        if self._next >= self.n_trials:
            return None
        place = self.places[self._next]
        self._next += 1
        for number, space in enumerate(self._spaces):
            lists = {name: list(listed_values(space[name]) or ()) for name in sorted(space)}
            n = int(np.prod([len(values) for values in lists.values()], dtype=object)) if lists else 1
            if place < n:
                params = {}
                for name, values in reversed(lists.items()):
                    place, at = divmod(place, len(values))
                    params[name] = values[at]
                return Proposal(number, dict(sorted(params.items())))
            place -= n
        raise AssertionError("a place beyond the grid")

    def tell(self, trial: int, score: float) -> None:
        """The mean score of a candidate over its splits, which a grid does not use."""

    def again(self, trial: int, proposal: Proposal) -> None:
        """A candidate of the same search before it was killed: the next one comes after it."""
        self._next = max(self._next, trial + 1)

    def close(self) -> None:
        """The search is over; nothing is open."""


class Draws:
    """Independent draws (Bergstra & Bengio 2012); each candidate has a seed of its own, whatever came before it."""

    adaptive = False

    def __init__(self, spaces: Sequence[Space], n_trials: int, seed: int) -> None:
        self._spaces, self.n_trials, self._seed = spaces, n_trials, seed
        self._next = 0

    def ask(self) -> Proposal | None:
        """The next candidate; None if there are no more."""
        if self._next >= self.n_trials:
            return None
        generator = np.random.default_rng((self._seed, self._next))
        self._next += 1
        number = int(generator.integers(len(self._spaces)))
        space = self._spaces[number]
        return Proposal(number, {name: _drawn(space[name], generator) for name in sorted(space)})

    def tell(self, trial: int, score: float) -> None:
        """The mean score of a candidate over its splits, which draws do not use."""

    def again(self, trial: int, proposal: Proposal) -> None:
        """A candidate of the same search before it was killed: the next one comes after it."""
        self._next = max(self._next, trial + 1)

    def close(self) -> None:
        """The search is over; nothing is open."""


def _drawn(values: Any, generator: np.random.Generator) -> Any:
    listed = listed_values(values)
    if listed is not None:
        return listed[int(generator.integers(len(listed)))]
    # Distributions that people write for scikit-learn's searches are given what those give.
    known = hasattr(values, "dist") or isinstance(values, Uniform | LogUniform | Integers)
    source = generator if known else np.random.RandomState(generator.integers(2**32))
    value = values.rvs(random_state=source)
    return value.item() if isinstance(value, np.generic) else value


def encoded(spaces: Sequence[Space], proposal: Proposal) -> dict[str, Any]:
    """A candidate in JSON.

    Raises
    ------
    SettingsError
        If a distribution gives what is no number and no word.
    """
    values: dict[str, Any] = {}
    for name, value in proposal.params.items():
        listed = listed_values(spaces[proposal.space][name])
        if listed is not None:
            values[name] = {"place": place_of(listed, value)}
        elif value is None or isinstance(value, (bool, int, float, str)):
            values[name] = value
        else:
            raise SettingsError(f"{name}={value!r} cannot be written to the journal", "list such values")
    return {"space": proposal.space, "values": values}


def decoded(spaces: Sequence[Space], content: Mapping[str, Any]) -> Proposal:
    """A candidate of JSON.

    Raises
    ------
    RunFolderError
        If it is none of these spaces.
    """
    try:
        space = spaces[content["space"]]
        params = {}
        for name, value in content["values"].items():
            listed = listed_values(space[name])
            params[name] = value if listed is None else listed[value["place"]]
        return Proposal(content["space"], params)
    except (LookupError, TypeError, AttributeError) as error:
        raise RunFolderError(
            f"the journal holds a candidate of other distributions: {error!r}",
            "begin a new run in another folder",
        ) from None


def place_of(listed: Sequence[Any], value: Any) -> int:
    """Where a value stands in its list; the values of an array, NaN among them, are other objects every time."""
    same = (place for place, item in enumerate(listed) if item is value)
    return next(same, None) or next(place for place, item in enumerate(listed) if _same(item, value))


def _same(item: Any, value: Any) -> bool:
    if item is value:
        return True
    try:
        return type(item) is type(value) and bool(item == value or (item != item and value != value))
    except (ValueError, TypeError):
        return False


def _is_optunas(values: Any) -> bool:
    return type(values).__module__.startswith("optuna.")


def proposer_of(
    sampler: str, distributions: Distributions, n_trials: int, seed: int, storage: str | None = None
) -> Any:
    """The proposer that a name says.

    Parameters
    ----------
    sampler : str
        ``"auto"``: the whole grid if all values are listed and there are no more than ``n_trials`` points, else draws,
        of a grid without replacement. ``"grid"``, ``"random"``, or the name of a sampler of Optuna such as ``"tpe"``.
    distributions, n_trials, seed, storage
        As of `SearchCV`.

    Raises
    ------
    SettingsError
        If there is no such sampler, or it cannot search these distributions.
    """
    spaces = spaces_of(distributions)
    size = grid_size(spaces)
    if storage is not None and sampler in ("auto", "grid", "random"):
        raise SettingsError(
            f"storage={storage!r} is for Optuna's samplers", 'give sampler="tpe", for example'
        )
    if sampler == "grid":
        return Grid(spaces, None, seed)
    if sampler in ("auto", "random"):
        few = size is not None and size <= _LARGEST_GRID
        return Grid(spaces, n_trials, seed) if few else Draws(spaces, n_trials, seed)
    from manymill.search.optuna_samplers import OptunaProposer

    return OptunaProposer(sampler, spaces, n_trials, seed, storage)
