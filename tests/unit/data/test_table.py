"""Tables in Parquet and CSV files as matrices of numbers."""

import gzip
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from manymill import scan
from manymill.data.table import TableSchema, encode_table
from manymill.errors import ModelError, RowError, SchemaError, SourceError

CSV = """age,colour,member,when,class
31,red,true,2020-01-02,yes
,blue,false,2020-01-03,no
40.5,red,?,2020-02-01,yes
7,NA,true,2021-01-01,no
"""


@pytest.fixture
def table(tmp_path):
    """Encodes a text as a table, or reads what was given as a dataset."""

    def encode(text, name="rows.csv", *, label="class", **options):
        path = tmp_path / name
        data = text.encode()
        path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
        return encode_table(scan(path, label=label), folder=tmp_path / "tables", **options)

    return encode


def test_numbers_words_and_truth_become_numbers_and_what_is_missing_nan(table):
    found = table(CSV)
    assert found.schema.names == ["age", "colour", "member"]
    expected = [[31, 1, 1], [np.nan, 0, 0], [40.5, 1, np.nan], [7, np.nan, 1]]
    np.testing.assert_array_equal(found.X, np.array(expected, np.float32))
    assert found.labels.tolist() == ["yes", "no", "yes", "no"]


def test_dates_and_texts_are_left_out_with_the_reason(table):
    rows = "".join(f"{n},2020-01-01,text number {n},{'ab'[n % 2]}\n" for n in range(60))
    found = table("n,when,note,class\n" + rows)
    assert found.schema.names == ["n"]
    assert found.schema.left_out["when"] == "dates and times are left out"
    assert "60 different texts in 60 rows" in found.schema.left_out["note"]


def test_compressed_files_and_tabs_are_read(table):
    expected = table(CSV)
    np.testing.assert_array_equal(table(CSV, "rows.csv.gz").X, expected.X)
    np.testing.assert_array_equal(table(CSV.replace(",", "\t"), "rows.tsv").X, expected.X)


def test_columns_of_a_file_without_a_header_are_named_by_number(table):
    found = table("1,a,x\n2,b,y\n3,a,x\n", label="2")
    assert found.schema.names == ["0", "1"]
    assert found.X.tolist() == [[1, 0], [2, 1], [3, 0]]
    assert found.labels.tolist() == ["x", "y", "x"]


def test_parquet_gives_what_csv_gives(table, tmp_path):
    columns = {
        "age": pa.array([31, None, 40.5, 7]),
        "colour": pa.array(["red", "blue", "red", None]).dictionary_encode(),
        "member": pa.array([True, False, None, True]),
        "when": pa.array([0, 1, 2, 3], pa.timestamp("s")),
        "class": ["yes", "no", "yes", "no"],
    }
    pq.write_table(pa.table(columns), tmp_path / "rows.parquet", row_group_size=3)
    found = encode_table(scan(tmp_path / "rows.parquet", label="class"), folder=tmp_path / "tables")
    np.testing.assert_array_equal(found.X, table(CSV).X)
    assert found.labels.tolist() == ["yes", "no", "yes", "no"]


def test_values_are_learnt_as_float64(table):
    found = table("a,class\n1,0.1\n2,3e5\n", task="regression")
    assert found.y.dtype == np.float64
    assert found.labels.tolist() == [0.1, 3e5]


def test_a_second_call_reads_and_writes_nothing(table, tmp_path):
    first = table(CSV)
    second = encode_table(scan(tmp_path / "rows.csv", label="class"), folder=tmp_path / "tables")
    assert first.bytes_written > 0
    assert second.bytes_written == 0
    assert second.X.filename == first.X.filename
    assert len(entries(tmp_path / "tables")) == 1


@pytest.fixture
def full_disk(monkeypatch):
    """A disk without room for what nobody uses."""
    return lambda: monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=-(10**18)))


def entries(folder):
    return [path.name for path in folder.iterdir() if path.name != "lock"]


def test_tables_that_nobody_used_for_long_make_room(table, tmp_path, full_disk):
    table(CSV)
    left = tmp_path / "tables" / f"{'0' * 32}.killed.partial"
    left.mkdir()
    full_disk()
    new = table(CSV.replace("31", "32"))
    assert entries(tmp_path / "tables") == [Path(new.X.filename).parent.name]


def test_a_table_stays_while_a_part_of_its_rows_is_in_use(table, full_disk):
    rows = table(CSV).X[1:3]
    full_disk()
    table(CSV.replace("31", "32"))
    assert Path(rows.filename).exists()


def test_a_file_that_changed_is_another_table(table):
    first, second = table(CSV), table(CSV.replace("31", "32"))
    assert (first.X[0, 0], second.X[0, 0]) == (31, 32)


def test_a_schema_encodes_other_rows_alike_and_marks_what_it_never_met(table):
    schema = TableSchema.from_json(json.loads(json.dumps(table(CSV).schema.to_json())))
    found = table(
        "class,colour,member,age\nno,green,true,1\nno,red,,2\n", "new.csv", schema=schema, task=None
    )
    np.testing.assert_array_equal(found.X, np.array([[1, -1, 1], [2, 1, np.nan]], np.float32))
    assert found.y is None


def test_categories_that_come_late_get_codes_in_the_order_they_come(table):
    words = ["b", "a"] * 60_000 + ["z", "c"] * 60_000
    found = table("word,class\n" + "".join(f"{word},{i % 3}\n" for i, word in enumerate(words)))
    codes = {"a": 0, "b": 1, "z": 2, "c": 3}
    assert found.X[:, 0].tolist() == [codes[word] for word in words]
    assert list(found.schema.columns[0].codes) == list(codes)


def test_a_word_among_numbers_is_named_with_its_row(table):
    text = "n,class\n" + "1,a\n" * 300_000 + "many,b\n"
    with pytest.raises(RowError, match=r"rows\.csv: row 300001: 'many' in the column 'n' is not a number"):
        table(text)


def test_a_number_too_large_for_float32_is_named_with_its_row(table):
    with pytest.raises(RowError, match="row 2: 1e\\+39 in the column 'a'"):
        table("a,class\n1,x\n1e39,y\n")


def test_a_row_with_a_field_too_many_is_named(table):
    with pytest.raises(RowError, match=r"rows\.csv: .*#3"):
        table("a,class\n1,x\n2,y,z\n")


def test_rows_without_a_label_are_left_out_and_counted(table):
    found = table("a,class\n1,x\n2,\n3,y\n")
    assert (found.X[:, 0].tolist(), found.labels.tolist(), found.n_bad) == ([1, 3], ["x", "y"], 1)


def test_strict_names_the_row_without_a_label(tmp_path):
    (tmp_path / "rows.csv").write_text("a,class\n1,x\n2,\n")
    with pytest.raises(RowError, match="row 2: 'class' is missing"):
        encode_table(scan(tmp_path / "rows.csv", label="class", strict=True), folder=tmp_path)


@pytest.mark.parametrize(
    ("text", "label", "message"),
    [
        ("a,b\n1,2\n", "c", "no column 'c'"),
        ("when,class\n2020-01-01,x\n", "class", "no column is usable as a feature: when: dates"),
    ],
)
def test_columns_that_are_not_there_are_named(table, text, label, message):
    with pytest.raises(SchemaError, match=message):
        table(text, label=label)


def test_texts_are_no_table(tmp_path):
    (tmp_path / "rows.jsonl").write_text('{"a": 1, "class": "x"}\n')
    with pytest.raises(SourceError, match="jsonl, not a table"):
        encode_table(scan(tmp_path / "rows.jsonl", label="class"), folder=tmp_path)


def test_a_failed_reading_leaves_nothing(table, tmp_path):
    with pytest.raises(RowError):
        table("a,class\n1,x\n2,y,z\n")
    assert not entries(tmp_path / "tables")


@pytest.mark.parametrize(
    "content",
    [None, [], {}, {"columns": [], "target": None, "left_out": {}}, {"columns": [1], "target": "a", "left_out": {}},
     {"columns": [{"name": "a", "kind": "pickle", "categories": []}], "target": None, "left_out": {}},
     {"columns": [{"name": "a", "kind": "number", "categories": []}] * 2, "target": None, "left_out": {}}],
)  # fmt: skip
def test_a_schema_that_cannot_be_is_refused(content):
    with pytest.raises(ModelError, match="columns"):
        TableSchema.from_json(content)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.floats(width=32, allow_infinity=False), min_size=1, max_size=40))
def test_every_float32_comes_through_a_csv_file(table, numbers):
    assume(not np.isnan(numbers).all())  # a column without a value is left out
    text = "a,b,class\n" + "".join(f"{'' if np.isnan(x) else repr(x)},1,x\n" for x in numbers)
    np.testing.assert_array_equal(table(text).X[:, 0], np.array(numbers, np.float32))


def test_a_wide_table_is_read_and_its_schema_comes_back_from_json(table):
    names = [f"a_column_with_a_long_name_{i:010}" for i in range(9000)]
    rows = "".join(
        ",".join([str(i + k % 3) for k in range(len(names))]) + f",{'ab'[i % 2]}\n" for i in range(3)
    )
    found = table(",".join(names) + ",class\n" + rows)
    assert found.X.shape[0] == 3
    assert found.X[:, :3].tolist() == [[i, i + 1, i + 2] for i in range(3)]
    content = json.loads(json.dumps(found.schema.to_json()))
    assert TableSchema.from_json(content).to_json() == found.schema.to_json()


def test_a_table_of_too_many_columns_is_refused_with_the_figure(table):
    header = ",".join(f"c{i}" for i in range(250_001))
    row = ",".join(["1"] * 250_001)
    with pytest.raises(SchemaError, match="has 250,001 columns; a table may have up to 250,000"):
        table(f"{header}\n{row}\n")
