"""Forests on Parquet and CSV files."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.datasets import load_iris

from manymill import PartitionedForestClassifier, PartitionedForestRegressor, scan
from manymill.errors import SchemaError
from manymill.forest.reports import ForestWarning

X, y = load_iris(return_X_y=True)


@pytest.fixture(autouse=True)
def folder_of_tables(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))


@pytest.fixture
def flowers(tmp_path):
    columns = {name: X[:, place] for place, name in enumerate(["a", "b", "c", "d"])}
    columns["e"] = np.array(["low", "high"])[(X[:, 0] > 5.8).astype(int)]
    columns["kind"] = np.array(["x", "y", "z"])[y]
    pq.write_table(pa.table(columns), tmp_path / "flowers.parquet")
    return tmp_path / "flowers.parquet"


def test_a_dataset_is_learnt_and_predicted_without_a_matrix(flowers):
    rows = scan(flowers, label="kind")
    forest = PartitionedForestClassifier(n_estimators=20, engine=2).fit(rows)
    assert forest.classes_.tolist() == ["x", "y", "z"]
    assert forest.schema_.names == ["a", "b", "c", "d", "e"]
    assert (forest.predict(rows) == np.array(["x", "y", "z"])[y]).mean() > 0.95
    assert forest.predict_proba(rows).shape == (150, 3)


def test_a_column_of_numbers_may_be_the_target(flowers):
    rows = scan(flowers, label="d")
    forest = PartitionedForestRegressor(n_estimators=20).fit(rows)
    assert np.abs(forest.predict(rows) - X[:, 3]).mean() < 0.1


def test_columns_that_are_left_out_are_named(tmp_path):
    text = "".join(f"{row},2024-01-{row % 28 + 1:02},{'ab'[row % 2]}\n" for row in range(60))
    (tmp_path / "rows.csv").write_text("n,day,kind\n" + text)
    with pytest.warns(ForestWarning, match="left out: day: dates and times"):
        PartitionedForestClassifier(n_estimators=2).fit(scan(tmp_path / "rows.csv", label="kind"))


def test_a_forest_of_a_matrix_knows_no_columns(flowers):
    forest = PartitionedForestClassifier(n_estimators=2).fit(X, y)
    with pytest.raises(SchemaError, match="has no column names"):
        forest.predict(scan(flowers, label="kind"))


def test_a_dataset_that_lacks_a_column_is_refused_with_its_name(flowers, tmp_path):
    forest = PartitionedForestClassifier(n_estimators=2).fit(scan(flowers, label="kind"))
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    with pytest.raises(SchemaError, match=r"other\.csv: there is no column 'c'"):
        forest.predict(scan(tmp_path / "other.csv"))


def test_labels_besides_a_dataset_are_refused(flowers):
    with pytest.raises(SchemaError, match="contains its labels"):
        PartitionedForestClassifier().fit(scan(flowers, label="kind"), y)
