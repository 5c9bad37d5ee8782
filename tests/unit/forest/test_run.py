"""A forest of tables in a run folder."""

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from manymill import load_forest, save_forest, scan
from manymill.errors import ModelError, SettingsError
from manymill.events import TreeGrown, Warned
from manymill.forest.run import ForestSettings, load_table_model, train_forest_run

SETTINGS = ForestSettings(n_trees=8, seed=3)


@pytest.fixture
def rows(monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    X = np.random.default_rng(0).normal(size=(300, 3)).astype("f4")
    table = {f"x{place}": column for place, column in enumerate(X.T)}
    when = np.arange(300).astype("datetime64[D]")
    y = pa.array(["yes" if row.sum() > 0 else "no" for row in X[:-2]] + [None, None])
    parquet.write_table(pa.table({**table, "when": when, "y": y}), tmp_path / "rows.parquet")
    return scan(tmp_path / "rows.parquet", label="y")


def test_a_run_that_was_stopped_is_gone_on_with_to_the_same_forest(rows, tmp_path):
    grown = []

    def stop(event):
        grown.extend([event] * isinstance(event, TreeGrown))
        if len(grown) == 3:
            raise RuntimeError("killed")

    with pytest.raises(RuntimeError, match="killed"):
        train_forest_run(rows, tmp_path / "run", SETTINGS, observe=stop)
    assert list((tmp_path / "run" / "checkpoint").glob("tree-*"))
    train_forest_run(rows, tmp_path / "run", SETTINGS)
    train_forest_run(rows, tmp_path / "whole", SETTINGS)
    X = np.random.default_rng(1).normal(size=(50, 3))
    again, whole = (load_forest(tmp_path / name / "model").predict_proba(X) for name in ("run", "whole"))
    np.testing.assert_array_equal(again, whole)
    assert not (tmp_path / "run" / "checkpoint").exists()


def test_columns_and_rows_that_are_left_out_are_told(rows, tmp_path):
    events = []
    run = train_forest_run(rows, tmp_path / "run", SETTINGS, observe=events.append)
    messages = [event.message for event in events if isinstance(event, Warned)]
    assert messages == [
        "the column 'when' is left out: dates and times are left out",
        "2 rows are left out: 'y' is missing",
    ]
    assert len(run.table.X) == 298


def test_a_share_of_rows_that_all_workers_map_cannot_be_held_out(rows, tmp_path):
    with pytest.raises(SettingsError, match="cannot be held out in mode shared"):
        train_forest_run(rows, tmp_path / "run", ForestSettings(holdout=0.2))


@pytest.mark.parametrize(
    "facts",
    [
        {"task": "regression"},
        {"task": None},
        {"schema": None},
        {"schema": {"columns": [], "target": None, "left_out": {}}},
        {"schema": {"columns": [{"name": 1, "kind": "number", "categories": []}], "target": 0, "left_out": {}}},
        {"schema": {"columns": [{"name": "a", "kind": "number", "categories": []}], "target": "y", "left_out": {}}},
    ],
)  # fmt: skip
def test_columns_that_are_not_those_of_the_forest_are_refused(rows, tmp_path, facts):
    train_forest_run(rows, tmp_path / "run", SETTINGS)
    forest = load_forest(tmp_path / "run" / "model")
    save_forest(tmp_path / "hostile", forest, facts={**forest.facts_, **facts})
    with pytest.raises(ModelError):
        load_table_model(tmp_path / "hostile")


def test_a_forest_of_several_outputs_is_none_of_a_table(rows, tmp_path):
    train_forest_run(rows, tmp_path / "run", SETTINGS)
    kept = load_forest(tmp_path / "run" / "model")
    X = np.random.default_rng(0).normal(size=(40, 3))
    several = type(kept)(3).fit(X, (X[:, :2] > 0).astype(int))
    save_forest(tmp_path / "hostile", several, facts=kept.facts_)
    with pytest.raises(ModelError, match="do not match its forest"):
        load_table_model(tmp_path / "hostile")
