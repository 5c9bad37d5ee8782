"""Run the models that ``recipe.py`` compares, and cache the predictions of other programs.

An entry of the cache is named by a digest of the peer's settings, its version and NumPy's, the training and test rows,
and what was predicted: a change in any of them computes it again.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import measure
import numpy as np
from numpy.typing import NDArray
from recipe_arms import OURS, PEERS, read
from recipe_data import Corpus

HERE = Path(__file__).parent
PACKAGES = {
    "sklearn": ("scikit-learn", "scipy", "numpy"),
    "vowpalwabbit": ("vowpalwabbit",),
    "fasttext": ("fasttext-community",),
}
TIMED = "svc-words"


def default_cache() -> Path:
    """The user's cache folder for peers' predictions."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "manymill-benches"


@dataclass(frozen=True)
class Predictions:
    """What one trained model predicts.

    Attributes
    ----------
    classes : ndarray of str, shape (n_classes,)
        Labels.
    arrays : dict of str to ndarray
        ``TEST:predicted``, ``TEST:scores``, ``TEST:probabilities``.
    seconds : float
        CPU seconds of the training.
    """

    classes: NDArray[np.str_]
    arrays: dict[str, NDArray[Any]]
    seconds: float

    def correct(self, corpus: Corpus, test: str = "test") -> NDArray[np.bool_]:
        """Whether each test row's label is the one predicted, (n_rows,)."""
        predicted = self.arrays[f"{test}:predicted"].astype(np.int64)
        labels = np.where(predicted < 0, "", self.classes[predicted])
        found: NDArray[np.bool_] = labels == np.array(read(corpus.tests[test])[1])
        return found


class Runs:
    """Trains arms in child processes.

    Parameters
    ----------
    cache : Path
        Folder of peers' predictions.
    threads : int
        Threads of our trainings.
    peers : {"all", "cached", "none"}
        Which peers may run: all that are installed, only those with an entry in the cache, or none.
    """

    def __init__(self, cache: Path, threads: int, peers: str) -> None:
        self.cache, self.threads, self.peers = cache, threads, peers
        self.notes: dict[str, str] = {}

    def ours(
        self, corpus: Corpus, settings: dict[str, Any], seed: int, wanted: tuple[str, ...] = ()
    ) -> Predictions:
        """Train ``TextClassifier`` with its defaults but for some settings."""
        more = ["--settings", json.dumps(settings), "--seed", str(seed), "--threads", str(self.threads)]
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / "predictions.npz"
            self._run(OURS, corpus, out, wanted, more)
            return _load(out)

    def peer(self, corpus: Corpus, name: str, wanted: tuple[str, ...] = ()) -> Predictions | None:
        """A peer's predictions; None, with a note, if it is not installed or may not run."""
        peer = PEERS[name]
        if not peer.installed:
            self.notes[name] = f"{peer.package} is not installed"
            return None
        if self.peers == "none":
            return None
        more: list[str] = []
        if name == "fasttext-autotune":
            timed = self.peer(corpus, TIMED)
            if timed is None:
                return None
            more = ["--seconds", str(math.ceil(timed.seconds))]
        path = self.cache / f"{corpus.name}-{name}-{_digest(corpus, name, wanted)}.npz"
        if not path.exists():
            if self.peers == "cached":
                self.notes[f"{name} on {corpus.name}"] = "is not in the cache"
                return None
            self.cache.mkdir(parents=True, exist_ok=True)
            unfinished = path.with_suffix(f".{os.getpid()}.npz")
            self._run(name, corpus, unfinished, wanted, more)
            unfinished.rename(path)
        return _load(path)

    def _run(
        self, arm: str, corpus: Corpus, out: Path, wanted: tuple[str, ...], more: list[str]
    ) -> measure.Cost:
        tests = [f"{name}={path}" for name, path in corpus.tests.items()]
        command = [sys.executable, str(HERE / "recipe_arms.py"), arm, "--train", str(corpus.train)]
        command += ["--tests", *tests, "--out", str(out), *more, "--wanted", *wanted]
        cost = measure.run(command)
        print(f"{corpus.name} {arm} {' '.join(more)} {cost.wall_seconds:.1f} s", file=sys.stderr, flush=True)
        return cost


def _load(path: Path) -> Predictions:
    with np.load(path) as saved:
        arrays = {name: saved[name] for name in saved.files}
    return Predictions(arrays.pop("classes"), arrays, float(arrays.pop("seconds")))


def _digest(corpus: Corpus, name: str, wanted: tuple[str, ...]) -> str:
    peer = PEERS[name]
    described = [name, peer.settings, measure.versions(*PACKAGES[peer.package]), sorted(wanted)]
    digest = hashlib.sha256(json.dumps(described, sort_keys=True).encode())
    for test, path in [("train", corpus.train), *sorted(corpus.tests.items())]:
        digest.update(test.encode())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:16]
