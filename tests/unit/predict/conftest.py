import json

import numpy as np
import pytest

from manymill.data.dataset import scan
from manymill.hash_form import word_form
from manymill.model import Analyzer, ModelDescription, load_model, save_model


@pytest.fixture
def make_model(tmp_path_factory):
    def make(classes=("neg", "pos"), loss="log", seed=0, n_features=2**10):
        analyzer = Analyzer(**vars(word_form((1, 2))), value="log", norm="l2", n_features=n_features)
        description = ModelDescription(classes=classes, loss=loss, analyzer=analyzer)
        numbers = np.random.default_rng(seed).normal(size=(n_features + 1, description.n_outputs))
        folder = tmp_path_factory.mktemp("model")
        save_model(folder, description, np.float32(numbers[:-1]), np.float32(numbers[-1]))
        return load_model(folder)

    return make


@pytest.fixture
def model(make_model):
    return make_model()


@pytest.fixture
def write_rows(tmp_path):
    def write(name, n_rows, bad_every=0, start=0):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = [
            json.dumps({"text": f"Wort{i} a film of {i % 7} parts"}) for i in range(start, start + n_rows)
        ]
        if bad_every:
            lines[::bad_every] = ["{broken"] * len(lines[::bad_every])
        path.write_text("".join(line + "\n" for line in lines))
        return path

    return write


@pytest.fixture
def plan():
    def make(*paths, **reading):
        return scan(paths, text="text", labelled=False, **reading).plan(block_bytes=2000)

    return make
