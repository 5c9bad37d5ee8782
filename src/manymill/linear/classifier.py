"""TextClassifier: a linear classifier of text as a scikit-learn estimator."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator

from manymill.constants import FeatureWeights, Loss, Norm, Value
from manymill.data.dataset import Dataset, Plan
from manymill.data.memory import complete_texts
from manymill.estimator_support import refuse_own_labels, set_text_tags, thread_count
from manymill.linear.holdout import HoldoutMetrics
from manymill.linear.settings import Settings
from manymill.linear.state import ClassIndex, LinearState, LoadedState, Snapshot
from manymill.linear.text_estimator import (
    EncodedTargets,
    TextPrediction,
    check_partial_fit,
    partial_fit_classes,
    settings_of,
)
from manymill.linear.training import TrainingResult, train


class TextClassifier(TextPrediction, BaseEstimator):
    """Linear classifier of text with hashed words and AdaGrad; the model does not depend on the number of threads.

    Texts are hashed and trained on in a stream: no matrix is built, and a :class:`~manymill.Dataset` may be larger than
    memory.

    Parameters
    ----------
    ngram_range : tuple of int
        Least and greatest number of words of a feature.
    n_features : int or None
        Number of hash buckets, 1 to 2^30; the state takes 4 bytes per bucket and output, and 4 more per bucket. None:
        2^22, or as many as keep the state of all classes below 256 MB.
    lowercase : bool
        Whether to lower-case the text first.
    value : {"log", "count", "binary"}
        A feature's value in a row: 1 + ln(count), count, or 1.
    norm : {"l2", "l1", None}
        Norm that each row is divided by.
    feature_weights : {"nb", "idf", None}
        Weights that multiply the values before the row is normalised, counted in a separate first pass: ``"nb"``, how
        well a feature separates the classes (log-count ratios of naive Bayes: Wang and Manning 2012 for two classes),
        or ``"idf"``, inverse document frequencies.
    loss : {"log", "hinge", "squared_hinge", "modified_huber", "squared_error"}
        ``"log"`` is logistic for two classes and softmax for more; the others are one-vs-rest.
    l1, l2 : float
        Regularisation, strength per row.
    learning_rate : float or None
        AdaGrad's step (Duchi, Hazan and Singer 2011); None chooses it by the loss and the number of classes.
    fit_intercept : bool
        Whether each output has an intercept.
    class_weight : None, "balanced" or dict
        Weights of classes by label; ``"balanced"`` counts over the rows so far.
    passes : int
        Maximum number of passes over the rows.
    patience : int
        Training stops after so many passes without a better held-out accuracy.
    holdout : float or None
        Share of rows held out to choose the best pass, by a hash of their text. None: 2 %, at most about 20,000 rows,
        and none below 5,000 rows.
    lanes : int
        Streams of rows that train in parallel, each with its own state, and are merged every round. A single lane
        trains sequentially: it is the most accurate on one machine, and as fast on a few processors.
    rounds_per_pass : int
        Merges of the lanes per pass.
    merge : str
        Merge rule: ``"uniform"``, ``"damped"``, ``"mass"``, or ``"auto"``, which chooses a rule on held-out rows. See
        :mod:`manymill.linear.merging`.
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
    coef_ : ndarray of float32, shape (n_outputs, n_features)
        Weights; one output for two classes.
    intercept_ : ndarray of float32, shape (n_outputs,)
        Intercepts.
    n_iter_ : int
        Number of passes.
    holdout_score_ : float or None
        Accuracy of the best pass on held-out rows; None without held-out rows.
    temperature_ : float
        Divisor of the scores in probabilities; 1 without held-out rows, or if it cannot be fitted on them.

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
        ngram_range: tuple[int, int] = (1, 1),
        n_features: int | None = None,
        lowercase: bool = True,
        value: Value = "log",
        norm: Norm | None = "l2",
        feature_weights: FeatureWeights | None = None,
        loss: Loss = "log",
        l1: float = 0.0,
        l2: float = 0.0,
        learning_rate: float | None = None,
        fit_intercept: bool = True,
        class_weight: str | Mapping[Any, float] | None = None,
        passes: int = 3,
        patience: int = 2,
        holdout: float | None = None,
        lanes: int = 1,
        rounds_per_pass: int = 8,
        merge: str = "auto",
        interleaved: bool = True,
        calibrate: bool = True,
        random_state: int | np.random.RandomState | None = 0,
        threads: int | None = None,
    ) -> None:
        self.ngram_range = ngram_range
        self.n_features = n_features
        self.lowercase = lowercase
        self.value = value
        self.norm = norm
        self.feature_weights = feature_weights
        self.loss = loss
        self.l1 = l1
        self.l2 = l2
        self.learning_rate = learning_rate
        self.fit_intercept = fit_intercept
        self.class_weight = class_weight
        self.passes = passes
        self.patience = patience
        self.holdout = holdout
        self.lanes = lanes
        self.rounds_per_pass = rounds_per_pass
        self.merge = merge
        self.interleaved = interleaved
        self.calibrate = calibrate
        self.random_state = random_state
        self.threads = threads

    def __sklearn_tags__(self) -> Any:
        return set_text_tags(super().__sklearn_tags__())

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
        self.temperature_ = result.metrics.temperature
        if result.refusal is not None:
            raise result.refusal
        if result.interrupted:
            raise KeyboardInterrupt
        return self

    def _train(self, plan: Plan, settings: Settings, names: Sequence[str], engine: Any) -> TrainingResult:
        best: list[Snapshot] = []

        def save(state: LinearState, number: int, metrics: HoldoutMetrics) -> None:
            # The state of the last pass is in the learner: copy only earlier ones.
            best[:] = [] if number == settings.passes else [state.snapshot()]

        result = train(
            plan,
            settings,
            on_best=save,
            threads=thread_count(self),
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
            If the first call has no ``classes``, a label is not one of them, ``class_weight`` is "balanced", or there
            are ``feature_weights``.
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
            settings = settings_of(self, targets.weights_by_name(self.class_weight)).for_classes(
                len(targets.names)
            )
            self._state = LinearState(settings, ClassIndex.in_order(targets.names), as_integers=False)
            self.classes_, self.n_iter_, self.holdout_score_ = targets.classes, 0, None
            self.temperature_ = 1.0
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
