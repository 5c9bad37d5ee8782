"""Settings of a linear training: declared and validated here, saved in the run folder."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any

from manymill.constants import (
    AUTO,
    CHAR_ANALYZERS,
    FEATURE_WEIGHTS,
    LOSSES,
    MAX_FEATURES,
    NORMS,
    RECIPES,
    STRIP_ACCENTS,
    VALUES,
    WINDOW_BYTES,
    WORD_PATTERN,
    CharAnalyzer,
    FeatureWeights,
    Loss,
    Norm,
    Recipe,
    StripAccents,
    Value,
)
from manymill.errors import SettingsError
from manymill.linear import recipe as recipes
from manymill.validation import (
    Auto,
    Boolean,
    Bytes,
    Choice,
    ClassWeight,
    Integer,
    NgramRange,
    Number,
    Share,
    StopWords,
    Strength,
    check,
    declare,
    declared,
    is_auto,
)

if TYPE_CHECKING:
    from manymill.data.dataset import Plan
    from manymill.hash_form import Form
    from manymill.model import Analyzer

# Values of ``merge``; the rule "support" is only among those that ``auto`` chooses from.
MERGES = ("auto", "uniform", "damped", "mass", "magnitude")

# The rule mass with the step of least loss: the meaning of ``auto`` if no round follows the first.
SEARCHED = "mass+search"

# The order of the settings in pickles of version 0.1.
_NAMES_0_1 = (
    "ngram_range", "lowercase", "n_features", "value", "norm", "feature_weights", "loss", "l1", "l2", "learning_rate",
    "fit_intercept", "class_weight", "passes", "patience", "holdout", "calibrate", "finish", "finish_iterations",
    "seed", "window_bytes", "lanes", "rounds_per_pass", "merge", "interleaved",
)  # fmt: skip

# The greatest finite float32.
_MAX_FLOAT32 = (2 - 2**-23) * 2.0**127


@dataclass(frozen=True, slots=True)
class Settings:
    """The parameters of a training.

    Values of ``"auto"`` are decided by the recipe, the data and each other: see :mod:`manymill.linear.recipe`.

    Parameters
    ----------
    recipe : {"standard", "fast", "auto"}
        Decides the parameters that are ``"auto"``; the recipe ``"auto"`` compares some before training starts.
    ngram_range : "auto", tuple of int or None
        Least and greatest number of words of a feature; None: no features of words.
    char_ngram_range : "auto", tuple of int or None
        Least and greatest number of characters of a feature; None: no features of characters.
    char_analyzer : {"char_wb", "char"}
        What features of characters do not cross: the ends of a word, or those of the document.
    token_pattern : str or None
        What a word is. None: by the rules of Unicode, with combining marks, single letters, digits, emoji and runs of
        ``!`` and ``?``; of scripts without spaces between words, 1 to 3 letters. Or scikit-learn's ``WORD_PATTERN``.
    stop_words : "english", tuple of str or None
        Words that are no features.
    strip_accents : {"ascii", "unicode", None}
        Whether and how to remove accents first, as scikit-learn does.
    lowercase : bool
        Whether to lower-case the text first.
    n_features : int or None
        Number of hash buckets, 1 to 2^30. None: see :func:`manymill.linear.recipe.hash_buckets`.
    value : {"log", "count", "binary"}
        A feature's value in a row: 1 + ln(count), count, or 1.
    norm : {"l2", "l1", None}
        Norm that each row is divided by.
    feature_weights : {"auto", "nb-idf", "nb", "idf", None}
        Weights that multiply the values before the row is normalised, from the counts of a separate first pass:
        log-count ratios of naive Bayes, inverse document frequencies, or the root of their product (see
        :mod:`manymill.linear.feature_weights`).
    loss : str
        ``"auto"`` or one of ``LOSSES``.
    l1 : float
        L1 regularisation, strength per row.
    l2 : "auto", float or str
        L2 regularisation, strength per row; ``"0.3/rows"`` is 0.3 divided by the number of rows.
    learning_rate : float or None
        AdaGrad's step. None: see :meth:`rate`.
    initial_g : "auto" or float
        Start of each feature's sum of squared gradients, 0 or more: with more, a feature that occurs for the first time
        moves less.
    fit_intercept : bool
        Whether each output has an intercept.
    class_weight : None, "balanced" or mapping from class to float
        ``"balanced"`` weighs a row by ``n / (n_classes * n_c)``, with counts over the rows so far.
    passes : "auto" or int
        Maximum number of passes over the rows.
    patience : int
        Training stops after so many passes without a better held-out accuracy.
    holdout : float or None
        Share of rows to hold out, chosen by a hash of their text. None: 2 %, fewer if that is over 20,000 rows or
        16 MB of text, and none below 5,000 rows, too few to tell passes apart.
    holdout_tail : float or None
        Share of rows to hold out at the end of each file, instead of rows chosen by a hash: see
        :mod:`manymill.data.tails`. None: not by their place. It excludes ``holdout``.
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

    recipe: Recipe = field(
        default="standard",
        metadata=declare(
            Choice(RECIPES),
            "Chooses the values of options that are auto: standard is accurate, fast the quickest; auto first compares "
            "variants of standard on a sample.",
        ),
    )
    ngram_range: str | tuple[int, int] | None = field(
        default=AUTO,
        metadata=declare(
            Auto(NgramRange()),
            "Words of a feature, from LEAST to GREATEST: 1 2 is words and pairs of words; by the recipe if not given.",
        ),
    )
    char_ngram_range: str | tuple[int, int] | None = field(
        default=AUTO,
        metadata=declare(
            Auto(NgramRange()),
            "Characters of a feature, from LEAST to GREATEST; by the recipe if not given.",
        ),
    )
    char_analyzer: CharAnalyzer = field(
        default="char_wb",
        metadata=declare(
            Choice(CHAR_ANALYZERS),
            "Whether features of characters end with the word (char_wb), or cross words (char).",
        ),
    )
    token_pattern: str | None = field(
        default=None,
        metadata=declare(
            Choice((WORD_PATTERN,), optional=True),
            "What a word is: scikit-learn's pattern, or the rules of Unicode if not given.",
        ),
    )
    stop_words: str | tuple[str, ...] | None = field(
        default=None,
        metadata=declare(
            StopWords(), "Words that are no features: english, or a file with a word on each line."
        ),
    )
    strip_accents: StripAccents | None = field(
        default=None, metadata=declare(Choice(STRIP_ACCENTS, optional=True), "Remove accents first.")
    )
    lowercase: bool = field(default=True, metadata=declare(Boolean(), "Lower-case the text first, or not."))
    n_features: int | None = field(
        default=None,
        metadata=declare(
            Integer(1, MAX_FEATURES, "an integer from 1 to 2^30, or None", optional=True),
            "Hash buckets, at most 2^30; chosen by the size of the text if not given.",
        ),
    )
    value: Value = field(
        default="log", metadata=declare(Choice(VALUES), "A feature's value: 1 + ln(count), count, or 1.")
    )
    norm: Norm | None = field(
        default="l2", metadata=declare(Choice(NORMS, optional=True), "Norm that each row is divided by.")
    )
    feature_weights: FeatureWeights | str | None = field(
        default=AUTO,
        metadata=declare(
            Choice((AUTO, *FEATURE_WEIGHTS), optional=True),
            "Weigh features by a first pass that counts: nb by how well they separate the labels, idf by how rare they "
            "are, nb-idf by both.",
        ),
    )
    loss: Loss | str = field(
        default=AUTO,
        metadata=declare(
            Choice((AUTO, *LOSSES)), "Loss to minimise; log and modified_huber give probabilities."
        ),
    )
    l1: float = field(
        default=0.0,
        metadata=declare(Number(0, _MAX_FLOAT32, "a number from 0 to 3.4e38"), "L1 regularisation, per row."),
    )
    l2: float | str = field(
        default=AUTO,
        metadata=declare(
            Auto(
                Strength(
                    0, _MAX_FLOAT32, "a number from 0 to 3.4e38, a multiple such as '0.3/rows', or 'auto'"
                )
            ),
            "L2 regularisation, per row: a number, or a multiple of 1/rows such as 0.3/rows.",
        ),
    )
    learning_rate: float | None = field(
        default=None,
        metadata=declare(
            Number(1e-300, 1e9, "a number above 0, at most 1e9, or None", optional=True),
            "AdaGrad's step; chosen by the loss and the number of classes if not given.",
        ),
    )
    initial_g: float | str = field(
        default=AUTO,
        metadata=declare(
            Auto(Number(0, recipes.MAX_INITIAL_G, "a number from 0 to 1e30, or 'auto'")),
            "Start of each feature's sum of squared gradients; with more, rare features move less.",
        ),
    )
    fit_intercept: bool = field(
        default=True,
        metadata=declare(Boolean(), "Fit an intercept, or not.", flags="--intercept/--no-intercept"),
    )
    class_weight: str | Mapping[Any, float] | None = field(
        default=None, metadata=declare(ClassWeight(), "balanced, or weights: spam=2,ham=1.")
    )
    passes: int | str = field(
        default=AUTO,
        metadata=declare(
            Auto(Integer(1, 2**31, "an integer from 1 to 2^31, or 'auto'")),
            "Maximum number of passes over the rows.",
        ),
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
    holdout_tail: float | None = field(
        default=None,
        metadata=declare(
            Number(1e-300, 0.5, "a share above 0, at most 0.5, or None", optional=True),
            "Share of rows to hold out at the end of each file, for sources in order of time; excludes --holdout.",
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
        before = {} if "recipe" in values else values_0_1()
        for setting in fields(self):
            default = before.get(setting.name, setting.default)
            object.__setattr__(self, setting.name, values.get(setting.name, default))

    def __post_init__(self) -> None:
        for name, _, parameter in declared(self):
            parameter.rule.check(getattr(self, name), name)
        recipes.check_features(self)
        self.check_holdout(self.holdout)

    def check_holdout(self, holdout: object) -> None:
        """Refuse ``holdout_tail`` together with ``holdout``: a share, a source of held-out rows, or None.

        Raises
        ------
        SettingsError
            If both are given.
        """
        valid = self.holdout_tail is None or holdout is None
        check(
            valid,
            "holdout_tail",
            self.holdout_tail,
            "rows held out in one way: leave out holdout or holdout_tail",
        )

    @property
    def form(self) -> Form:
        """What the hashes of documents depend on."""
        from manymill.hash_form import Form  # needs NumPy, which the options of the command line do without

        return Form(**recipes.form_values(self))

    @property
    def analyzer(self) -> Analyzer:
        """Conversion of documents to rows; the number of features must be set."""
        from manymill.model import Analyzer

        assert self.n_features is not None, "call resolve first"
        return Analyzer(
            **recipes.form_values(self), value=self.value, norm=self.norm, n_features=self.n_features
        )

    def resolve(
        self,
        n_classes: int,
        n_rows: int | None = None,
        text_bytes: int = 0,
        class_counts: Mapping[str, int] | None = None,
        row_weights: tuple[float, float] = (1.0, 1.0),
    ) -> Settings:
        """The same settings with every ``"auto"`` and the number of features decided.

        Parameters
        ----------
        n_classes : int
            Number of classes, as far as known.
        n_rows : int, optional
            Number of rows; None if rows arrive a few at a time, so that nothing can be counted first.
        text_bytes : int
            Bytes of text of these rows.
        class_counts : mapping from str to int, optional
            Rows of each class, possibly of a sample.
        row_weights : tuple of float
            Mean of the weights of rows, and of their squares.
        """
        decided = recipes.decisions(self, n_classes, n_rows, text_bytes, class_counts, row_weights)
        return replace(self, **decided)

    def for_plan(self, plan: Plan, n_classes: int | None = None) -> Settings:
        """The same settings with everything decided for the rows of a plan, and its classes if none are given."""
        n_classes = n_classes or len(plan.class_counts)
        # Read only if something depends on the weights.
        is_open = is_auto(self.l2) or is_auto(self.initial_g)
        row_weights = recipes.row_weight_means(plan) if is_open else (1.0, 1.0)
        return self.resolve(n_classes, plan.n_rows, plan.text_bytes, plan.class_counts, row_weights)

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
        fade, need shorter ones; so do rows in which the features that separate classes weigh most. All classes share
        a feature's sum of squared gradients: beyond 32, steps grow with the fourth root of their number. Lanes that are
        merged only once take steps longer by the fourth root of their number: each has few rows to learn from.
        """
        if self.learning_rate is not None:
            return self.learning_rate
        if self.value_of("feature_weights") is None:
            binary, multiclass = (0.5, 1.2) if self.value_of("loss") == "log" else (0.2, 0.3)
        else:
            binary, multiclass = (0.3, 0.8) if self.value_of("loss") == "log" else (0.15, 0.25)
        # Two square roots give the same bits on every platform, a power does not.
        factor = math.sqrt(math.sqrt(self.lanes)) if self.is_one_shot else 1.0
        if self.value_of("loss") != "log":
            factor *= math.sqrt(math.sqrt(max(1.0, n_classes / 32)))
        return factor * (binary if n_classes == 2 else multiclass)

    @property
    def is_one_shot(self) -> bool:
        """Whether several lanes are merged only once, at the end."""
        return self.lanes > 1 and self.n_passes == 1 and self.rounds_per_pass == 1

    @property
    def n_passes(self) -> int:
        """Maximum number of passes."""
        return int(self.value_of("passes"))

    def value_of(self, name: str) -> Any:
        """The value of a parameter, by the recipe if it is ``"auto"``."""
        return recipes.value_of(self, name)

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
        lists = {name: tuple(value) for name, value in settings.items() if isinstance(value, list)}
        return Settings(**{**settings, **lists})

    def holdout_share(self, n_rows: int, text_bytes: int) -> float:
        """The share of rows to hold out of about ``n_rows`` with ``text_bytes`` of text.

        Held-out rows stay in memory: by default there are few, and together they are short.
        """
        if (given := self.holdout if self.holdout_tail is None else self.holdout_tail) is not None:
            return given
        if n_rows < 5_000:
            return 0.0
        return min(0.02, 20_000 / n_rows, (16 << 20) / max(1, text_bytes))


def values_0_1() -> dict[str, Any]:
    """The values that version 0.1 trained with, of parameters that it did not have."""
    newer = ("char_analyzer", "stop_words", "strip_accents", "holdout_tail")
    return {
        **{field.name: field.default for field in fields(Settings) if field.name in newer},
        "recipe": "fast",
        "char_ngram_range": None,
        "token_pattern": WORD_PATTERN,
        "initial_g": 0.0,
    }
