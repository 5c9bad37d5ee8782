"""Laws of the analyzers: the bits of scikit-learn for any text, whatever n-grams are made of."""

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.text.test_core_analyzers import is_as_in_scikit_learn

# Whitespace of all kinds, letters that change their length, combining marks, all lengths of UTF-8.
AWKWARD = "aZ09_ .-'\n\t\0\x0b\x1c\x1f\x85\xa0\u1680\u2003\u2028\u3000\u00ad\u0301ßẞİΣσ\u212aȺ安२🙂"
texts = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=60),
    st.text(st.sampled_from(AWKWARD), max_size=150),
    st.text(st.sampled_from("abcdAB     \n\t"), max_size=300),
)
documents = st.lists(texts, min_size=1, max_size=4)
ngram_ranges = st.tuples(st.integers(1, 9), st.integers(0, 5)).map(lambda pair: (pair[0], sum(pair)))
stop_words = st.lists(st.one_of(st.text(max_size=3), st.sampled_from(["aa", "ab", "a" * 17])), max_size=9)


@given(documents, st.sampled_from(["char", "char_wb"]), ngram_ranges, st.booleans())
@settings(max_examples=300, deadline=None)
def test_n_grams_of_characters_have_the_bits_of_scikit_learn(X, analyzer, ngram_range, lowercase):
    assert is_as_in_scikit_learn(X, analyzer=analyzer, ngram_range=ngram_range, lowercase=lowercase)


@given(documents, stop_words, ngram_ranges, st.booleans(), st.data())
@settings(max_examples=200, deadline=None)
def test_words_without_stop_words_have_the_bits_of_scikit_learn(X, stop_words, ngram_range, lowercase, data):
    words = [word for text in X for word in text.lower().split()] or ["ab"]
    stop_words = stop_words + data.draw(st.lists(st.sampled_from(words), max_size=5))
    assert is_as_in_scikit_learn(X, stop_words, ngram_range=ngram_range, lowercase=lowercase)
