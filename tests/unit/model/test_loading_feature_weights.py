"""Feature weights in a model folder: loaded, verified, and absent if the model has none."""

import json

import numpy as np
import pytest

from manymill.errors import ModelError
from manymill.hash_form import word_form
from manymill.model import Analyzer, ModelDescription, load_model, manifest, save_model
from manymill.storage import checked_json

ANALYZER = Analyzer(**vars(word_form()), value="log", norm="l2", n_features=5)
WEIGHTS = np.arange(5, dtype=np.float32)


def save(folder, weights, classes=("a", "b", "c")):
    description = ModelDescription(classes=classes, loss="log", analyzer=ANALYZER)
    n = description.n_outputs
    save_model(folder, description, np.ones((5, n), "f4"), np.zeros(n, "f4"), weights)


@pytest.mark.parametrize("classes", [("a", "b"), ("a", "b", "c")])
def test_a_folder_gives_back_the_weights_of_the_features(tmp_path, classes):
    save(tmp_path, WEIGHTS, classes)
    model = load_model(tmp_path)
    np.testing.assert_array_equal(model.feature_weights, WEIGHTS)
    assert model.weights.shape == (5, model.n_outputs)
    with pytest.raises(ValueError, match="read-only"):
        model.feature_weights[0] = 1


def test_another_library_reads_the_tensor(tmp_path):
    save(tmp_path, WEIGHTS)
    (path,) = tmp_path.glob("weights-*.safetensors")
    whole = path.read_bytes()
    length = int.from_bytes(whole[:8], "little")
    entry = json.loads(whole[8 : 8 + length])["feature_weights"]
    start, stop = (8 + length + offset for offset in entry["data_offsets"])
    assert (entry["dtype"], entry["shape"], stop) == ("F32", [5], len(whole))
    np.testing.assert_array_equal(np.frombuffer(whole[start:stop], "<f4"), WEIGHTS)


@pytest.mark.parametrize("weights", [WEIGHTS[:4], WEIGHTS.astype(np.float64), WEIGHTS * np.nan])
def test_weights_that_cannot_be_are_not_saved(tmp_path, weights):
    with pytest.raises(ModelError, match="feature weights"):
        save(tmp_path, weights)


@pytest.mark.parametrize("change", ["dropped", "added"])
def test_weights_that_only_model_json_has_or_lacks_are_found(tmp_path, change):
    save(tmp_path, None if change == "added" else WEIGHTS)
    content = json.loads((tmp_path / "model.json").read_text())
    entry, _ = content["weights_file"], content.pop("checksum")
    weighed = change == "added"
    file = manifest.WeightsFile(
        entry["checksum"], manifest.Layout(n_columns=5, n_outputs=3, has_feature_weights=weighed)
    )
    content["weights_file"] = manifest._weights_entry(file)
    (tmp_path / "model.json").write_bytes(checked_json.dump(content))
    with pytest.raises(ModelError, match="bytes instead of"):
        load_model(tmp_path)
