"""The features of the learner, slowly: what a token is, and which bits stand for words and for characters."""

import re
import unicodedata

from sklearn.feature_extraction.text import CountVectorizer
from tests.reference.murmur3 import murmur3

CHARACTERS = int.from_bytes(b"char", "big")
"""The seed of n-grams of characters; that of words is 0."""

# Scripts without spaces between words, except for their digits: Thai, Lao, Burmese, Khmer, those of the Tai, Han, kana,
# bopomofo. What is neither a word character nor a mark does not count, whatever the ranges say.
UNSPACED = """
    0E00-0E4F 0E80-0ECF 0EDC-0EDF 1000-103F 1050-108F 109A-109F 1780-17DF 1950-19CF 1A20-1A7F 1AA0-1AAF 2E80-312F
    31A0-31FF 3400-4DBF 4E00-9FFF A9E0-A9EF A9FA-A9FF AA60-AADF F900-FAFF FF66-FF9F 1AFF0-1B16F 20000-3FFFD
"""
# Emoji and other symbols; what is a word character or a mark does not count.
PICTOGRAPHS = """
    00A9-00A9 00AE-00AE 203C-203C 2047-2049 2122-2122 2190-21FF 2300-23FF 25A0-27BF 2934-2935 2B00-2BFF 3030-3030
    303D-303D 3297-3297 3299-3299 FF01-FF01 FF1F-FF1F 1F000-1FAFF 1FC00-1FFFD
"""
REGIONAL, MODIFIERS, TAGS = "1F1E6-1F1FF", "1F3FB-1F3FF", "E0020-E007F"
JOINER, NON_JOINER = "\u200d", "\u200c"

TOKEN = re.compile(
    r"""
    (?P<unspaced> (?: [Uu][uMZ]* )+ )                           # letters of a script without spaces, with their marks
    | (?P<emoji> (?: RR? | [PT] ) (?: Z[PT] | [ZMuTG] )* )      # with all that changes it, and what is joined to it
    | (?P<word> [WMZ]+ )
    | (?P<marks> !+ )
    """,
    re.VERBOSE,
)


def _within(character: str, ranges: str) -> bool:
    spans = (span.split("-") for span in ranges.split())
    return any(int(first, 16) <= ord(character) <= int(last, 16) for first, last in spans)


def kind(character: str) -> str:
    """One letter for what the character is to `TOKEN`."""
    is_mark = unicodedata.category(character).startswith("M") or character in {JOINER, NON_JOINER}
    is_word = re.fullmatch(r"\w", character) is not None
    if (is_mark or is_word) and _within(character, UNSPACED):
        return "u" if is_mark else "U"
    if is_mark or is_word:
        return "Z" if character == JOINER else "M" if is_mark else "W"
    if character in "!?":
        return "!"
    ranges = {"R": REGIONAL, "T": MODIFIERS, "P": PICTOGRAPHS, "G": TAGS}
    return next((letter for letter, span in ranges.items() if _within(character, span)), ".")


def stretches(text: str) -> tuple[list[list[str]], list[str]]:
    """The tokens between unspaced runs, stretch after stretch, and the n-grams of the runs."""
    kinds = "".join(map(kind, text))
    tokens: list[list[str]] = [[]]
    grams = []
    for found in TOKEN.finditer(kinds):
        if found.lastgroup == "unspaced":
            tokens.append([])
            letters = [text[slice(*part.span())] for part in _letters(kinds, *found.span())]
            grams += ["".join(letters[i : i + n]) for n in (1, 2, 3) for i in range(len(letters) - n + 1)]
        else:
            tokens[-1].append(text[slice(*found.span())])
    return tokens, grams


def _letters(kinds: str, start: int, end: int) -> list[re.Match[str]]:
    return list(re.compile("[Uu][uMZ]*").finditer(kinds, start, end))


def word_features(
    text: str,
    ngram_range: tuple[int, int],
    token_rule: str = "unicode",
    stop_words: frozenset[str] = frozenset(),
) -> list[str]:
    """The n-grams of tokens, and those of unspaced runs, whose lengths are always 1 to 3."""
    if token_rule == "scikit-learn":
        found, grams = [re.findall(r"(?u)\b\w\w+\b", text)], []
    else:
        found, grams = stretches(text)
    features = [gram for gram in grams if gram not in stop_words]
    for stretch in found:
        tokens = [token for token in stretch if token not in stop_words]
        for n in range(ngram_range[0], ngram_range[1] + 1):
            features += [" ".join(tokens[i : i + n]) for i in range(len(tokens) - n + 1)]
    return features


def feature_hashes(
    text: str,
    *,
    ngram_range: tuple[int, int] | None,
    char_ngram_range: tuple[int, int] | None,
    char_analyzer: str = "char_wb",
    token_rule: str = "unicode",
    lowercase: bool = True,
    stop_words: frozenset[str] = frozenset(),
) -> list[int]:
    """The hashes of all features of a document, ascending."""
    hashes = []
    text = text.lower() if lowercase else text
    if ngram_range is not None:
        words = word_features(text, ngram_range, token_rule, stop_words)
        hashes += [murmur3(word.encode()) for word in words]
    if char_ngram_range is not None:
        vectorizer = CountVectorizer(analyzer=char_analyzer, ngram_range=char_ngram_range, lowercase=False)
        grams = vectorizer.build_analyzer()(text)
        hashes += [murmur3(gram.encode(), CHARACTERS) for gram in grams]
    return sorted(hashes)
