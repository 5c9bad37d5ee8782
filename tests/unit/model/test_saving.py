"""A save that fails or is killed leaves the previous model, or none."""

import errno
import inspect
import os
import random
import re
import subprocess
import sys
import time

import numpy as np
import pytest

from manymill.errors import ModelError, RunFolderError
from manymill.hash_form import word_form
from manymill.model import Analyzer, ModelDescription, load_model, save_model

N_FEATURES = 300_000  # more than one piece of writing


def save(folder, number, n_features):
    analyzer = Analyzer(**vars(word_form()), value="log", norm=None, n_features=n_features)
    description = ModelDescription(
        classes=("a", "b"), loss="log", analyzer=analyzer, facts={"number": number}
    )
    save_model(folder, description, np.full((n_features, 1), number, "f4"), np.full(1, number, "f4"))


def number_of(folder):
    """The number that a model was saved with, which all of its parts must agree on."""
    model = load_model(folder)
    number = model.facts["number"]
    assert (model.weights == number).all()
    assert (model.intercept == number).all()
    return number


class FailsAtCall:
    """A system call that fails at its n-th use and from then on."""

    def __init__(self, call, n, error):
        self.call, self.left, self.error = call, n, error

    def __call__(self, *args):
        self.left -= 1
        if self.left <= 0:
            raise OSError(self.error, os.strerror(self.error))
        return self.call(*args)


CALLS = [("write", errno.ENOSPC), ("fsync", errno.EIO), ("replace", errno.EACCES), ("open", errno.EMFILE)]


@pytest.mark.parametrize(("name", "error"), CALLS)
@pytest.mark.parametrize("before", [None, 1])
def test_whichever_call_fails_the_old_model_stays_or_none(tmp_path, monkeypatch, name, error, before):
    for n in range(1, 50):
        folder = tmp_path / str(n)
        if before is not None:
            save(folder, before, N_FEATURES)
        failing = FailsAtCall(getattr(os, name), n, error)
        with monkeypatch.context() as patch:
            patch.setattr(os, name, failing)
            failed = saving_fails(folder)
        if failing.left > 0:
            assert not failed
            assert number_of(folder) == 2
            return
        assert_old_or_new(folder, failed, before)
    pytest.fail("the save never succeeded")


def saving_fails(folder):
    try:
        save(folder, 2, N_FEATURES)
    except RunFolderError:
        return True
    return False


def assert_old_or_new(folder, failed, before):
    try:
        number = number_of(folder)
    except ModelError:
        assert not (folder / "model.json").exists()
        number = None
    # A failed fsync of the folder after the renaming is an error, though the new model can be read.
    assert number in ((before, 2) if failed else (2,))
    assert not list(folder.glob(".manymill-work-*/*"))
    assert len(list(folder.glob("weights-*"))) == (number is not None)


def test_a_short_write_is_continued(tmp_path, monkeypatch):
    write = os.write
    monkeypatch.setattr(
        os, "write", lambda descriptor, data: write(descriptor, data[: max(1, len(data) // 2)])
    )
    save(tmp_path, 3, n_features=50)
    assert number_of(tmp_path) == 3


SAVER = f"""
import resource, sys
import numpy as np
from manymill.errors import RunFolderError
from manymill.hash_form import word_form
from manymill.model import Analyzer, ModelDescription, save_model
N_FEATURES = {N_FEATURES}
{inspect.getsource(save)}
folder = sys.argv[1]
"""


def run(code, *args):
    return subprocess.Popen([sys.executable, "-c", SAVER + code, *map(str, args)], stdout=subprocess.PIPE)


def test_a_file_size_limit_leaves_the_old_model_and_a_clear_error(tmp_path):
    save(tmp_path, 1, N_FEATURES)
    code = """
resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, 500_000))
try:
    save(folder, 2, N_FEATURES)
except RunFolderError as error:
    print(error)
"""
    message = run(code, tmp_path).communicate()[0].decode()
    assert re.search("cannot save the model.*File too large", message)
    assert number_of(tmp_path) == 1
    assert not list(tmp_path.glob(".manymill-work-*"))


def test_a_save_killed_at_any_moment_leaves_the_old_or_the_new_model(tmp_path):
    endless = (
        "for n in range(int(sys.argv[2]), 10**6):\n    save(folder, n, N_FEATURES); print(n, flush=True)"
    )
    rng, saved, n_killed, end = random.Random(0), 0, 0, time.monotonic() + 5
    while n_killed < 3 or time.monotonic() < end:
        with run(endless, tmp_path, saved + 1) as process:
            saved = int(process.stdout.readline())
            until = time.monotonic() + rng.random() / 30
            while time.monotonic() < until:
                assert number_of(tmp_path) >= saved  # a reader beside the saver
            process.kill()
            saved = int([saved, *process.stdout.read().split()][-1])
        assert number_of(tmp_path) in (saved, saved + 1)
        saved, n_killed = number_of(tmp_path), n_killed + 1
    save(tmp_path, saved + 1, N_FEATURES)
    assert len(list(tmp_path.iterdir())) == 3  # the two files and the lock: what the kills left is gone


def test_a_save_killed_before_it_removed_the_old_weights_has_them_removed_by_the_next(tmp_path):
    save(tmp_path, 1, N_FEATURES)
    code = """
import os
from pathlib import Path
Path.unlink = lambda *path, **options: os._exit(9)
save(folder, 2, N_FEATURES)
"""
    with run(code, tmp_path) as process:
        assert process.wait() == 9
    assert len(list(tmp_path.glob("weights-*.safetensors"))) == 2
    assert number_of(tmp_path) == 2
    save(tmp_path, 3, N_FEATURES)
    assert len(list(tmp_path.iterdir())) == 3
