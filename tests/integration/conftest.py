"""Runs of the real thing on the shipped corpora."""

import json
from pathlib import Path

import pyarrow as pa
import pytest

SHIPPED = Path(__file__).parents[2] / "examples" / "data"


@pytest.fixture(scope="session")
def languages() -> list[dict[str, str]]:
    """13,500 verses in 45 languages, shuffled."""
    return _rows("languages-train")


@pytest.fixture(scope="session")
def languages_test() -> list[dict[str, str]]:
    return _rows("languages-test")


@pytest.fixture(scope="session")
def mail_file() -> Path:
    return SHIPPED / "mail-train.jsonl.zst"


@pytest.fixture(scope="session")
def mail_test_file() -> Path:
    return SHIPPED / "mail-test.jsonl.zst"


def _rows(name: str) -> list[dict[str, str]]:
    with pa.input_stream(SHIPPED / f"{name}.jsonl.zst", compression="zstd") as file:
        return [json.loads(line) for line in file.read().splitlines()]


@pytest.fixture
def write(tmp_path):
    """Writes rows as JSON lines into the test's folder; compressed if the name says so."""

    def write(name, rows):
        path = tmp_path / name
        data = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()
        with pa.output_stream(path, compression="detect") as file:
            file.write(data)
        return path

    return write
