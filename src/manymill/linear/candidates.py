"""The candidates of the recipe "auto": variants of the recipe standard that the parameters given by hand leave."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

from manymill.constants import AUTO
from manymill.errors import SettingsError
from manymill.linear.recipe import L2_TIMES_ROWS
from manymill.linear.settings import Settings

# Parameters that differ from the recipe standard, l2 times the number of rows; those that gain most often
# first, since small samples compare only these.
_DESIGN: tuple[dict[str, Any], ...] = (
    {},
    {"feature_weights": "idf"},
    {"feature_weights": "nb"},
    {"l2": 3.0},
    {"char_ngram_range": None},
    {"feature_weights": "idf", "l2": 3.0},
    {"l2": 10.0},
    {"l2": 1.0},
    {"ngram_range": None},
    {"feature_weights": "idf", "loss": "log"},
    {"loss": "log"},
    {"char_ngram_range": None, "l2": 3.0},
    {"l2": 0.1},
)

# The choice may take the time of the training itself, or of a part of it if there are many rows: a candidate for each
# so many rows of that, and always a few.
LARGE, _PART_OF_LARGE = 100_000, 0.075
_ROWS_PER_CANDIDATE, _LEAST_CANDIDATES = 2_000, 5

# The l2 that follows a better one: noise asks for more than a small sample shows.
_STRONGER = {1.0: 3.0, 3.0: 10.0}


@dataclass(frozen=True, slots=True)
class Candidate:
    """Values of the parameters that a choice decides."""

    ngram_range: str | tuple[int, int] | None
    char_ngram_range: str | tuple[int, int] | None
    feature_weights: str | None
    loss: str
    l2_times_rows: float | None  # None: l2 is given by hand

    def applied(self, settings: Settings, n_rows: int) -> Settings:
        """The settings of this candidate for a number of rows."""
        l2 = settings.l2 if self.l2_times_rows is None else self.l2_times_rows / max(1, n_rows)
        return replace(
            settings,
            ngram_range=self.ngram_range,
            char_ngram_range=self.char_ngram_range,
            feature_weights=self.feature_weights,
            loss=self.loss,
            l2=l2,
        )

    def values(self) -> dict[str, Any]:
        """The values as JSON types."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}

    @property
    def stronger(self) -> Candidate | None:
        """The candidate of the next stronger l2; None unless its l2 is above that of the recipe standard."""
        following = _STRONGER.get(self.l2_times_rows or 0.0)
        return None if following is None else replace(self, l2_times_rows=following)


def candidates_of(settings: Settings, *, one_form: bool = False) -> list[Candidate]:
    """The candidates that the parameters given by hand leave, the recipe standard first.

    Parameters
    ----------
    settings : Settings
    one_form : bool
        Whether the features cannot be changed, since the texts are already hashed.
    """
    kept = {name for name in ("ngram_range", "char_ngram_range") if one_form}
    standard = {
        "ngram_range": settings.value_of("ngram_range"),
        "char_ngram_range": settings.value_of("char_ngram_range"),
        "feature_weights": settings.feature_weights,
        "loss": settings.value_of("loss"),
        "l2_times_rows": L2_TIMES_ROWS if settings.l2 == AUTO else None,
    }
    found: dict[Candidate, None] = {}
    for design in _DESIGN:
        changes = {
            name: value
            for name, value in design.items()
            if getattr(settings, name) == AUTO and name not in kept
        }
        if "l2" in changes:
            changes["l2_times_rows"] = changes.pop("l2")
        candidate = Candidate(**{**standard, **changes})
        try:
            candidate.applied(settings, 1)
        except SettingsError:  # a parameter given by hand belongs to the features that this candidate lacks
            continue
        found[candidate] = None
    return list(found)


def most_candidates(n_rows: int) -> int:
    """The number of candidates that keeps the choice in proportion to the training."""
    time = n_rows if n_rows < LARGE else _PART_OF_LARGE * n_rows
    return max(_LEAST_CANDIDATES, int(time / _ROWS_PER_CANDIDATE))
