"""Where nothing is held out, passes that follow each other quickly are saved late: what failures find then."""

from dataclasses import replace

import numpy as np
import pytest

from manymill import scan
from manymill.errors import PlanError, SourceError
from manymill.linear.row_stream import Lane
from manymill.linear.run import train_run
from manymill.linear.settings import Settings
from manymill.linear.state import LinearState
from manymill.model import load_model

SETTINGS = Settings(n_features=2**14, holdout=0.0, passes=3)


@pytest.fixture
def source(write, languages):
    return scan(write("some.jsonl", languages))


@pytest.fixture
def after_one_pass(tmp_path, source):
    return load_model(train_run(source, tmp_path / "once", replace(SETTINGS, passes=1)).folder / "model")


@pytest.mark.parametrize("error", [SourceError("the file changed"), RuntimeError("anything")], ids=repr)
def test_a_failure_in_a_later_pass_saves_the_pass_before(
    tmp_path, source, after_one_pass, monkeypatch, error
):
    lessons = Lane.feature_batches

    def failing(self, pass_number, skip=0):
        for i, lesson in enumerate(lessons(self, pass_number, skip)):
            if (pass_number, i) == (1, 1):
                raise error
            yield lesson

    monkeypatch.setattr(Lane, "feature_batches", failing)
    with pytest.raises(type(error), match=str(error)):
        train_run(source, tmp_path / "run", SETTINGS)
    kept = load_model(tmp_path / "run" / "model")
    assert np.array_equal(kept.weights, after_one_pass.weights)
    assert np.array_equal(kept.intercept, after_one_pass.intercept)


def test_weights_that_grow_without_bound_in_a_later_pass_leave_the_model_of_the_pass_before(
    tmp_path, source, after_one_pass, monkeypatch
):
    make_room = LinearState.make_room

    def exploding(self, n_classes):
        make_room(self, n_classes)
        if self.learner.n_rows_seen >= 13_500:
            n, n_outputs = self.learner.n_features, self.learner.n_outputs
            self.learner.set_state(0, np.full((n, n_outputs), 3e38, np.float32), np.ones(n, np.float32))

    monkeypatch.setattr(LinearState, "make_room", exploding)
    with pytest.raises(PlanError, match="diverged in pass 2; the model of pass 1 is saved"):
        train_run(source, tmp_path / "run", SETTINGS)
    assert np.array_equal(load_model(tmp_path / "run" / "model").weights, after_one_pass.weights)
