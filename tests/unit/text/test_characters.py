"""Every character is classified and lower-cased as in the running Python."""

import unicodedata
from pathlib import Path

import numpy as np
import pytest
from sklearn.feature_extraction.text import HashingVectorizer as Original
from tests.reference.tokens import token_hashes

from manymill._core import Hasher
from manymill.text.characters import character_table
from manymill.text.hashing import HashingVectorizer

TABLES = Path(__file__).parents[3] / "rust" / "tables"
CHARACTERS = [chr(code) for code in range(0x110000) if not 0xD800 <= code < 0xE000]
GROUP = 1024  # characters per document: few enough to see which one is wrong, many enough to be quick


def grouped(pattern):
    lines = [pattern(character) for character in CHARACTERS]
    return [" ".join(lines[i : i + GROUP]) for i in range(0, len(lines), GROUP)]


@pytest.mark.parametrize("lowercase", [True, False])
def test_every_character_is_word_and_case_as_in_python(lowercase):
    documents = grouped(lambda c: f"x{c}Y{c}{c}")
    ours = HashingVectorizer(lowercase=lowercase).transform(documents)
    theirs = Original(lowercase=lowercase).transform(documents)
    assert np.array_equal(ours.indptr, theirs.indptr)
    assert np.array_equal(ours.indices, theirs.indices)
    assert ours.data.tobytes() == theirs.data.tobytes()


def test_every_character_beside_a_sigma_is_as_in_python():
    documents = grouped(lambda c: f"A{c}Σ {c}Σ AΣ{c} AΣ{c}A")
    ours, theirs = HashingVectorizer().transform(documents), Original().transform(documents)
    assert np.array_equal(ours.indices, theirs.indices)
    assert ours.data.tobytes() == theirs.data.tobytes()


def test_every_surrogate_separates_words():
    document = " ".join(f"ab{chr(code)}cd AΣ{chr(code)}A" for code in range(0xD800, 0xE000))
    expected = token_hashes("ab cd aς")
    assert Hasher().hash_strings([document]).hashes().tolist() == expected * 2048


def test_the_table_of_this_python_is_the_one_that_ships():
    path = TABLES / f"unicode-{unicodedata.unidata_version}.bin"
    if not path.exists():
        pytest.skip(f"no table for Unicode {unicodedata.unidata_version}: it is made at run time")
    assert path.read_bytes() == character_table()
