"""Settings of a linear training: declared and validated here, saved in the run folder."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any

from manymill.constants import (
    FEATURE_WEIGHTS,
    LOSSES,
    MAX_FEATURES,
    NORMS,
    VALUES,
    WINDOW_BYTES,
    FeatureWeights,
    Loss,
    Norm,
    Value,
)
from manymill.errors import SettingsError
from manymill.validation import (
    Boolean,
    Bytes,
    Choice,
    ClassWeight,
    Integer,
    NgramRange,
    Number,
    Share,
    declare,
    declared,
)

if TYPE_CHECKING:
    from manymill.model import Analyzer

# Values of ``merge``; the rule "support" is only among those that ``auto`` chooses from.
MERGES = ("auto", "uniform", "damped", "mass")

# The rule mass with the step of least loss: the meaning of ``auto`` if no round follows the first.
SEARCHED = "mass+search"

# The order of the settings in pickles of version 0.1.
_NAMES_0_1 = (
    "ngram_range", "lowercase", "n_features", "value", "norm", "feature_weights", "loss", "l1", "l2", "learning_rate",
    "fit_intercept", "class_weight", "passes", "patience", "holdout", "calibrate", "finish", "finish_iterations",
    "seed", "window_bytes", "lanes", "rounds_per_pass", "merge", "interleaved",
)  # fmt: skip

# At most the greatest finite float32.
_PENALTY = Number(0, (2 - 2**-23) * 2.0**127, "a number from 0 to 3.4e38")


@dataclass(frozen=True, slots=True)
class Settings:
    """The parameters of a training.

    Parameters
    ----------
    ngram_range : tuple of int
        Least and greatest number of words of a feature.
    lowercase : bool
        Whether to lower-case the text first.
    n_features : int or None
        Number of hash buckets, 1 to 2^30. None: see :meth:`for_classes`.
    value : {"log", "count", "binary"}
        A feature's value in a row: 1 + ln(count), count, or 1.
    norm : {"l2", "l1", None}
        Norm that each row is divided by.
    feature_weights : {"nb", "idf", None}
        Weights that multiply the values before the row is normalised, from the counts of a separate first pass:
        log-count ratios of naive Bayes, or inverse document frequencies (see :mod:`manymill.linear.feature_weights`).
    loss : str
        One of ``LOSSES``.
    l1, l2 : float
        Regularisation, strength per row.
    learning_rate : float or None
        AdaGrad's step. None: see :meth:`rate`.
    fit_intercept : bool
        Whether each output has an intercept.
    class_weight : None, "balanced" or mapping from class to float
        ``"balanced"`` weighs a row by ``n / (n_classes * n_c)``, with counts over the rows so far.
    passes : int
        Maximum number of passes over the rows.
    patience : int
        Training stops after so many passes without a better held-out accuracy.
    holdout : float or None
        Share of rows to hold out, chosen by a hash of their text. None: 2 %, fewer if that is over 20,000 rows or
        16 MB of text, and none below 5,000 rows, too few to tell passes apart.
    calibrate : bool
        Whether to scale probabilities by a temperature fitted on the held-out rows.
    seed : int
        Decides the order of rows. Held-out rows are chosen by their text alone.
    window_bytes : int
        Size of the text that is shuffled at a time.
    lanes : int
        Streams of partitions, each with its own learner, that are merged every round. A single lane trains
        sequentially: nothing is merged.
    rounds_per_pass : int
        Merges of the lanes per pass; 1, with one pass, is one-shot parameter mixing.
    merge : str
        One of ``MERGES``: see :mod:`manymill.linear.merging` and :attr:`merge_used`.
    interleaved : bool
        Whether each lane gets partitions from all over the source, or neighbouring ones.

    Raises
    ------
    SettingsError
        If a value is invalid.
    """

    ngram_range: tuple[int, int] = field(
        default=(1, 1),
        metadata=declare(
            NgramRange(), "Words of a feature, from LEAST to GREATEST: 1 2 is words and pairs of words."
        ),
    )
    lowercase: bool = field(default=True, metadata=declare(Boolean(), "Lower-case the text first, or not."))
    n_features: int | None = field(
        default=None,
        metadata=declare(
            Integer(1, MAX_FEATURES, "an integer from 1 to 2^30, or None", optional=True),
            "Hash buckets, at most 2^30; chosen by the number of classes if not given.",
        ),
    )
    value: Value = field(
        default="log", metadata=declare(Choice(VALUES), "A feature's value: 1 + ln(count), count, or 1.")
    )
    norm: Norm | None = field(
        default="l2", metadata=declare(Choice(NORMS, optional=True), "Norm that each row is divided by.")
    )
    feature_weights: FeatureWeights | None = field(
        default=None,
        metadata=declare(
            Choice(FEATURE_WEIGHTS, optional=True),
            "Weigh features by a first pass that counts: nb by how well they separate the labels, idf by how rare they "
            "are.",
        ),
    )
    loss: Loss = field(
        default="log",
        metadata=declare(Choice(LOSSES), "Loss to minimise; log and modified_huber give probabilities."),
    )
    l1: float = field(default=0.0, metadata=declare(_PENALTY, "L1 regularisation, per row."))
    l2: float = field(default=0.0, metadata=declare(_PENALTY, "L2 regularisation, per row."))
    learning_rate: float | None = field(
        default=None,
        metadata=declare(
            Number(1e-300, 1e9, "a number above 0, at most 1e9, or None", optional=True),
            "AdaGrad's step; chosen by the loss and the number of classes if not given.",
        ),
    )
    fit_intercept: bool = field(
        default=True,
        metadata=declare(Boolean(), "Fit an intercept, or not.", flags="--intercept/--no-intercept"),
    )
    class_weight: str | Mapping[Any, float] | None = field(
        default=None, metadata=declare(ClassWeight(), "balanced, or weights: spam=2,ham=1.")
    )
    passes: int = field(
        default=3, metadata=declare(Integer(1, 2**31), "Maximum number of passes over the rows.")
    )
    patience: int = field(
        default=2, metadata=declare(Integer(1, 2**31), "Passes without improvement before training stops.")
    )
    holdout: float | None = field(
        default=None,
        metadata=declare(
            Share(0, 0.5, "a share from 0 to 0.5, or None", optional=True),
            "Share of rows to hold out, or a file of held-out rows; about 2 % if not given.",
        ),
    )
    calibrate: bool = field(
        default=True, metadata=declare(Boolean(), "Calibrate probabilities on the held-out rows, or not.")
    )
    seed: int = field(
        default=0,
        metadata=declare(
            Integer(0, 2**63 - 1, "an integer from 0 to 2^63 - 1"), "Seed of the order of rows."
        ),
    )
    window_bytes: int = field(
        default=WINDOW_BYTES,
        metadata=declare(Bytes(), "Size of the text that is shuffled at a time.", flags="--window"),
    )
    lanes: int = field(
        default=1,
        metadata=declare(
            Integer(1, 10_000), "Streams of partitions that train in parallel and are merged every round."
        ),
    )
    rounds_per_pass: int = field(
        default=8,
        metadata=declare(
            Integer(1, 10_000), "Merges of the lanes per pass.", flags="--rounds", requires="lanes"
        ),
    )
    merge: str = field(
        default="auto",
        metadata=declare(
            Choice(MERGES), "Rule that merges lanes; auto chooses one on held-out rows.", requires="lanes"
        ),
    )
    interleaved: bool = field(
        default=True,
        metadata=declare(
            Boolean(),
            "Give each lane partitions from all over the source, or neighbouring ones.",
            flags="--interleaved/--contiguous",
            requires="lanes",
        ),
    )

    def __getstate__(self) -> dict[str, Any]:
        return asdict(self)

    def __setstate__(self, state: Mapping[str, Any] | Sequence[Any]) -> None:
        # By name, so that pickles survive new and removed settings; version 0.1 pickled the values alone.
        values = state if isinstance(state, Mapping) else dict(zip(_NAMES_0_1, state, strict=True))
        for setting in fields(self):
            object.__setattr__(self, setting.name, values.get(setting.name, setting.default))

    def __post_init__(self) -> None:
        for name, _, parameter in declared(self):
            parameter.rule.check(getattr(self, name), name)

    @property
    def analyzer(self) -> Analyzer:
        """Conversion of documents to rows; the number of features must be set."""
        from manymill.model import Analyzer  # needs NumPy, which the options of the command line do without

        assert self.n_features is not None, "call for_classes first"
        return Analyzer(
            ngram_range=self.ngram_range,
            lowercase=self.lowercase,
            value=self.value,
            norm=self.norm,
            n_features=self.n_features,
        )

    def for_classes(self, n_classes: int) -> Settings:
        """The same settings with ``n_features`` chosen by the number of classes, unless it is set.

        2^22, where pairs of words hardly collide any more, or as many as keep the state below 256 MB; never fewer
        than 2^16.
        """
        if self.n_features is not None:
            return self
        outputs = 1 if n_classes <= 2 else n_classes
        bits = next((b for b in range(22, 16, -1) if 4 * 2**b * (outputs + 1) <= 256 << 20), 16)
        return replace(self, n_features=2**bits)

    def with_class_weights(self, class_counts: Mapping[str, int]) -> Settings:
        """The same settings with ``"balanced"`` replaced by the weights ``n / (n_classes * n_c)``."""
        if self.class_weight != "balanced":
            return self
        counts = {name: n for name, n in class_counts.items() if n}
        total = sum(counts.values())
        return replace(self, class_weight={name: total / (len(counts) * n) for name, n in counts.items()})

    def rate(self, n_classes: int) -> float:
        """AdaGrad's step: ``learning_rate``, or one that suits the loss, the classes and the feature weights.

        Softmax spreads a row's gradient over its outputs and needs longer steps; the hinges, whose gradients do not
        fade, need shorter ones; so do rows in which the features that separate classes weigh most. Lanes that are
        merged only once take steps longer by the fourth root of their number: each has few rows to learn from.
        """
        if self.learning_rate is not None:
            return self.learning_rate
        if self.feature_weights is None:
            binary, multiclass = (0.5, 1.2) if self.loss == "log" else (0.2, 0.3)
        else:
            binary, multiclass = (0.3, 0.8) if self.loss == "log" else (0.15, 0.25)
        # Two square roots give the same bits on every platform, a power does not.
        factor = math.sqrt(math.sqrt(self.lanes)) if self.is_one_shot else 1.0
        return factor * (binary if n_classes == 2 else multiclass)

    @property
    def is_one_shot(self) -> bool:
        """Whether several lanes are merged only once, at the end."""
        return self.lanes > 1 and self.passes == 1 and self.rounds_per_pass == 1

    @property
    def merge_used(self) -> str:
        """The merge rule in use: ``"auto"`` means ``SEARCHED`` if no round follows the first."""
        return SEARCHED if self.merge == "auto" and self.is_one_shot else self.merge

    def check_engine(self, engine: object, engine_name: str = "engine", lanes_name: str = "lanes") -> None:
        """Refuse an engine without several lanes.

        Parameters
        ----------
        engine : object
            The engine, or None.
        engine_name, lanes_name : str
            Names of the two parameters in the caller's interface, for the message.

        Raises
        ------
        SettingsError
            If there is an engine, but only one lane.
        """
        if engine is not None and self.lanes == 1:
            raise SettingsError(
                f"{engine_name} has no effect without several lanes: a single lane trains in this process",
                f"leave it out, or train in several lanes: {lanes_name}",
            )

    def to_json(self) -> dict[str, Any]:
        """The settings as JSON-serialisable fields."""
        return asdict(self)

    @staticmethod
    def from_json(settings: Mapping[str, Any]) -> Settings:
        """The settings from the result of :meth:`to_json`, after a round trip through JSON.

        Raises
        ------
        ValueError
            If a setting is unknown to this version.
        """
        if unknown := sorted(settings.keys() - {each.name for each in fields(Settings)}):
            raise ValueError(f"its settings {', '.join(unknown)[:80]} are of another version of manymill")
        return Settings(**{**settings, "ngram_range": tuple(settings["ngram_range"])})

    def holdout_share(self, n_rows: int, text_bytes: int) -> float:
        """The share of rows to hold out of about ``n_rows`` with ``text_bytes`` of text.

        Held-out rows stay in memory: by default there are few, and together they are short.
        """
        if self.holdout is not None:
            return self.holdout
        if n_rows < 5_000:
            return 0.0
        return min(0.02, 20_000 / n_rows, (16 << 20) / max(1, text_bytes))
