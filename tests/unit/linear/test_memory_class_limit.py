"""Law 3: memory is bounded for the classes of the plan, and growth beyond the promise is refused."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from manymill import ComplementNaiveBayes, Dataset, TextClassifier, scan
from manymill.data.ledger import Ledger
from manymill.errors import MemoryLimitError, PlanError
from manymill.events import ClassesFound, Warned
from manymill.linear.memory import OPTION_NAMES, PARAMETER_NAMES, ClassLimit, memory_need
from manymill.linear.row_stream import Lane, state_bytes
from manymill.linear.run import resume_run, train_run
from manymill.linear.settings import Settings
from manymill.linear.trainers import PassStats, SequentialTrainer
from manymill.model import load_model

SETTINGS = Settings(recipe="fast", n_features=2**18, passes=2, holdout=0.0)


def write(folder: Path, n_late: int, *, n_rows: int = 600) -> Path:
    """Rows of two classes with some rows of classes of their own in the middle."""
    path = folder / "rows.jsonl"
    with path.open("w") as file:
        for i in range(n_rows):
            late = 0 <= i - n_rows // 2 < n_late
            row = {"text": f"word{i % 50} common{i % 2}", "label": f"late{i}" if late else "ab"[i % 2]}
            file.write(json.dumps(row) + "\n")
    return path


def plan_without_late(path: Path, **changes):
    """The plan as a sample would make it that has no late row."""
    plan = scan(path).plan(block_bytes=1000)
    return replace(plan, class_counts={"a": 1, "b": 1}, exact=False, **changes)


def promise(plan, used: Settings = SETTINGS, n_classes: int = 2) -> int:
    return memory_need(plan, used, threads=2, n_classes=n_classes).total


# ---- one lane


def test_a_growth_that_does_not_fit_keeps_a_model_and_says_all_there_is_to_say(tmp_path):
    path = write(tmp_path, 300)
    plan, run = plan_without_late(path), tmp_path / "run"
    with pytest.raises(MemoryLimitError) as raised:
        train_run(plan, run, SETTINGS, threads=2, memory=promise(plan))
    message = str(raised.value)
    assert isinstance(raised.value, PlanError)
    assert "302 classes were found, 300 of them not in the plan" in message
    assert f"(such as 'late300' in {path}, byte " in message
    assert "the training would need " in message
    assert "the model learnt so far is saved" in message
    for way in ("--classes", "--memory", "--n-features", "--label"):
        assert way in raised.value.hint
    assert load_model(run / "model").classes == ("a", "b")


def test_a_growth_that_fits_is_learnt_to_the_same_bytes_as_without_a_limit(tmp_path):
    plan = plan_without_late(write(tmp_path, 5))
    limit = promise(plan, n_classes=7) + state_bytes(2**18, 7)
    train_run(plan, tmp_path / "limited", SETTINGS, threads=2, memory=limit)
    train_run(plan, tmp_path / "free", SETTINGS, threads=2)
    limited, free = (sorted((tmp_path / name / "model").iterdir()) for name in ("limited", "free"))
    assert [file.read_bytes() for file in limited] == [file.read_bytes() for file in free]
    assert len(load_model(tmp_path / "free" / "model").classes) == 7


def test_a_training_that_outgrows_its_plan_without_a_limit_warns_with_the_figures(tmp_path):
    events = []
    plan = plan_without_late(write(tmp_path, 40))
    train_run(plan, tmp_path / "run", SETTINGS, threads=2, observe=events.append)
    (found,) = [event for event in events if isinstance(event, ClassesFound)]
    assert found.n_classes == 42
    (warned,) = [
        event.message for event in events if isinstance(event, Warned) and "the plan has 2" in event.message
    ]
    assert "42 classes were found" in warned
    assert " instead of " in warned
    assert "--classes" in warned


def test_a_resumed_training_keeps_to_its_limit(tmp_path):
    plan, run = plan_without_late(write(tmp_path, 300)), tmp_path / "run"
    for attempt in (
        lambda: train_run(plan, run, SETTINGS, threads=2, memory=promise(plan)),
        lambda: resume_run(run, threads=2),
    ):
        with pytest.raises(MemoryLimitError, match="the limit is"):
            attempt()


@pytest.mark.parametrize("kind", ["nb", "idf"])
def test_what_is_weighed_by_counts_keeps_a_model_as_well(tmp_path, kind):
    plan, run = plan_without_late(write(tmp_path, 300)), tmp_path / "run"
    weighed = replace(SETTINGS, feature_weights=kind)
    with pytest.raises(MemoryLimitError, match="is saved"):
        train_run(plan, run, weighed, threads=2, memory=promise(plan, weighed))
    assert load_model(run / "model").classes == ("a", "b")


def test_bad_rows_are_counted_once_where_the_counting_was_refused(tmp_path):
    path = write(tmp_path, 300)
    path.write_text("broken\n" + path.read_text())
    plan, run = plan_without_late(path), tmp_path / "run"
    weighed = replace(SETTINGS, feature_weights="nb")
    with pytest.raises(MemoryLimitError):
        train_run(plan, run, weighed, threads=2, memory=promise(plan, weighed))
    assert len((run / "bad_rows.jsonl").read_text().splitlines()) == 1


def test_hostile_labels_are_escaped_and_cut(tmp_path):
    path = tmp_path / "rows.jsonl"
    labels = ["a", "b"] * 20 + ["\x1b]0;pwn\x07" + "x" * 10_000 + str(i) for i in range(200)]
    path.write_text("".join(json.dumps({"text": "some text", "label": label}) + "\n" for label in labels))
    plan = plan_without_late(path)
    with pytest.raises(MemoryLimitError) as raised:
        train_run(plan, tmp_path / "run", SETTINGS, threads=2, memory=promise(plan))
    assert str(raised.value).isprintable()
    assert len(str(raised.value)) < 1500


# ---- lanes


def test_lanes_keep_a_model_of_the_classes_of_the_plan(tmp_path):
    plan, run = plan_without_late(write(tmp_path, 300)), tmp_path / "run"
    lanes = replace(SETTINGS, lanes=2, rounds_per_pass=2)
    with pytest.raises(MemoryLimitError, match="is saved"):
        train_run(plan, run, lanes, threads=2, memory=promise(plan, lanes))
    assert load_model(run / "model").classes == ("a", "b")


def test_lanes_take_a_growth_that_fits(tmp_path):
    plan = plan_without_late(write(tmp_path, 5))
    lanes = replace(SETTINGS, lanes=2, rounds_per_pass=2)
    limit = promise(plan, lanes, n_classes=7) + state_bytes(2**18, 7)
    train_run(plan, tmp_path / "run", lanes, threads=2, memory=limit)
    assert len(load_model(tmp_path / "run" / "model").classes) == 7


# ---- estimators


@pytest.mark.parametrize("kind", [TextClassifier, ComplementNaiveBayes])
def test_estimators_are_fitted_with_what_was_learnt(tmp_path, kind, monkeypatch):
    path = write(tmp_path, 300)
    plan = plan_without_late(path)
    model = kind(n_features=2**18)
    with monkeypatch.context() as small:
        small.setattr(Dataset, "plan", lambda self: plan)
        small.setattr("manymill.linear.memory.available_bytes", lambda: promise(plan))
        with pytest.raises(MemoryLimitError) as raised:
            model.fit(scan(path))
    assert "scan(..., classes=...)" in raised.value.hint
    assert "--" not in raised.value.hint
    assert model.classes_.tolist() == ["a", "b"]
    assert model.predict(["word1 common1"]).tolist() == ["b"]


def test_a_model_that_no_machine_holds_is_refused_before_training():
    with pytest.raises(MemoryLimitError, match="a model of 60 classes and 1,073,741,824 features needs 2"):
        TextClassifier(recipe="fast", n_features=2**30).fit(
            ["some text"] * 120, [str(i % 60) for i in range(120)]
        )


# ---- the law


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    labels=st.lists(st.integers(0, 60), min_size=40, max_size=150),
    n_planned=st.integers(2, 6),
    room=st.integers(0, 40),
    window=st.integers(200, 5000),
    kind=st.sampled_from([None, "nb", "idf"]),
)
def test_the_state_never_exceeds_the_promised_bytes(labels, n_planned, room, window, kind):
    names = [f"c{n_planned - 1 if label < 30 else label}" for label in labels]
    names[: 2 * n_planned] = [f"c{i % n_planned}" for i in range(2 * n_planned)]
    plan = Dataset.from_memory([f"word{i} text" for i in range(len(names))], names).plan(block_bytes=100)
    plan = replace(plan, class_counts={f"c{i}": 1 for i in range(n_planned)})
    used = Settings(
        recipe="fast", n_features=2**12, passes=2, holdout=0.0, window_bytes=window, feature_weights=kind
    ).for_plan(plan)
    # The state alone is promised, so that nothing hides behind what else a training needs.
    promised = state_bytes(2**12, n_planned + room)
    limit = ClassLimit(lambda n, n_features: state_bytes(n_features, n), 2**12, n_planned, limit=promised)
    lane = Lane(
        plan, used, executor=None, threads=1, classes=(), ledger=Ledger(), on_new_classes=limit.admit
    )  # fmt: skip
    learning = SequentialTrainer(plan, used, lane, lambda event: None)
    sampled = []

    def sample(step):
        if learning.state is not None:
            sampled.append(state_bytes(2**12, learning.state.learner.n_outputs))

    try:
        for number in (1, 2):
            learning.run_pass(PassStats(number, 2, plan.source_bytes), 0, sample)
            sample(0)
    except MemoryLimitError:
        sample(0)
        assert len(set(names)) > n_planned
    else:
        assert learning.index.names
        assert learning.state.learner.n_classes == len(set(names))
    assert all(n_bytes <= promised for n_bytes in sampled)
    if learning.state is not None:
        assert set(learning.state.names) <= set(names)
        table = learning.state.table
        assert (table is None) == (kind is None)
        n_columns = 2**12 if table is None else len(table)
        assert sum(len(part) for part in learning.state.weights()) == n_columns <= 2**12


def test_the_words_are_those_of_the_interface():
    assert all(
        word.startswith("--") for word in (OPTION_NAMES.classes, OPTION_NAMES.memory, OPTION_NAMES.n_features)
    )
    assert PARAMETER_NAMES.memory is None
