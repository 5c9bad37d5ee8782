"""Models with the features in use only: they score as the model with every bucket, in folders and estimators."""

import json
from dataclasses import replace

import numpy as np
import pytest

from manymill import TextClassifier
from manymill._core import FeatureTable
from manymill.data.batches import Batch
from manymill.errors import ModelError
from manymill.hash_form import word_form
from manymill.model import Analyzer, LinearModel, ModelDescription, load_model, manifest, save_model
from manymill.model.rows import RowHasher
from manymill.scoring import Scorer
from manymill.search.hashed_corpus import HashedCorpus
from manymill.storage import checked_json

N_FEATURES = 64
FEATURES = np.flatnonzero(np.random.default_rng(0).random(N_FEATURES) < 0.5).astype(np.uint32)
TEXTS = ["one two three four five", "", "two two six", "seven", "eight nine ten one", "Ä ö ü"]


def models(n_classes, norm, weighted):
    """The same model twice: with all buckets, and with those in use."""
    rng = np.random.default_rng(n_classes)
    n_outputs = 1 if n_classes == 2 else n_classes
    weights = np.zeros((N_FEATURES, n_outputs), np.float32)
    weights[FEATURES] = rng.normal(size=(len(FEATURES), n_outputs))
    factors = np.zeros(N_FEATURES, np.float32)
    factors[FEATURES] = rng.random(len(FEATURES))
    analyzer = Analyzer(**vars(word_form()), value="log", norm=norm, n_features=N_FEATURES)
    full = LinearModel(
        classes=tuple("abcdef"[:n_classes]),
        loss="modified_huber",
        analyzer=analyzer,
        temperature=0.25,
        weights=weights,
        intercept=rng.normal(size=n_outputs).astype(np.float32),
        feature_weights=factors if weighted else None,
    )
    compact = replace(
        full,
        weights=weights[FEATURES],
        feature_weights=factors[FEATURES] if weighted else None,
        features=FEATURES,
    )
    return full, compact


def save(model, folder):
    save_model(folder, model, model.weights, model.intercept, model.feature_weights, model.features)
    return folder


def batch(texts):
    encoded = [text.encode() for text in texts]
    offsets = np.cumsum([0, *map(len, encoded)])
    data = np.frombuffer(b"".join(encoded), np.uint8)
    return Batch(data=data, offsets=offsets, label=None, weight=None, position=np.arange(len(texts)), file=0)


def scores(model):
    return np.concatenate([part for _, part in Scorer(model).pieces(batch(TEXTS))])


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("norm", [None, "l1", "l2"])
@pytest.mark.parametrize("weighted", [False, True])
def test_a_compact_model_scores_as_the_full_one(tmp_path, n_classes, norm, weighted):
    full, compact = models(n_classes, norm, weighted)
    loaded = load_model(save(compact, tmp_path / "model"))
    np.testing.assert_allclose(scores(loaded), scores(full), rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(scores(loaded), scores(compact))


@pytest.mark.parametrize("weighted", [False, True])
def test_an_estimator_loads_and_saves_a_compact_model(tmp_path, weighted):
    full, compact = models(3, "l2", weighted)
    ours, peer = (
        TextClassifier.load(save(model, tmp_path / name)) for model, name in ((compact, "c"), (full, "f"))
    )
    np.testing.assert_allclose(ours.predict_proba(TEXTS), peer.predict_proba(TEXTS), rtol=1e-5)
    np.testing.assert_array_equal(ours.features_, FEATURES)
    np.testing.assert_array_equal(peer.features_, range(N_FEATURES))
    np.testing.assert_array_equal(ours.coef_, peer.coef_[:, FEATURES])
    ours.save(tmp_path / "again")
    first, second = ((tmp_path / name / "model.json").read_text() for name in ("c", "again"))
    assert json.loads(first)["weights_file"] == json.loads(second)["weights_file"]
    np.testing.assert_array_equal(load_model(tmp_path / "again").features, FEATURES)


def test_the_norm_without_weights_is_that_of_all_features_of_the_row():
    analyzer = models(2, "l2", weighted=False)[0].analyzer
    none_known, part = (
        RowHasher(analyzer, FeatureTable.from_arrays(N_FEATURES, features, None))
        for features in (np.zeros(0, np.uint32), FEATURES)
    )
    document = [batch(["one two three"]).documents]
    row = np.zeros(1, np.uint32)
    _, columns, values = part.rows(document, row, row).arrays()
    _, buckets, all_values = RowHasher(analyzer).rows(document, row, row).arrays()
    kept = np.isin(buckets, FEATURES)
    assert 0 < kept.sum() < len(kept)
    np.testing.assert_array_equal(FEATURES[columns], buckets[kept])
    np.testing.assert_array_equal(values, all_values[kept])
    assert len(none_known.rows(document, row, row).arrays()[1]) == 0


def test_a_model_without_any_feature_scores_its_intercept(tmp_path):
    _, compact = models(3, "l2", weighted=True)
    empty = replace(
        compact,
        weights=compact.weights[:0],
        feature_weights=np.zeros(0, np.float32),
        features=np.zeros(0, np.uint32),
    )
    found = scores(load_model(save(empty, tmp_path / "model")))
    np.testing.assert_array_equal(found, np.tile(empty.intercept, (len(TEXTS), 1)))


def test_the_tensors_of_a_loaded_model_are_read_only(tmp_path):
    loaded = load_model(save(models(3, None, weighted=False)[1], tmp_path / "model"))
    assert loaded.features.dtype == np.uint32
    for array in (loaded.features, loaded.weights):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1


WRONG = [
    FEATURES[::-1],
    np.concatenate([FEATURES[:1], FEATURES[:-1]]),
    np.concatenate([FEATURES[:-1], [N_FEATURES]]).astype(np.uint32),
]


@pytest.mark.parametrize("features", [*WRONG, FEATURES.astype(np.int64), FEATURES[:, None]])
def test_features_that_are_not_ascending_buckets_are_not_saved(tmp_path, features):
    _, compact = models(3, None, weighted=False)
    with pytest.raises(ModelError, match="features must be strictly ascending"):
        save(replace(compact, features=features), tmp_path / "model")


def test_features_of_another_number_than_the_weights_are_not_saved(tmp_path):
    _, compact = models(3, None, weighted=False)
    with pytest.raises(ModelError, match="rows instead of"):
        save(replace(compact, features=FEATURES[:-1]), tmp_path / "model")


@pytest.mark.parametrize("features", WRONG)
def test_a_folder_with_such_features_is_refused(tmp_path, features):
    folder = save(models(3, None, weighted=False)[1], tmp_path / "model")
    (path,) = folder.glob("weights-*.safetensors")
    forged = path.read_bytes()[: -4 * len(FEATURES)] + features.tobytes()
    content = json.loads((folder / "model.json").read_text())
    layout = manifest.load((folder / "model.json").read_bytes())[1].layout
    file = manifest.WeightsFile(checked_json.checksum([forged]), layout)
    (folder / file.name).write_bytes(forged)
    description = manifest.load((folder / "model.json").read_bytes())[0]
    (folder / "model.json").write_bytes(manifest.dump(description, file, content["manymill_version"]))
    with pytest.raises(ModelError, match="strictly ascending"):
        load_model(folder)


@pytest.mark.parametrize(
    "tensor",
    [
        {"dtype": "uint32", "shape": [N_FEATURES + 1]},
        {"dtype": "uint32", "shape": [-1]},
        {"dtype": "uint32", "shape": [True]},
        {"dtype": "uint32", "shape": [len(FEATURES), 1]},
        {"dtype": "uint32", "shape": len(FEATURES)},
        {"dtype": "uint32", "shape": [float(len(FEATURES))]},
        {"dtype": "float32", "shape": [len(FEATURES)]},
        {"dtype": "uint32", "shape": [len(FEATURES)], "more": 1},
        {"shape": [len(FEATURES)]},
        [],
    ],
    ids=str,
)
def test_a_lie_about_the_features_is_refused(tmp_path, tensor):
    folder = save(models(3, None, weighted=False)[1], tmp_path / "model")
    content = json.loads((folder / "model.json").read_text())
    del content["checksum"]
    content["weights_file"]["tensors"]["features"] = tensor
    (folder / "model.json").write_bytes(checked_json.dump(content))
    with pytest.raises(ModelError, match=r"model\.json"):
        load_model(folder)


def test_another_library_reads_the_features(tmp_path):
    folder = save(models(3, None, weighted=True)[1], tmp_path / "model")
    (path,) = folder.glob("weights-*.safetensors")
    whole = path.read_bytes()
    length = int.from_bytes(whole[:8], "little")
    entry = json.loads(whole[8 : 8 + length])["features"]
    start, stop = (8 + length + offset for offset in entry["data_offsets"])
    assert (entry["dtype"], entry["shape"], stop) == ("U32", [len(FEATURES)], len(whole))
    np.testing.assert_array_equal(np.frombuffer(whole[start:stop], "<u4"), FEATURES)


def test_the_description_of_the_analyzer_comes_back(tmp_path):
    analyzer = Analyzer(
        ngram_range=None,
        token_pattern=None,
        stop_words=("und", "é"),
        strip_accents="unicode",
        lowercase=False,
        char_ngram_range=(2, 5),
        char_analyzer="char",
        value="binary",
        norm="l1",
        n_features=4,
    )
    description = ModelDescription(classes=(1, 2), loss="hinge", analyzer=analyzer, probability="softmax")
    save_model(tmp_path, description, np.zeros((4, 1), "f4"), np.zeros(1, "f4"))
    assert load_model(tmp_path).analyzer == analyzer


@pytest.mark.parametrize("weighted", [False, True])
def test_hashed_texts_are_predicted_as_the_texts(tmp_path, weighted):
    classifier = TextClassifier.load(save(models(3, "l2", weighted)[1], tmp_path / "model"))
    with HashedCorpus.build(TEXTS, list("abcabc"), folder=tmp_path / "hashed", threads=1) as corpus:
        rows = [4, 0, 2]
        found = classifier.decision_function(corpus.texts[rows])
    np.testing.assert_array_equal(found, classifier.decision_function([TEXTS[row] for row in rows]))
