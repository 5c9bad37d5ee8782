"""Write ``hashing.json``: what scikit-learn's HashingVectorizer gives for awkward documents.

    python -m tests.golden.regenerate_hashing --overwrite

The documents keep to characters whose class and case no Unicode version has changed.
"""

import argparse
import base64
import json
from pathlib import Path
from typing import Any

import numpy as np
import sklearn
from sklearn.feature_extraction.text import HashingVectorizer

PATH = Path(__file__).with_name("hashing.json")

DOCUMENTS = [
    "",
    " ",
    "a",
    "a b c",
    "The cat sat on the mat; the mat sat still.",
    "under_score __ _ 9 99 a9 9a 3.14 don't e-mail",
    "NUL\0NUL \0\0 tail\0",
    "abcdefghijklmno abcdefghijklmnop abcdefghijklmnopq " * 3,
    "x" * 63 + " " + "y" * 64 + " " + "z" * 65 + " " + "w" * 1000,
    "İstanbul IĞDIR ıI",
    "ΟΔΟΣ ΣΑΣ Σ ΑΣ. Σ'Α Σ. ΑΣ\u00adΑ ΑΣ\u0301 Σ",
    "Kelvin \u212a \u212aa Å\u212b ẞẞ ß ȺȾ",
    "naïve café e\u0301tude नमस्ते สวัสดี 你好 世界 안녕 ١٢٣ Ⅷⅷ ²³ x²",
    "🙂🙂 a🙂b 𝔘𝔫𝔦 𐐀𐐨𐐀 \U0010ffff",
    "\x1c\x1d\x85\xa0\u2003\u200b\ufeffend",
    "the " * 300 + "end",
]

SETTINGS: list[dict[str, Any]] = [
    {},
    {"ngram_range": [1, 2]},
    {"ngram_range": [2, 4], "n_features": 1000},
    {"lowercase": False, "n_features": 1_000_003, "norm": "l1"},
    {"n_features": 3, "norm": None},
    {"n_features": 5, "binary": True},
    {"n_features": 1, "alternate_sign": False},
    {"n_features": 64, "dtype": "float32"},
    {"n_features": 2**31 - 2, "norm": None, "dtype": "float32"},
    {"n_features": 9, "norm": None, "dtype": "int64"},
    {"n_features": 100, "dtype": "int32", "norm": "l1"},
    {"n_features": 100, "analyzer": "char", "ngram_range": [1, 3]},
    {"n_features": 100, "analyzer": "char_wb", "ngram_range": [2, 5], "lowercase": False},
    {"strip_accents": "unicode"},
    {"strip_accents": "ascii", "lowercase": False},
    {"stop_words": "english", "ngram_range": [1, 2]},
    {"token_pattern": r"(?u)\b\w+\b", "n_features": 1000},
]


def golden() -> dict[str, Any]:
    cases = [{"settings": settings, **_matrix(settings)} for settings in SETTINGS]
    return {"scikit-learn": sklearn.__version__, "documents": DOCUMENTS, "cases": cases}


def _matrix(settings: dict[str, Any]) -> dict[str, str]:
    usual = {**settings, "ngram_range": tuple(settings.get("ngram_range", (1, 1)))}
    X = HashingVectorizer(**usual).transform(DOCUMENTS)
    arrays = {"data": X.data, "indices": X.indices, "indptr": X.indptr}
    return {name: base64.b64encode(_little_endian(array)).decode() for name, array in arrays.items()}


def _little_endian(array: np.ndarray) -> bytes:
    return array.astype(array.dtype.newbyteorder("<")).tobytes()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--overwrite", action="store_true", required=True)
    parser.parse_args()
    PATH.write_text(json.dumps(golden(), indent=1) + "\n", encoding="utf-8")
