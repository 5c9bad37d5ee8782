"""TextClassifier: the training loop as a scikit-learn estimator."""

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
from manymill.errors import PlanError
from manymill.estimator_support import refuse_own_labels, set_text_tags, thread_count
from manymill.linear.holdout import Measured
from manymill.linear.settings import Settings
from manymill.linear.state import ClassIndex, LinearState, LoadedState, Snapshot
from manymill.linear.text_estimator import Labels, Predicting, check_partial_fit, settings_of
from manymill.linear.training import Trained, train


class TextClassifier(Predicting, BaseEstimator):
    """A linear classifier of text: hashed words, AdaGrad, the same model on any number of threads.

    Texts are hashed and learnt in a stream: no matrix is built, and a :class:`~manymill.Dataset` may be
    larger than memory.

    Parameters
    ----------
    ngram_range : tuple of int
        Least and greatest number of words of a feature.
    n_features : int or None
        Number of hash buckets, 1 to 2^30; the state takes 4 bytes for each of them and each output, and 4 more for
        each of them. None: 2^22, or as many as keep the state of all classes below 256 MB.
    lowercase : bool
        Whether text is lower-cased first.
    value : {"log", "count", "binary"}
        A feature's value in a row: 1 + ln(count), count, or 1.
    norm : {"l2", "l1", None}
        What each row is divided by.
    feature_weights : {"nb", "idf", None}
        What each value is multiplied by before the row is divided by its norm, counted in a pass of its own:
        ``"nb"``, how much a feature tells the classes apart (log-count ratios of naive Bayes: Wang and Manning 2012
        for two classes), or ``"idf"``, inverse document frequencies.
    loss : {"log", "hinge", "squared_hinge", "modified_huber", "squared_error"}
        ``"log"`` is logistic for two classes and softmax for more; the others are one class against the rest.
    l1, l2 : float
        Regularisation, strength per row.
    learning_rate : float or None
        AdaGrad's step (Duchi, Hazan and Singer 2011); None chooses it by the loss and the number of classes.
    fit_intercept : bool
        Whether each output has an intercept.
    class_weight : None, "balanced" or dict
        Weights of classes by label; ``"balanced"`` counts over the rows met so far.
    passes : int
        Visits of every row at most.
    patience : int
        Passes without a better held-out accuracy after which training stops.
    holdout : float or None
        Share of rows held out to choose the best pass, by a hash of their text. None: 2 %, at most about
        20,000 rows, and none below 5,000 rows.
    lanes : int
        Streams of rows that learn side by side, each with a state of its own, and are merged every round. One lane
        learns in sequence: the most accurate on one machine, and as fast on a few processors.
    rounds_per_pass : int
        How often several lanes are merged in a pass.
    merge : str
        How: ``"auto"`` chooses a rule by held-out rows; ``"uniform"``, ``"damped"`` and ``"mass"`` are rules. See
        :mod:`manymill.linear.merging`.
    interleaved : bool
        Whether each lane gets rows from all over the source, or neighbours only.
    calibrate : bool
        Whether a temperature found on the rows held out makes :meth:`predict_proba` honest. Chosen classes and scores
        do not depend on it.
    random_state : int, RandomState or None
        Decides the order of rows.
    threads : int or None
        Threads that hash; all processors if None. The model does not depend on it.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The labels, sorted.
    coef_ : ndarray of float32, shape (n_outputs, n_features)
        Weights; one output for two classes.
    intercept_ : ndarray of float32, shape (n_outputs,)
        Intercepts.
    n_iter_ : int
        Passes made.
    holdout_score_ : float or None
        Accuracy of the kept pass on held-out rows; None if none were.
    temperature_ : float
        What scores are divided by before they become probabilities; 1 where nothing was held out, or nothing could
        be told.

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

    # ---- learning

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
        """Learn texts and their labels, forgetting what was learnt before.

        Ctrl-C stops early; the estimator then is fitted with the best that was learnt, and
        ``KeyboardInterrupt`` goes on. The same holds for ``MemoryLimitError``.

        Parameters
        ----------
        X : sequence of str of shape (n_rows,), or Dataset
            Texts: a list, NumPy array, Arrow array, pandas or polars column; or what :func:`manymill.scan`
            gives. Texts that were hashed for a search are texts as well:
            :class:`manymill.data.hashed_texts.HashedTexts`.
        y : array-like of shape (n_rows,)
            Labels; left out with a Dataset, which has its own.
        sample_weight : array-like of shape (n_rows,), optional
            Weights of rows, 0 or more; a row of weight 0 is left out.
        engine : optional
            Where lanes work: None or a number for threads, ``"processes"``, ``"dask://cluster.json"``, an executor or a
            Dask client; see :func:`manymill.engine.selection.as_engine`. The model does not depend on it.
        lanes, rounds_per_pass : int, optional
            Instead of the parameters of the same names.

        Returns
        -------
        self

        Raises
        ------
        PlanError
            If a parameter is out of range, there is no row, or only one class.
        MemoryLimitError
            If classes that the sample of a Dataset did not have need more memory than this machine has available.
        SchemaError
            If a text is missing or no string.
        """
        given = {"lanes": lanes, "rounds_per_pass": rounds_per_pass}
        asked: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
        if isinstance(X, Dataset):
            refuse_own_labels(y, sample_weight)
            settings = replace(settings_of(self, self.class_weight), **asked)
            trained = self._train(X.plan(), settings, (), engine)
            self.classes_ = np.array(trained.state.classes)
        else:
            texts = complete_texts(X)
            labels = Labels(texts, y, sample_weight)
            settings = replace(settings_of(self, labels.by_name(self.class_weight)), **asked)
            dataset = Dataset.from_memory(*labels.counting(texts))
            trained = self._train(dataset.plan(), settings, labels.names, engine)
            self.classes_ = labels.classes
        self._state: LinearState | LoadedState = trained.state
        self.n_iter_ = trained.passes
        self.holdout_score_ = trained.measured.accuracy
        self.temperature_ = trained.measured.temperature
        if trained.refusal is not None:
            raise trained.refusal
        if trained.interrupted:
            raise KeyboardInterrupt
        return self

    def _train(self, plan: Plan, settings: Settings, names: Sequence[str], engine: Any) -> Trained:
        kept: list[Snapshot] = []

        def keep(state: LinearState, number: int, measured: Measured) -> None:
            # The state of the last pass is in the learner; only an earlier one has to be copied.
            kept[:] = [] if number == settings.passes else [state.snapshot()]

        trained = train(
            plan, settings, keep=keep, threads=thread_count(self), classes=names, engine=engine, rescues=False
        )
        if kept and trained.best_pass < trained.passes:
            trained.state.restore(kept[0])
        return trained

    def partial_fit(
        self, X: Any, y: ArrayLike, classes: ArrayLike | None = None, sample_weight: ArrayLike | None = None
    ) -> Self:
        """Learn further rows once, in the order given.

        Parameters
        ----------
        X : sequence of str of shape (n_rows,)
            Texts.
        y : array-like of shape (n_rows,)
            Labels.
        classes : array-like of shape (n_classes,), optional
            All labels that may come; needed in the first call.
        sample_weight : array-like of shape (n_rows,), optional
            Weights of rows, 0 or more.

        Returns
        -------
        self

        Raises
        ------
        PlanError
            If the first call has no ``classes``, a label is none of them, or ``class_weight`` is "balanced",
            or there are ``feature_weights``.
        SchemaError
            If a text is missing or no string.
        ModelError
            If this model was loaded from a folder, which holds no squared-gradient sums to go on from.
        """
        check_partial_fit(self, classes)
        known = getattr(self, "classes_", None)
        texts = complete_texts(X)
        labels = Labels(texts, y, sample_weight, known if known is not None else classes)
        if known is None:
            settings = settings_of(self, labels.by_name(self.class_weight)).for_classes(len(labels.names))
            self._state = LinearState(settings, ClassIndex.in_order(labels.names), as_integers=False)
            self.classes_, self.n_iter_, self.holdout_score_ = labels.classes, 0, None
            self.temperature_ = 1.0
        elif classes is not None and not np.array_equal(np.unique(np.asarray(classes)), known):
            raise PlanError("classes differ from those of the first call of partial_fit")
        state = self._state
        assert isinstance(state, LinearState)
        numbers = state.numbers()[labels.codes]
        weights = labels.weighted(self.class_weight)
        start = 0
        for rows in self._rows(texts):
            part = slice(start, start + len(rows))
            state.learner.learn(rows, numbers[part], None if weights is None else weights[part])
            start += len(rows)
        self.n_iter_ += 1
        return self
