"""Everything that decides a linear model besides the data: checked once, written to the run folder."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

import numpy as np

from manymill.data.reader import WINDOW_BYTES
from manymill.errors import SettingsError
from manymill.linear.merging import MERGES, SEARCHED
from manymill.model import Analyzer
from manymill.model.linear import FEATURE_WEIGHTS, LOSSES, NORMS, VALUES, FeatureWeights, Loss, Norm, Value
from manymill.validation import check, check_bool, check_choice, check_integer, is_integer, is_number

# What the core takes as a number of four bytes.
_LARGEST = float(np.finfo(np.float32).max)


@dataclass(frozen=True, slots=True)
class Settings:
    """The parameters of a training.

    Parameters
    ----------
    ngram_range : tuple of int
        Least and greatest number of words of a feature.
    lowercase : bool
        Whether text is lower-cased first.
    n_features : int or None
        Number of hash buckets, 1 to 2^30. None: see :meth:`for_classes`.
    value : {"log", "count", "binary"}
        A feature's value in a row: 1 + ln(count), count, or 1.
    norm : {"l2", "l1", None}
        What each row is divided by.
    feature_weights : {"nb", "idf", None}
        What each value is multiplied by before the row is divided, from counts of a pass of their own: log-count
        ratios of naive Bayes, or inverse document frequencies (see :mod:`manymill.linear.feature_weights`).
    loss : str
        One of ``LOSSES``.
    l1, l2 : float
        Regularisation, strength per row.
    learning_rate : float or None
        AdaGrad's step. None: see :meth:`rate`.
    fit_intercept : bool
        Whether each output has an intercept.
    class_weight : None, "balanced" or mapping from class to float
        ``"balanced"`` weighs a row by ``n / (n_classes * n_c)``, with counts over the rows met so far.
    passes : int
        Visits of every row at most.
    patience : int
        Passes without a better held-out accuracy after which training stops.
    holdout : float or None
        Share of rows held out, chosen by a hash of their text. None: 2 %, fewer when that is over 20,000
        rows or 16 MB of text, and none at all below 5,000 rows, where so few rows could not tell one pass from another.
    calibrate : bool
        Whether probabilities are made honest by a temperature, found on the rows held out.
    seed : int
        Decides the order of rows. Which of them are held out, their text decides.
    window_bytes : int
        Text that is shuffled at a time.
    lanes : int
        Streams of partitions, each with a learner of its own, that are merged every round. One lane is learnt in
        sequence: nothing is merged.
    rounds_per_pass : int
        How often several lanes are merged in a pass; 1, with one pass, is the one-shot mixing of parameters.
    merge : str
        One of ``MERGES``: see :mod:`manymill.linear.merging` and :attr:`merge_used`.
    interleaved : bool
        Whether each lane gets partitions from all over the source, or neighbours only.

    Raises
    ------
    SettingsError
        If a value is not allowed, by the name of its parameter.
    """

    ngram_range: tuple[int, int] = (1, 1)
    lowercase: bool = True
    n_features: int | None = None
    value: Value = "log"
    norm: Norm | None = "l2"
    feature_weights: FeatureWeights | None = None
    loss: Loss = "log"
    l1: float = 0.0
    l2: float = 0.0
    learning_rate: float | None = None
    fit_intercept: bool = True
    class_weight: str | Mapping[Any, float] | None = None
    passes: int = 3
    patience: int = 2
    holdout: float | None = None
    calibrate: bool = True
    seed: int = 0
    window_bytes: int = WINDOW_BYTES
    lanes: int = 1
    rounds_per_pass: int = 8
    merge: str = "auto"
    interleaved: bool = True

    def __post_init__(self) -> None:
        self._check_rows()
        _check_range(self.l1, "l1", 0, _LARGEST, "a number of 0 or more")
        _check_range(self.l2, "l2", 0, _LARGEST, "a number of 0 or more")
        rate = self.learning_rate
        _check_range(
            1 if rate is None else rate, "learning_rate", 1e-300, 1e9, "a number above 0, at most 1e9"
        )
        check_bool(self.fit_intercept, "fit_intercept")
        check_integer(self.passes, "passes", 1, 2**31)
        check_integer(self.patience, "patience", 1, 2**31)
        share = self.holdout
        _check_range(0 if share is None else share, "holdout", 0, 0.5, "a share from 0 to 0.5")
        check_bool(self.calibrate, "calibrate")
        check(
            is_integer(self.seed) and 0 <= self.seed < 2**63,
            "seed",
            self.seed,
            "an integer from 0 to 2^63 - 1",
        )
        check_integer(self.window_bytes, "window_bytes", 1, 2**63 - 1, also=" (bytes)")
        check_integer(self.lanes, "lanes", 1, 10_000)
        check_integer(self.rounds_per_pass, "rounds_per_pass", 1, 10_000)
        check_choice(self.merge, "merge", MERGES)
        check_bool(self.interleaved, "interleaved")
        self._check_class_weight()

    def _check_rows(self) -> None:
        words = self.ngram_range
        good = isinstance(words, tuple) and len(words) == 2 and all(is_integer(n) for n in words)
        check(good, "ngram_range", words, "two integers, such as (1, 2)")
        check(1 <= words[0] <= words[1], "ngram_range", words, "1 <= least <= greatest")
        check_bool(self.lowercase, "lowercase")
        buckets = self.n_features
        valid = buckets is None or (is_integer(buckets) and 1 <= buckets <= 2**30)
        check(valid, "n_features", buckets, "an integer from 1 to 2^30, or None")
        check_choice(self.value, "value", VALUES)
        check_choice(self.norm, "norm", NORMS, optional=True)
        check_choice(self.feature_weights, "feature_weights", FEATURE_WEIGHTS, optional=True)
        check_choice(self.loss, "loss", LOSSES)

    def _check_class_weight(self) -> None:
        weights = self.class_weight
        if isinstance(weights, Mapping):
            good = all(is_number(w) and 0 <= w < float("inf") for w in weights.values())
            check(good, "class_weight", dict(weights), "weights of 0 or more")
        else:
            good = weights is None or (isinstance(weights, str) and weights == "balanced")
            check(good, "class_weight", weights, "'balanced', or weights by class")

    @property
    def analyzer(self) -> Analyzer:
        """How a document becomes a row; the number of features must be known."""
        assert self.n_features is not None, "for_classes says how many"
        return Analyzer(
            ngram_range=self.ngram_range,
            lowercase=self.lowercase,
            value=self.value,
            norm=self.norm,
            n_features=self.n_features,
        )

    def for_classes(self, n_classes: int) -> Settings:
        """The same settings with a number of features, if none was given, that suits so many classes.

        2^22, where pairs of words hardly collide any more, or as many as keep the state below 256 MB; never fewer
        than 2^16.
        """
        if self.n_features is not None:
            return self
        outputs = 1 if n_classes <= 2 else n_classes
        bits = next((b for b in range(22, 16, -1) if 4 * 2**b * (outputs + 1) <= 256 << 20), 16)
        return replace(self, n_features=2**bits)

    def weighing(self, class_counts: Mapping[str, int]) -> Settings:
        """The same settings with balanced weights of classes as numbers, ``n / (n_classes * n_c)``."""
        if self.class_weight != "balanced":
            return self
        met = {name: n for name, n in class_counts.items() if n}
        total = sum(met.values())
        return replace(self, class_weight={name: total / (len(met) * n) for name, n in met.items()})

    def rate(self, n_classes: int) -> float:
        """AdaGrad's step for so many classes: the one given, or one that suits loss, classes and weights of features.

        Softmax spreads a row's gradient over its outputs and wants longer steps; the hinges, whose gradients do not
        fade, want shorter ones; so do rows in which the features that tell classes apart weigh most. Lanes that are
        merged once only take steps longer by the fourth root of their number: each has few rows to get anywhere.
        """
        if self.learning_rate is not None:
            return self.learning_rate
        if self.feature_weights is None:
            of_two, of_more = (0.5, 1.2) if self.loss == "log" else (0.2, 0.3)
        else:
            of_two, of_more = (0.3, 0.8) if self.loss == "log" else (0.15, 0.25)
        # Two square roots have the same bits everywhere, a power has not.
        lengthened = math.sqrt(math.sqrt(self.lanes)) if self.is_one_shot else 1.0
        return lengthened * (of_two if n_classes == 2 else of_more)

    @property
    def is_one_shot(self) -> bool:
        """Whether several lanes are merged once only, at the end."""
        return self.lanes > 1 and self.passes == 1 and self.rounds_per_pass == 1

    @property
    def merge_used(self) -> str:
        """The way of merging in use: ``"auto"`` is ``SEARCHED`` where no round follows the first."""
        return SEARCHED if self.merge == "auto" and self.is_one_shot else self.merge

    def check_engine(
        self, engine: object, engine_called: str = "engine", lanes_called: str = "lanes"
    ) -> None:
        """Refuse an engine that would have nothing to do.

        Raises
        ------
        SettingsError
            If there is an engine, but only one lane.
        """
        if engine is not None and self.lanes == 1:
            raise SettingsError(
                f"{engine_called} has no effect without several lanes: one lane learns in this process",
                f"leave it out, or train in several lanes: {lanes_called}",
            )

    def to_json(self) -> dict[str, Any]:
        """The settings as JSON-serialisable fields."""
        return asdict(self)

    @staticmethod
    def from_json(settings: Mapping[str, Any]) -> Settings:
        """The settings that :meth:`to_json` gave, after a journey through JSON.

        Raises
        ------
        ValueError
            If there is a setting that this version does not have.
        """
        if unknown := sorted(settings.keys() - {each.name for each in fields(Settings)}):
            raise ValueError(f"its settings {', '.join(unknown)[:80]} are of another version of manymill")
        return Settings(**{**settings, "ngram_range": tuple(settings["ngram_range"])})

    def holdout_share(self, n_rows: int, text_bytes: int) -> float:
        """The share of rows held out when about ``n_rows`` with ``text_bytes`` of text are read.

        Held-out rows stay in memory: by default they are few enough, and short enough together.
        """
        if self.holdout is not None:
            return self.holdout
        if n_rows < 5_000:
            return 0.0
        return min(0.02, 20_000 / n_rows, (16 << 20) / max(1, text_bytes))


def _check_range(value: float, name: str, least: float, greatest: float, expected: str) -> None:
    check(is_number(value) and least <= float(value) <= greatest, name, value, expected)
