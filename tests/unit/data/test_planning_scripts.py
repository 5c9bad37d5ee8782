"""The plan knows how much of the text is in scripts without spaces between words."""

import gzip
import json

import pytest

from manymill import Dataset, scan
from manymill.data.dataset import Plan

TEXTS = ["good film", "面白い映画", "ดีมาก", "scène 7", "", "映画 film"] * 40
LABELS = ["a", "b"] * 120


def slow_share(texts):
    """Characters of these texts one by one: Han, kana and Thai have no spaces between words, Latin and digits have."""
    characters = [character for text in texts for character in text if character != " "]
    return sum(ord(character) > 0x0E00 for character in characters) / len(characters)


@pytest.mark.parametrize("block_bytes", [40, 1 << 20])
@pytest.mark.parametrize("compress", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_the_share_is_that_of_all_letters_digits_and_marks(tmp_path, compress, block_bytes):
    lines = "".join(json.dumps({"text": t, "label": n}) + "\n" for t, n in zip(TEXTS, LABELS, strict=True))
    path = tmp_path / "rows.jsonl"
    path.write_bytes(compress(lines.encode()))
    plan = scan(path).plan(block_bytes=block_bytes)
    assert plan.unspaced_share == slow_share(TEXTS) > 0.3
    in_memory = Dataset.from_memory(TEXTS, LABELS).plan(block_bytes=block_bytes)
    assert in_memory.unspaced_share == plan.unspaced_share
    assert scan(path, labelled=False).plan().unspaced_share == 0


@pytest.mark.parametrize(
    ("n_unspaced", "note"),
    [(0, ""), (1, ""), (2, "2 % of the letters"), (31, "31 % of the letters"), (100, "100 % of the letters")],
)
def test_more_than_one_percent_is_worth_a_note(n_unspaced, note):
    text = "語" * n_unspaced + "e" * (100 - n_unspaced)
    found = Dataset.from_memory([text, text], ["a", "b"]).plan().script_note
    assert found.startswith(note)
    assert bool(found) == bool(note)


def test_a_plan_of_an_earlier_version_lacks_the_share_and_the_ends_of_files(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text('{"text": "映画", "label": "a"}\n{"text": "film", "label": "b"}\n')
    record = json.loads(json.dumps(scan(path).plan().to_json()))
    assert Plan.from_json(record).unspaced_share == pytest.approx(1 / 3)
    del record["unspaced_share"], record["files"][0]["end"]
    earlier = Plan.from_json(record)
    assert (earlier.unspaced_share, earlier.script_note) == (0.0, "")
    assert earlier.files[0].end is None
