"""Laws of TF-IDF: who counts which documents in which order is not to be seen in the weights."""

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.feature_extraction.text import TfidfTransformer as Original

from manymill import TfidfTransformer

N_FEATURES = 5
rows = st.lists(
    st.lists(st.integers(0, 3), min_size=N_FEATURES, max_size=N_FEATURES), min_size=1, max_size=12
)
matrices = st.builds(
    lambda rows, kind, dtype: kind(np.array(rows, dtype)),
    rows,
    st.sampled_from([sp.csr_matrix, sp.csr_array]),
    st.sampled_from([np.float64, np.float32, np.int64]),
)
parameters = st.fixed_dictionaries(
    {
        "norm": st.sampled_from(["l1", "l2", None]),
        "use_idf": st.booleans(),
        "smooth_idf": st.booleans(),
        "sublinear_tf": st.booleans(),
    }
)


def bits(X):
    return type(X), X.shape, X.data.dtype, X.data.tobytes(), X.indices.tobytes(), X.indptr.tobytes()


@pytest.mark.filterwarnings("ignore:divide by zero", "ignore:invalid value")
@given(matrices, parameters, st.data())
@settings(max_examples=200, deadline=None)
def test_any_cut_counted_and_merged_in_any_order_gives_the_bits_of_one_fit(X, kwargs, data):
    cuts = sorted(data.draw(st.lists(st.integers(1, X.shape[0]), max_size=3)))
    blocks = [X[a:b] for a, b in zip([0, *cuts], [*cuts, X.shape[0]], strict=True) if a < b]
    blocks = data.draw(st.permutations(blocks))
    first = data.draw(st.integers(0, len(blocks)))
    streamed = TfidfTransformer(**kwargs)
    for block in blocks[:first]:
        streamed.partial_fit(block)
    merged = streamed.merge(*(TfidfTransformer(**kwargs).partial_fit(block) for block in blocks[first:]))
    expected = Original(**kwargs).fit_transform(X)
    assert bits(merged.transform(X)) == bits(TfidfTransformer(**kwargs).fit_transform(X)) == bits(expected)
