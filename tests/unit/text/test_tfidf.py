"""TF-IDF has scikit-learn's bits, from any parts in any order."""

import pickle

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import sklearn
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.feature_extraction.text import TfidfTransformer as Original
from sklearn.utils.estimator_checks import check_estimator

from manymill import HashingVectorizer, TfidfTransformer
from manymill.errors import SettingsError

X = sp.csr_matrix(np.array([[1, 0, 2, 0], [0, 0, 3, 1], [4, 0, 1, 0], [0, 0, 0, 0]], float))


def bits(matrix):
    return (
        type(matrix),
        matrix.shape,
        matrix.data.tobytes(),
        matrix.indices.tobytes(),
        matrix.indptr.tobytes(),
    )


def parts(**kwargs):
    return [TfidfTransformer(**kwargs).partial_fit(X[:1]), TfidfTransformer(**kwargs).partial_fit(X[1:])]


def test_parameters_and_their_defaults_are_those_of_scikit_learn():
    assert TfidfTransformer().get_params() == Original().get_params()


@pytest.mark.parametrize(
    "kind", [sp.csr_matrix, sp.csr_array, sp.csc_matrix, sp.csc_array, sp.coo_array, np.array]
)
@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int64, np.int8])
def test_every_kind_of_matrix_gives_the_bits_of_scikit_learn(kind, dtype):
    matrix = kind(X.toarray().astype(dtype))
    ours, theirs = TfidfTransformer().fit(matrix), Original().fit(matrix)
    assert ours.idf_.dtype == theirs.idf_.dtype
    assert ours.idf_.tobytes() == theirs.idf_.tobytes()
    assert bits(ours.transform(matrix)) == bits(theirs.transform(matrix))


def test_an_explicit_zero_and_a_repeated_index_count_as_in_scikit_learn():
    matrix = sp.csr_matrix((np.array([0.0, 1, 2]), np.array([0, 1, 1]), np.array([0, 3, 3])), shape=(2, 3))
    assert TfidfTransformer().fit(matrix).idf_.tolist() == Original().fit(matrix).idf_.tolist()


@pytest.mark.filterwarnings("ignore:divide by zero")
def test_a_feature_that_no_document_has_is_infinitely_rare_without_smoothing():
    ours, theirs = (cls(smooth_idf=False).fit(X) for cls in (TfidfTransformer, Original))
    assert ours.idf_.tolist() == theirs.idf_.tolist()
    assert ours.idf_[1] == np.inf


def test_counts_of_documents_are_what_is_learnt():
    transformer = TfidfTransformer().partial_fit(X[:2]).partial_fit(X[2:])
    assert transformer.document_counts_.tolist() == [2, 0, 3, 1]
    assert transformer.document_counts_.dtype == np.int64
    assert transformer.n_documents_ == 4


def test_fit_begins_anew():
    assert TfidfTransformer().fit(X[:1]).fit(X).idf_.tolist() == Original().fit(X).idf_.tolist()


def test_float32_holds_while_all_blocks_are_float32():
    transformer = TfidfTransformer().partial_fit(X.astype(np.float32))
    assert transformer.idf_.dtype == np.float32
    assert transformer.partial_fit(X).partial_fit(X.astype(np.float32)).idf_.dtype == np.float64


def test_parts_merge_into_a_new_transformer_and_into_one_of_them():
    expected = Original().fit(X).idf_.tobytes()
    one, two = parts()
    assert TfidfTransformer().merge(two, one).idf_.tobytes() == expected
    assert one.merge(two).idf_.tobytes() == expected
    assert two.n_documents_ == 3


def test_a_merged_transformer_transforms():
    assert bits(TfidfTransformer().merge(*parts()).transform(X)) == bits(Original().fit_transform(X))


def test_merging_nothing_changes_nothing():
    with pytest.raises(NotFittedError):
        TfidfTransformer().merge().transform(X)


def test_names_of_features_are_kept_and_compared():
    frame = pd.DataFrame(X.toarray(), columns=list("abcd"))
    merged = TfidfTransformer().merge(TfidfTransformer().partial_fit(frame))
    assert merged.feature_names_in_.tolist() == list("abcd")
    with pytest.raises(SettingsError, match="different feature names"):
        merged.merge(*parts())


@pytest.mark.parametrize(
    "kwargs", [{"norm": "l1"}, {"use_idf": False}, {"smooth_idf": False}, {"sublinear_tf": True}], ids=str
)
def test_parts_of_other_parameters_are_refused(kwargs):
    name, value = next(iter(kwargs.items()))
    with pytest.raises(SettingsError, match=rf"merge: argument 1 has {name}={value!r}.*Hint"):
        TfidfTransformer().merge(parts()[0], parts(**kwargs)[1])


def test_parts_of_other_features_are_refused_and_nothing_is_changed():
    one, two = parts()
    with pytest.raises(SettingsError, match=r"argument 1 has 3 features, but others have 4.*Hint"):
        one.merge(two, TfidfTransformer().partial_fit(X[:, :3]))
    assert one.n_documents_ == 1


def test_a_block_of_other_features_is_refused():
    with pytest.raises(ValueError, match="X has 3 features, but TfidfTransformer is expecting 4"):
        TfidfTransformer().partial_fit(X).partial_fit(X[:, :3])


def test_a_transformer_among_its_own_parts_is_counted_as_it_was():
    part = TfidfTransformer().fit(X)
    assert part.merge(part, part).n_documents_ == 3 * X.shape[0]


def test_a_part_that_keeps_no_counts_is_refused():
    with pytest.raises(SettingsError, match="has no document counts"):
        TfidfTransformer().merge(Original().fit(X))


def test_a_part_that_has_counted_nothing_is_refused():
    with pytest.raises(NotFittedError):
        parts()[0].merge(TfidfTransformer())


def test_without_weights_nothing_is_counted():
    merged = TfidfTransformer().set_params(use_idf=False).merge(*parts(use_idf=False))
    assert bits(merged.transform(X)) == bits(Original(use_idf=False).fit_transform(X))
    assert not {"idf_", "document_counts_", "n_documents_"} & {
        name for name in dir(merged) if hasattr(merged, name)
    }


@pytest.mark.parametrize("use_idf", [True, False])
def test_use_idf_cannot_change_between_the_parts(use_idf):
    transformer = TfidfTransformer(use_idf=not use_idf).partial_fit(X).set_params(use_idf=use_idf)
    with pytest.raises(
        SettingsError, match=f"partial_fit: this transformer was fitted with use_idf={not use_idf}"
    ):
        transformer.partial_fit(X)
    with pytest.raises(SettingsError, match=f"merge: this transformer was fitted with use_idf={not use_idf}"):
        transformer.merge()


def test_a_wrong_parameter_is_an_error_of_every_fit():
    for method in ("fit", "partial_fit"):
        with pytest.raises(ValueError, match="The 'norm' parameter of TfidfTransformer"):
            getattr(TfidfTransformer(norm="max"), method)(X)


def test_weights_that_were_set_are_used():
    ours, theirs = TfidfTransformer(), Original()
    ours.idf_ = theirs.idf_ = np.arange(4.0)
    assert bits(ours.transform(X)) == bits(theirs.transform(X))


def test_a_pickle_a_clone_and_a_copy_on_the_way_change_nothing():
    one, two = (pickle.loads(pickle.dumps(part)) for part in parts())
    assert one.merge(two).idf_.tolist() == Original().fit(X).idf_.tolist()
    with pytest.raises(NotFittedError):
        clone(one).transform(X)


@pytest.mark.parametrize("interface", ["sparray", "spmatrix"])
def test_the_sparse_interface_is_the_one_configured(interface):
    if "sparse_interface" not in sklearn.get_config():
        pytest.skip("this scikit-learn has no such setting")
    with sklearn.config_context(sparse_interface=interface):
        assert sp.isspmatrix(TfidfTransformer().fit_transform(X)) == (interface == "spmatrix")


def test_hashed_counts_are_weighted_as_by_scikit_learn():
    texts = ["a good film", "a bad film", "a film of films"]
    counts = HashingVectorizer(n_features=64, alternate_sign=False, norm=None).transform(texts)
    assert bits(TfidfTransformer().fit_transform(counts)) == bits(Original().fit_transform(counts))


def test_scikit_learns_checks_find_nothing():
    results = check_estimator(TfidfTransformer(), on_fail=None, on_skip=None)
    assert [result for result in results if result["status"] == "failed"] == []
