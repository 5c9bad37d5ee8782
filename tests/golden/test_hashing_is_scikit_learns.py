"""Golden matrices: made by scikit-learn, once, for documents that are hard to get right."""

import base64
import json
from pathlib import Path

import numpy as np
import pytest

from manymill.text.hashing import HashingVectorizer

GOLDEN = json.loads(Path(__file__).with_name("hashing.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("case", GOLDEN["cases"], ids=lambda case: str(case["settings"]))
def test_awkward_documents_give_the_very_bytes_of_scikit_learn(case):
    settings = dict(case["settings"])
    settings["ngram_range"] = tuple(settings.get("ngram_range", (1, 1)))
    X = HashingVectorizer(**settings).transform(GOLDEN["documents"])
    for name in ("data", "indices", "indptr"):
        assert getattr(X, name).tobytes() == base64.b64decode(case[name]), name


def test_the_golden_documents_contain_tokens_that_cancel():
    stored = [np.frombuffer(base64.b64decode(case["data"]), "<f8") for case in GOLDEN["cases"][:5]]
    assert any((data == 0).any() for data in stored)
