import numpy as np
import pytest

from manymill import TextClassifier
from manymill.data.dataset import Dataset
from manymill.data.memory import complete_texts
from manymill.errors import SettingsError
from manymill.events import FinishIteration, Warned
from manymill.linear.labels import Labels
from manymill.linear.settings import Settings
from manymill.linear.training import train


def some_text(n_rows=1500, n_classes=2):
    generator = np.random.default_rng(1)
    words = generator.integers(0, 60, (n_rows, 10))
    ranks = (words % n_classes == 0).sum(axis=1) + generator.normal(0, 0.7, n_rows)
    labels = np.searchsorted(np.quantile(ranks, np.arange(1, n_classes) / n_classes), ranks)
    return [" ".join(f"w{w}" for w in row) for row in words], [f"c{n}" for n in labels]


def trained(threads=1, n_classes=2, **settings):
    texts, labels = some_text(n_classes=n_classes)
    taken = complete_texts(texts)
    events, kept = [], []
    dataset = Dataset.from_memory(*Labels(taken, labels, None).counting(taken))
    chosen = {"n_features": 4096, "passes": 1, "learning_rate": 0.02, "finish": "lbfgs", **settings}
    result = train(
        dataset.plan(),
        Settings(**chosen),
        keep=lambda state, number, measured: kept.append(measured),
        observe=events.append,
        threads=threads,
    )
    return result, kept, events


@pytest.mark.parametrize("n_classes", [2, 3])
def test_a_training_that_stopped_early_is_finished(n_classes):
    result, kept, events = trained(n_classes=n_classes, holdout=0.2)
    steps = [event for event in events if isinstance(event, FinishIteration)]
    assert any(step.kept for step in steps)
    assert result.measured == kept[-1]
    assert kept[-1].loss < kept[0].loss
    assert kept[-1].accuracy >= kept[0].accuracy
    assert [s.loss for s in steps] == sorted((s.loss for s in steps), reverse=True)


def test_a_finish_that_makes_held_out_rows_worse_is_not_kept():
    result, kept, events = trained(holdout=0.2, finish_iterations=60, learning_rate=0.5)
    steps = [event for event in events if isinstance(event, FinishIteration)]
    assert any(not step.kept for step in steps)
    assert result.measured.loss == min(m.loss for m in kept)


def test_the_threads_do_not_change_a_bit_of_a_finish():
    one, three = (trained(threads=n, holdout=0.2)[0].state for n in (1, 3))
    assert np.array_equal(np.concatenate(list(one.weights())), np.concatenate(list(three.weights())))


def test_without_held_out_rows_there_is_a_warning_and_no_finish():
    _, kept, events = trained(holdout=0.0)
    assert len(kept) == 1
    assert any(isinstance(e, Warned) and "finish" in e.message for e in events)


def test_the_estimator_has_the_state_that_was_kept():
    texts, labels = some_text()
    options = {"n_features": 4096, "passes": 2, "learning_rate": 0.02, "holdout": 0.2}
    plain, finished = (TextClassifier(finish=f, **options).fit(texts, labels) for f in (None, "lbfgs"))
    assert finished.holdout_score_ >= plain.holdout_score_
    assert not np.array_equal(plain.coef_, finished.coef_)


@pytest.mark.parametrize(
    "wrong", [{"loss": "hinge"}, {"l1": 0.1}, {"finish": "newton"}, {"finish_iterations": 0}]
)
def test_a_finish_that_cannot_be_is_refused(wrong):
    with pytest.raises(SettingsError, match="finish"):
        Settings(**{"finish": "lbfgs", **wrong})
