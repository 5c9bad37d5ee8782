"""Folders of version 0.1, in version_1/: they load and predict the very same labels and probabilities."""

import json
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest

from manymill import TextClassifier
from manymill.errors import ModelError
from manymill.hash_form import Form
from manymill.model import Analyzer, LinearModel, load_model
from manymill.storage import checked_json

FOLDERS = Path(__file__).parent / "version_1"
EXPECTED = json.loads((FOLDERS / "predictions.json").read_text())
NAMES = sorted(EXPECTED["models"])


def check_predictions(classifier, name):
    expected, texts = EXPECTED["models"][name], EXPECTED["texts"]
    assert classifier.predict(texts).tolist() == expected["labels"]
    assert classifier.decision_function(texts).tolist() == expected["scores"]
    np.testing.assert_allclose(classifier.predict_proba(texts), expected["probabilities"], rtol=1e-14)


@pytest.mark.parametrize("name", NAMES)
def test_a_folder_of_version_1_predicts_the_same(name):
    check_predictions(TextClassifier.load(FOLDERS / name), name)


@pytest.mark.parametrize("name", NAMES)
def test_it_is_saved_as_version_2_and_still_predicts_the_same(tmp_path, name):
    TextClassifier.load(FOLDERS / name).save(tmp_path / "model")
    content = json.loads((tmp_path / "model" / "model.json").read_text())
    assert content["format_version"] == 2
    assert content["probability"] == ("clipped" if name.startswith("modified") else "softmax")
    check_predictions(TextClassifier.load(tmp_path / "model"), name)


@pytest.mark.parametrize("name", ["log", "modified_huber"])
def test_a_pickle_of_version_0_1_predicts_the_same(name):
    classifier = TextClassifier.load(FOLDERS / name)
    model = classifier._state._model
    # As its classes were: without the parameters that came later.
    for later in Form.__dataclass_fields__.keys() - {"ngram_range", "lowercase"}:
        del vars(model.analyzer)[later]
    for owner, later in [(model, "probability"), (model, "features"), (classifier, "_link")]:
        del vars(owner)[later]
    check_predictions(pickle.loads(pickle.dumps(classifier)), name)


@pytest.mark.parametrize(
    "change",
    [
        {"probability": "softmax"},
        {"format_version": 2},
        {"temperature": 0.0},
        {"temperature": None},
        {"features": []},
    ],
    ids=str,
)
def test_a_folder_of_version_1_with_what_version_1_had_not_is_refused(tmp_path, change):
    folder = shutil.copytree(FOLDERS / "log", tmp_path / "model")
    content = json.loads((folder / "model.json").read_text())
    del content["checksum"]
    (folder / "model.json").write_bytes(checked_json.dump(content | change))
    with pytest.raises(ModelError, match=r"model\.json"):
        load_model(folder)


def test_version_1_has_no_features_in_use(tmp_path):
    folder = shutil.copytree(FOLDERS / "log", tmp_path / "model")
    content = json.loads((folder / "model.json").read_text())
    del content["checksum"]
    content["weights_file"]["tensors"]["features"] = {"dtype": "uint32", "shape": [128]}
    (folder / "model.json").write_bytes(checked_json.dump(content))
    with pytest.raises(ModelError, match="weights_file"):
        load_model(folder)


def test_the_model_has_the_form_of_version_1():
    model = load_model(FOLDERS / "log")
    assert isinstance(model, LinearModel)
    assert isinstance(model.analyzer, Analyzer)
    assert (model.analyzer.token_pattern, model.analyzer.char_ngram_range) == (r"(?u)\b\w\w+\b", None)
    assert model.features is None
