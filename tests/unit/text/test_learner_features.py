"""The features of the learner by example: what a token is in which script, and what becomes one row."""

import unicodedata
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.reference.features import CHARACTERS, word_features
from tests.reference.murmur3 import murmur3

from manymill._core import Hasher, unspaced_characters

# Texts and their tokens.
TOKENS = {
    "single letters and digits": ("I am 7", ["I", "am", "7"]),
    "runs of exclamation and question marks": (
        "so good!!! really?! ok.",
        ["so", "good", "!!!", "really", "?!", "ok"],
    ),
    "marks stay in the word, Hindi": ("हिन्दी में", ["हिन्दी", "में"]),
    "marks stay in the word, Tamil": ("தமிழ் மொழி", ["தமிழ்", "மொழி"]),
    "marks stay in the word, Bengali": ("বাংলা ভাষা", ["বাংলা", "ভাষা"]),
    "a joiner stays in the word, Persian": ("می\u200cخواهم", ["می\u200cخواهم"]),
    "an accent by itself": ("cafe\u0301 x", ["cafe\u0301", "x"]),
    "emoji": ("nice😀😀 ok", ["nice", "😀", "😀", "ok"]),
    "emoji with a colour": ("👍🏽👍", ["👍🏽", "👍"]),
    "emoji joined": ("a👩‍👩‍👧b", ["a", "👩‍👩‍👧", "b"]),
    "emoji with a selector": ("❤️love", ["❤️", "love"]),
    "flags": ("🇩🇪🇫🇷", ["🇩🇪", "🇫🇷"]),
    "a flag of tags": ("🏴\U000e0067\U000e0062\U000e007f!", ["🏴\U000e0067\U000e0062\U000e007f", "!"]),
    "keycaps": ("1\ufe0f\u20e3 2", ["1\ufe0f\u20e3", "2"]),
    "digits of a script without spaces": ("๑๒ ၁၂", ["๑๒", "၁၂"]),
    "syllables of Tibetan": ("བོད་སྐད", ["བོད", "སྐད"]),
    "words of Korean": ("한국어 텍스트", ["한국어", "텍스트"]),
}
UNSPACED = {
    "Chinese": ("中文字", ["中", "文", "字", "中文", "文字", "中文字"]),
    "Japanese": ("日のテ", ["日", "の", "テ", "日の", "のテ", "日のテ"]),
    "Thai": ("กิน", ["กิ", "น", "กิน"]),
    "Lao": ("ລາວ", ["ລ", "າ", "ວ", "ລາ", "າວ", "ລາວ"]),
    "Khmer": ("ខ្មែរ", ["ខ្", "មែ", "រ", "ខ្មែ", "មែរ", "ខ្មែរ"]),
    "Burmese": ("မြန်မာ", ["မြ", "န်", "မာ", "မြန်", "န်မာ", "မြန်မာ"]),
    "punctuation between": ("中。文", ["中", "文"]),
}


def column(documents):
    encoded = [document.encode() for document in documents]
    data = np.frombuffer(b"".join(encoded), np.uint8)
    offsets = np.concatenate([[0], np.cumsum([len(text) for text in encoded])]).astype(np.int64)
    rows = np.arange(len(documents), dtype=np.uint32)
    return [(data, offsets)], np.zeros_like(rows), rows


def hashes(document, ngram_range=(1, 1), char_ngram_range=None, **kwargs):
    hasher = Hasher.of_features(ngram_range=ngram_range, char_ngram_range=char_ngram_range, **kwargs)
    return sorted(hasher.hash_utf8(*column([document])).hashes().tolist())


def hashed(features, seed=0):
    return sorted(murmur3(feature.encode(), seed) for feature in features)


@pytest.mark.parametrize(("text", "tokens"), TOKENS.values(), ids=TOKENS)
def test_a_text_has_these_tokens(text, tokens):
    assert word_features(text, (1, 1)) == tokens
    assert hashes(text, lowercase=False) == hashed(tokens)


@pytest.mark.parametrize(("text", "grams"), UNSPACED.values(), ids=UNSPACED)
def test_a_script_without_spaces_has_these_features(text, grams):
    assert sorted(word_features(text, (1, 1))) == sorted(grams)
    assert hashes(text) == hashed(grams)


@pytest.mark.parametrize("ngram_range", [(1, 1), (2, 2), (1, 3)])
def test_letters_without_spaces_come_by_ones_to_threes_whatever_the_range_of_words(ngram_range):
    assert hashes("中文字", ngram_range) == hashed(UNSPACED["Chinese"][1])


def test_pairs_are_of_neighbouring_tokens_and_do_not_reach_across_a_script_without_spaces():
    expected = ["learn python", "python !", "now 😀", "入", "門", "入門"]
    assert hashes("Learn Python! 入門 now 😀", (2, 2)) == hashed(expected)


def test_stop_words_are_no_features_in_any_script():
    expected = ["cat", "!", "cat !", "中", "中的"]
    assert hashes("The cat! 中的", (1, 2), stop_words=["the", "的"]) == hashed(expected)


def test_the_rule_of_scikit_learn_can_be_kept_beside_characters():
    expected = hashed(["good"]) + hashed([" i ", " go", "goo", "ood", "od "], CHARACTERS)
    assert hashes("I good", (1, 1), (3, 3), token_rule="scikit-learn") == sorted(expected)


def test_a_word_and_its_characters_are_features_of_one_row_under_one_norm():
    hasher = Hasher.of_features(ngram_range=(1, 1), char_ngram_range=(3, 3), char_analyzer="char")
    rows = hasher.rows_utf8(*column(["the"]), 2**20, value="log", norm="l2")
    _, indices, values = rows.arrays()
    assert len(indices) == 2
    assert values.tolist() == pytest.approx([2**-0.5] * 2)


def test_a_long_document_hashed_in_parts_has_the_row_of_its_hashes():
    document = "Good movie! 日本語の 😀 क्या\u3000ΑΣ " * 60_000
    for words, characters in product([(1, 2), None], [("char_wb", (3, 3)), ("char", (2, 4)), ("char", None)]):
        if words is None and characters[1] is None:
            continue
        hasher = Hasher.of_features(
            ngram_range=words, char_ngram_range=characters[1], char_analyzer=characters[0]
        )
        rows = hasher.rows_utf8(*column([document]), 1000, value="log", norm="l2")
        whole = hasher.hash_utf8(*column([document])).to_rows(1000, value="log", norm="l2")
        for ours, theirs in zip(rows.arrays(), whole.arrays(), strict=True):
            assert ours.tobytes() == theirs.tobytes()


def test_every_assigned_character_is_classified_as_by_the_reference():
    for start in range(0, 0x110000, 0x400):
        characters = [chr(code) for code in range(start, start + 0x400) if not 0xD800 <= code < 0xE000]
        assigned = [c for c in characters if unicodedata.category(c) not in {"Cn", "Co"}]
        text = " ".join(f"x{c}y{c} 字{c}" for c in assigned)
        assert hashes(text) == hashed(word_features(text.lower(), (1, 1)))


def test_characters_without_spaces_are_counted_among_those_of_words():
    assert unspaced_characters(*column(["ab, 中文", "กิน 7! 😀"])) == (5, 8)
    assert unspaced_characters(*column([""])) == (0, 0)


@given(st.text("ab_ 7-é中กิ😀", max_size=150))
def test_characters_of_a_text_are_counted_as_one_by_one(text):
    assert unspaced_characters(*column([text])) == unspaced_characters(*column(list(text)))


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"ngram_range": None, "char_ngram_range": None}, "both be None"),
        ({"ngram_range": (2, 1), "char_ngram_range": None}, "ngram_range"),
        ({"ngram_range": None, "char_ngram_range": (0, 1)}, "ngram_range"),
        ({"ngram_range": (1, 1), "char_ngram_range": (1, 1), "char_analyzer": "word"}, "char_analyzer"),
        ({"ngram_range": (1, 1), "char_ngram_range": None, "token_rule": "ascii"}, "token_rule"),
    ],
)
def test_parameters_that_make_no_sense_are_refused(parameters, message):
    with pytest.raises(ValueError, match=message):
        Hasher.of_features(**parameters)


def test_a_document_that_is_not_utf8_is_refused():
    chunks = [(np.frombuffer(b"ok \xff", np.uint8), np.array([0, 4]))]
    numbers = np.zeros(1, np.uint32)
    with pytest.raises(ValueError, match="document 0 is not UTF-8 at its byte 3"):
        Hasher.of_features(ngram_range=(1, 1), char_ngram_range=(3, 3)).hash_utf8(chunks, numbers, numbers)
