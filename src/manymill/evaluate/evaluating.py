"""The run of an evaluation: batches are scored and counted on many threads, and the counts added up."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from manymill import metrics
from manymill.data.batches import Batch
from manymill.data.ledger import Ledger
from manymill.data.plan import Plan
from manymill.data.reading import read
from manymill.engine.local import workers
from manymill.engine.ordered import map_in_order
from manymill.errors import PlanError, SchemaError
from manymill.evaluate import tables
from manymill.metrics import Counts, Metrics
from manymill.model import PROBABILISTIC_LOSSES, LinearModel, choose_classes, probabilities
from manymill.scoring import Scorer

# Confusions listed where the whole matrix would be too wide to read.
_LISTED_CONFUSIONS = 30


@dataclass(frozen=True)
class Evaluation:
    """How good a model is on some rows.

    Parameters
    ----------
    metrics : Metrics
    counts : Counts
        What the metrics were made from.
    bad_counts : dict
        Records that are no rows, by reason; they are in no metric.
    """

    metrics: Metrics
    counts: Counts
    bad_counts: dict[str, int]

    def to_json(self) -> dict[str, Any]:
        """All figures as JSON types.

        The confusion matrix is there for up to 20 classes; the largest confusions always.
        """
        names = [row.label for row in self.metrics.classes]
        content = asdict(self.metrics)
        content["classes"] = [asdict(row) for row in self.metrics.classes]
        content["accuracy_interval"] = list(self.metrics.accuracy_interval)
        content["confusions"] = [
            {"label": names[true], "chosen": names[chosen], "n_rows": n}
            for true, chosen, n in metrics.largest_confusions(self.counts, _LISTED_CONFUSIONS)
        ]
        if len(names) <= tables.MAX_MATRIX_CLASSES:
            content["confusion_matrix"] = metrics.confusion_matrix(self.counts).tolist()
        content["bad_rows"] = dict(self.bad_counts)
        return content

    def to_text(self) -> str:
        """The figures for people: a summary, a table of classes, and confusions."""
        blocks = [
            tables.summary(self.metrics, self.bad_counts),
            tables.classes(self.metrics),
            tables.confusions(self.metrics, self.counts, _LISTED_CONFUSIONS),
        ]
        return "\n\n".join(block for block in blocks if block)


def evaluate(model: LinearModel, plan: Plan, *, threads: int) -> Evaluation:
    """How good a model is on the rows of a plan.

    Parameters
    ----------
    model : LinearModel
    plan : Plan
        What is read; with labels. A row whose label is no class of the model counts as wrong.
    threads : int
        Threads that read, hash and score; never decides a digit of the result.

    Raises
    ------
    SchemaError
        If the plan reads no labels.
    SourceError, RowError
        If a file cannot be read, or has a bad row and the plan is strict.
    PlanError
        If there is not one row.
    """
    if not plan.dataset.labelled:
        raise SchemaError("the rows to evaluate have no labels", "name their column with label=")
    count = _Counter(model)
    ledger = Ledger(strict=plan.dataset.strict)
    total = Counts(len(model.classes))
    with workers(threads) as executor:
        batches = _noted(read(plan, executor=executor, look_ahead=2 * threads), ledger)
        with closing(map_in_order(count, batches, executor=executor, look_ahead=2 * threads)) as counted:
            for counts in counted:
                total += counts
    if ledger.n_used == 0:
        why = ledger.summary()
        raise PlanError(
            f"there is no row to evaluate{': ' + why if why else ''}", "name files with labelled text"
        )
    return Evaluation(metrics.summarise(total, model.classes), total, dict(ledger.counts))


def _noted(batches: Iterator[Batch], ledger: Ledger) -> Iterator[Batch]:
    for batch in batches:
        ledger.add(batch)
        yield batch


class _Counter:
    """Scores a batch and counts what came out; called on many threads."""

    def __init__(self, model: LinearModel) -> None:
        self._model = model
        self._scorer = Scorer(model)
        # Files hold labels as text, whatever their type.
        self._position = {str(label): number for number, label in enumerate(model.classes)}

    def __call__(self, batch: Batch) -> Counts:
        model, n_classes = self._model, len(self._model.classes)
        assert batch.label is not None  # the plan is labelled
        names, codes = batch.label.names, batch.label.codes
        known = np.array([self._position.get(name, -1) for name in names] or [-1], dtype=np.int64)
        true = known[codes]
        counts = Counts(n_classes)
        for rows, scores in self._scorer.pieces(batch):
            given = None
            if model.loss in PROBABILISTIC_LOSSES:
                given = probabilities(scores, model.loss, n_classes, model.temperature)
            unknown = [names[codes[row]] for row in rows.start + np.flatnonzero(true[rows] < 0)]
            counts += metrics.count(
                true[rows], choose_classes(scores), n_classes, probabilities=given, unknown_labels=unknown
            )
        return counts
