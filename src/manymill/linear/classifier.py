"""TextClassifier: a linear classifier of text as a scikit-learn estimator."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator

from manymill.constants import (
    AUTO,
    CharAnalyzer,
    FeatureWeights,
    Link,
    Loss,
    Norm,
    Recipe,
    StripAccents,
    Value,
)
from manymill.data.dataset import Dataset, Plan
from manymill.data.memory import complete_texts
from manymill.estimator_support import refuse_own_labels, set_text_tags, thread_count
from manymill.events import Event, Warned
from manymill.linear.choice import with_choice
from manymill.linear.holdout import HoldoutMetrics, default_temperature
from manymill.linear.recipe import value_of
from manymill.linear.settings import Settings, values_0_1
from manymill.linear.state import ClassIndex, LinearState, LoadedState, Snapshot
from manymill.linear.text_estimator import (
    EncodedTargets,
    TextPrediction,
    check_partial_fit,
    loss_of,
    partial_fit_classes,
    settings_of,
)
from manymill.linear.training import TrainingResult, train
from manymill.log import TRAINING
from manymill.model import link_of_loss


def _log_warnings(event: Event) -> None:
    if isinstance(event, Warned):
        logging.getLogger(TRAINING).warning(event.message)


class TextClassifier(TextPrediction, BaseEstimator):
    r"""Linear classifier of text with hashed features and AdaGrad; the model does not depend on the number of threads.

    Texts are hashed and trained on in a stream: no matrix is built, and a :class:`~manymill.Dataset` may be larger than
    memory. Parameters that are ``"auto"`` are decided by the ``recipe`` and the data: see
    :mod:`manymill.linear.recipe`.

    Parameters
    ----------
    recipe : {"standard", "fast", "auto"}
        ``"standard"``: words, pairs of words and 3 characters, weighted by how well they separate the classes and by
        how rare they are, in two passes. ``"fast"``: words in one pass, without counting first. ``"auto"``:
        standard, or a variant of it that is clearly better on a sample of the rows: see :mod:`manymill.linear.choice`.
    ngram_range : "auto", tuple of int or None
        Least and greatest number of words of a feature; None: no features of words.
    char_ngram_range : "auto", tuple of int or None
        Least and greatest number of characters of a feature; None: no features of characters. Words and characters are
        different features in one table.
    char_analyzer : {"char_wb", "char"}
        What features of characters do not cross: the ends of a word, or those of the document.
    token_pattern : str or None
        What a word is. None: by the rules of Unicode, with combining marks, single letters, digits, emoji and runs of
        ``!`` and ``?``; of scripts without spaces between words, 1 to 3 letters. Or the default of scikit-learn's
        vectorizers, ``r"(?u)\b\w\w+\b"``.
    stop_words : "english", list of str or None
        Words that are no features.
    strip_accents : {"ascii", "unicode", None}
        Whether and how to remove accents first, as scikit-learn's vectorizers do.
    lowercase : bool
        Whether to lower-case the text first.
    n_features : int or None
        Number of hash buckets, 1 to 2^30; the model holds those in use. None: by the size of the text, 2^18 to 2^24; if
        features are not counted first, 2^22 or fewer.
    value : {"log", "count", "binary"}
        A feature's value in a row: 1 + ln(count), count, or 1.
    norm : {"l2", "l1", None}
        Norm that each row is divided by.
    feature_weights : {"auto", "nb-idf", "nb", "idf", None}
        Weights that multiply the values before the row is normalised, counted in a separate first pass: ``"nb"``, how
        well a feature separates the classes (log-count ratios of naive Bayes: Wang and Manning 2012 for two classes),
        ``"idf"``, inverse document frequencies, or ``"nb-idf"``, the root of their product. ``"auto"`` is ``"nb-idf"``,
        or ``"idf"`` if one of two classes is rare; ``partial_fit`` cannot count and takes it for None.
    loss : {"auto", "log", "hinge", "squared_hinge", "modified_huber", "squared_error"}
        ``"log"`` is logistic for two classes and softmax for more; the others are one-vs-rest.
    l1 : float
        L1 regularisation, strength per row.
    l2 : "auto", float or str
        L2 regularisation, strength per row.
    learning_rate : float or None
        AdaGrad's step (Duchi, Hazan and Singer 2011); None chooses it by the loss and the number of classes.
    initial_g : "auto" or float
        Start of each feature's sum of squared gradients, 0 or more: with more, a feature that occurs for the first time
        moves less.
    fit_intercept : bool
        Whether each output has an intercept.
    class_weight : None, "balanced" or dict
        Weights of classes by label; ``"balanced"`` counts over the rows so far.
    passes : "auto" or int
        Maximum number of passes over the rows.
    patience : int
        Training stops after so many passes without a better held-out accuracy.
    holdout : float or None
        Share of rows held out to choose the best pass, by a hash of their text. None: 2 %, at most about 20,000 rows,
        and none below 5,000 rows.
    holdout_tail : float or None
        Share of rows held out at the end of the texts, or of each file of a Dataset, for rows in order of time: above
        0, at most 0.5. It excludes ``holdout``. See :mod:`manymill.data.tails`.
    lanes : int
        Streams of rows that train in parallel, each with its own state, and are merged every round. A single lane
        trains sequentially: it is the most accurate on one machine, and as fast on a few processors.
    rounds_per_pass : int
        Merges of the lanes per pass.
    merge : str
        Merge rule: ``"uniform"``, ``"damped"``, ``"mass"``, ``"magnitude"``, or ``"auto"``, which chooses a rule on
        held-out rows. See :mod:`manymill.linear.merging`.
    interleaved : bool
        Whether each lane gets rows from all over the source, or neighbouring ones.
    calibrate : bool
        Whether to calibrate :meth:`predict_proba` by a temperature fitted on the held-out rows. Predicted classes and
        scores do not depend on it.
    random_state : int, RandomState or None
        Seed of the order of rows.
    threads : int or None
        Threads that hash; None uses all processors. The model does not depend on it.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The labels, sorted.
    coef_ : ndarray of float32, shape (n_outputs, n_columns)
        Weights of the features in use; one output for two classes.
    features_ : ndarray of uint32, shape (n_columns,)
        Hash bucket of each column.
    intercept_ : ndarray of float32, shape (n_outputs,)
        Intercepts.
    recipe_ : RecipeChosen or None
        What the recipe ``"auto"`` has chosen, and why; None with other recipes.
    n_iter_ : int
        Number of passes.
    holdout_score_ : float or None
        Accuracy of the best pass on held-out rows; None without held-out rows.
    temperature_ : float
        Divisor of the scores in probabilities. If it cannot be fitted on held-out rows: 1, or with the loss
        ``modified_huber`` 0.25 for two classes and 0.4 for more.

    Examples
    --------
    >>> from manymill import TextClassifier
    >>> texts = ["good fun", "really good", "bad plot", "really bad"] * 5
    >>> clf = TextClassifier(passes=5).fit(texts, ["pos", "pos", "neg", "neg"] * 5)
    >>> clf.predict(["good plot, good fun"]).tolist()
    ['pos']
    """

    def __init__(
        self,
        *,
        recipe: Recipe = "standard",
        ngram_range: str | tuple[int, int] | None = AUTO,
        char_ngram_range: str | tuple[int, int] | None = AUTO,
        char_analyzer: CharAnalyzer = "char_wb",
        token_pattern: str | None = None,
        stop_words: str | Sequence[str] | None = None,
        strip_accents: StripAccents | None = None,
        lowercase: bool = True,
        n_features: int | None = None,
        value: Value = "log",
        norm: Norm | None = "l2",
        feature_weights: FeatureWeights | str | None = AUTO,
        loss: Loss | str = AUTO,
        l1: float = 0.0,
        l2: float | str = AUTO,
        learning_rate: float | None = None,
        initial_g: float | str = AUTO,
        fit_intercept: bool = True,
        class_weight: str | Mapping[Any, float] | None = None,
        passes: int | str = AUTO,
        patience: int = 2,
        holdout: float | None = None,
        holdout_tail: float | None = None,
        lanes: int = 1,
        rounds_per_pass: int = 8,
        merge: str = "auto",
        interleaved: bool = True,
        calibrate: bool = True,
        random_state: int | np.random.RandomState | None = 0,
        threads: int | None = None,
    ) -> None:
        self.recipe = recipe
        self.ngram_range = ngram_range
        self.char_ngram_range = char_ngram_range
        self.char_analyzer = char_analyzer
        self.token_pattern = token_pattern
        self.stop_words = stop_words
        self.strip_accents = strip_accents
        self.lowercase = lowercase
        self.n_features = n_features
        self.value = value
        self.norm = norm
        self.feature_weights = feature_weights
        self.loss = loss
        self.l1 = l1
        self.l2 = l2
        self.learning_rate = learning_rate
        self.initial_g = initial_g
        self.fit_intercept = fit_intercept
        self.class_weight = class_weight
        self.passes = passes
        self.patience = patience
        self.holdout = holdout
        self.holdout_tail = holdout_tail
        self.lanes = lanes
        self.rounds_per_pass = rounds_per_pass
        self.merge = merge
        self.interleaved = interleaved
        self.calibrate = calibrate
        self.random_state = random_state
        self.threads = threads

    def __sklearn_tags__(self) -> Any:
        return set_text_tags(super().__sklearn_tags__())

    def __setstate__(self, state: dict[str, Any]) -> None:
        # Pickles of version 0.1 lack the newer parameters.
        super().__setstate__(state if "recipe" in state else {**values_0_1(), **state})

    # ---- training

    def fit(
        self,
        X: Any,
        y: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
        *,
        engine: Any = None,
        lanes: int | None = None,
        rounds_per_pass: int | None = None,
    ) -> Self:
        """Fit texts and labels; an earlier fit is discarded.

        Ctrl-C stops early: the estimator is then fitted with the best state so far, and ``KeyboardInterrupt`` is
        raised. The same holds for ``MemoryLimitError``.

        Parameters
        ----------
        X : sequence of str of shape (n_rows,), or Dataset
            Texts: a list, NumPy array, Arrow array, pandas or polars column,
            :class:`manymill.data.hashed_texts.HashedTexts`, or the result of :func:`manymill.scan`.
        y : array-like of shape (n_rows,)
            Labels; omitted with a Dataset, which contains them.
        sample_weight : array-like of shape (n_rows,), optional
            Weights of rows, 0 or more; a row of weight 0 is ignored.
        engine : optional
            Engine that runs several lanes: None or a number for threads, ``"processes"``, ``"dask://cluster.json"``, an
            executor or a Dask client; see :func:`manymill.engine.selection.as_engine`. The model does not depend on it.
        lanes, rounds_per_pass : int, optional
            Override the parameters of the same names.

        Returns
        -------
        self

        Raises
        ------
        SettingsError
            If a parameter is invalid.
        PlanError
            If there is no row, or only one class.
        MemoryLimitError
            If classes missing from the sample of a Dataset need more memory than is available.
        SchemaError
            If a text is missing or not a string.
        """
        given = {"lanes": lanes, "rounds_per_pass": rounds_per_pass}
        overrides: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
        if isinstance(X, Dataset):
            refuse_own_labels(y, sample_weight)
            settings = replace(settings_of(self, self.class_weight), **overrides)
            result = self._train(X.plan(), settings, (), engine)
            self.classes_ = np.array(result.state.classes)
        else:
            texts = complete_texts(X)
            targets = EncodedTargets(texts, y, sample_weight)
            settings = replace(settings_of(self, targets.weights_by_name(self.class_weight)), **overrides)
            dataset = Dataset.from_memory(*targets.weighted_rows(texts))
            result = self._train(dataset.plan(), settings, targets.names, engine)
            self.classes_ = targets.classes
        self._state: LinearState | LoadedState = result.state
        self.n_iter_ = result.passes
        self.holdout_score_ = result.metrics.accuracy
        self._link: Link = link_of_loss(loss_of(self))
        self.temperature_ = result.metrics.temperature
        if result.refusal is not None:
            raise result.refusal
        if result.interrupted:
            raise KeyboardInterrupt
        return self

    def _train(self, plan: Plan, settings: Settings, names: Sequence[str], engine: Any) -> TrainingResult:
        threads = thread_count(self)
        settings.check_engine(engine)
        settings, self.recipe_ = with_choice(plan, settings, threads=threads, classes=names)
        best: list[Snapshot] = []

        def save(state: LinearState, number: int, metrics: HoldoutMetrics) -> None:
            # The state of the last pass is in the learner: copy only earlier ones.
            best.clear()
            if number < settings.n_passes:
                best.append(state.snapshot())

        result = train(
            plan,
            settings,
            on_best=save,
            observe=_log_warnings,
            threads=threads,
            classes=names,
            engine=engine,
            save_on_failure=False,
        )
        if best and result.best_pass < result.passes:
            result.state.restore(best[0])
        return result

    def partial_fit(
        self, X: Any, y: ArrayLike, classes: ArrayLike | None = None, sample_weight: ArrayLike | None = None
    ) -> Self:
        """Learn further rows once, in the given order.

        Parameters
        ----------
        X : sequence of str of shape (n_rows,)
            Texts.
        y : array-like of shape (n_rows,)
            Labels.
        classes : array-like of shape (n_classes,), optional
            All labels that may occur; required in the first call.
        sample_weight : array-like of shape (n_rows,), optional
            Weights of rows, 0 or more.

        Returns
        -------
        self

        Raises
        ------
        PlanError
            If the first call has no ``classes``, a label is not one of them, ``class_weight`` is "balanced", or
            ``feature_weights`` is neither "auto" nor None.
        SchemaError
            If a text is missing or not a string.
        ModelError
            If this model was loaded from a folder, which does not contain the squared-gradient sums.
        """
        check_partial_fit(self)
        known = partial_fit_classes(self, classes)
        texts = complete_texts(X)
        targets = EncodedTargets(texts, y, sample_weight, known)
        if not hasattr(self, "classes_"):
            settings = settings_of(self, targets.weights_by_name(self.class_weight)).resolve(
                len(targets.names)
            )
            self._state = LinearState(settings, ClassIndex.in_order(targets.names), as_integers=False)
            self.classes_, self.n_iter_, self.holdout_score_ = targets.classes, 0, None
            loss = value_of(self, "loss")
            self._link = link_of_loss(loss)
            self.temperature_ = default_temperature(loss, self._state.learner.n_outputs)
        state = self._state
        assert isinstance(state, LinearState)
        numbers = state.numbers()[targets.codes]
        weights = targets.row_weights(self.class_weight)
        start = 0
        for rows in self._rows(texts):
            part = slice(start, start + len(rows))
            state.learner.learn(rows, numbers[part], None if weights is None else weights[part])
            start += len(rows)
        self.n_iter_ += 1
        return self
