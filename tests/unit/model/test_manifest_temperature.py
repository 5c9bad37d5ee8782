"""The temperature of a model: saved, validated, applied."""

import numpy as np
import pytest

from manymill.errors import ModelError
from manymill.hash_form import word_form
from manymill.model import Analyzer, ModelDescription, load_model, manifest, probabilities, save_model

ANALYZER = Analyzer(**vars(word_form()), value="log", norm="l2", n_features=4)
WEIGHTS = manifest.WeightsFile("blake2b-256:" + "0" * 64, manifest.Layout(n_columns=4, n_outputs=1))


def described(temperature):
    return ModelDescription(classes=("a", "b"), loss="log", analyzer=ANALYZER, temperature=temperature)


def test_a_temperature_comes_back_from_the_folder(tmp_path):
    save_model(tmp_path / "m", described(0.7), iter([np.zeros((4, 1), np.float32)]), np.zeros(1, np.float32))
    assert load_model(tmp_path / "m").temperature == 0.7


@pytest.mark.parametrize("wrong", [0.0, -1.0, 2, "1.0", None])
def test_a_temperature_that_divides_nothing_is_refused(wrong):
    with pytest.raises(ModelError, match="temperature"):
        manifest.dump(described(wrong), WEIGHTS, "0.1")


@pytest.mark.parametrize("link", ["softmax", "clipped"])
def test_a_temperature_softens_probabilities_and_leaves_their_order(link):
    scores = np.array([[0.3, -0.2, 0.9]], np.float32)
    plain, soft = (probabilities(scores, link, temperature) for temperature in (1.0, 4.0))
    assert np.array_equal(plain.argsort(), soft.argsort())
    assert soft.max() < plain.max()
