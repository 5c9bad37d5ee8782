"""One training of ``recipe.py`` in a process of its own: ``python benches/recipe_arms.py ARM --train FILE ...``.

``--out FILE`` predicts the test rows and saves ``classes``, and for each test ``TEST:predicted`` (numbers of classes)
and what ``--wanted`` names: ``TEST:scores`` of the second of two classes, ``TEST:probabilities``. ``--model PATH``
saves the model instead. The arm ``manymill-run`` makes a run folder as ``manymill train`` does, with any settings.

Peers
-----
``svc-words``
    ``TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)`` and ``LinearSVC``.
``svc-chars``
    Beside these features TF-IDF of ``char_wb`` 3-grams; both parts together have unit norm.
``svc-chars-1-3``
    The same with 1 to 3 characters, for languages without spaces.
``svc-words-balanced``, ``lr-words-balanced``
    ``svc-words`` with ``class_weight="balanced"``, and ``LogisticRegression`` with it on the same features.
``vw``, ``fasttext``
    As in :mod:`peers`, with words and pairs of words and 5 passes.
``fasttext-autotune``
    Chooses its settings on a tenth of the training rows, in as many seconds as ``svc-words`` took.
"""

from __future__ import annotations

import argparse
import importlib.util
import inspect
import json
import pickle
import random
import tempfile
import time
import warnings
from argparse import Namespace
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

OURS = "manymill"
OUR_RUN = "manymill-run"

NO_CHARACTERS = {"char_ngram_range": None}


@dataclass(frozen=True)
class Peer:
    """Another program with its settings.

    Attributes
    ----------
    package : str
        The module that it needs.
    settings : dict
        All that decides its predictions besides the rows and the versions.
    """

    package: str
    settings: dict[str, Any]

    @property
    def installed(self) -> bool:
        """Whether it can run here."""
        return importlib.util.find_spec(self.package) is not None


def _linear(**settings: Any) -> Peer:
    defaults = {"characters": None, "classifier": "LinearSVC", "class_weight": None, "sublinear_tf": True}
    return Peer("sklearn", {**defaults, **settings})


PEERS = {
    "svc-words": _linear(),
    "svc-chars": _linear(characters=(3, 3)),
    "svc-chars-1-3": _linear(characters=(1, 3)),
    "svc-words-balanced": _linear(class_weight="balanced"),
    "lr-words-balanced": _linear(classifier="LogisticRegression", class_weight="balanced"),
    "vw": Peer("vowpalwabbit", {"ngrams": 2, "passes": 5}),
    "fasttext": Peer("fasttext", {"ngrams": 2, "passes": 5}),
    "fasttext-autotune": Peer("fasttext", {"validation": 10}),
}
VW_BITS = {2: 22}
VW_BITS_OF_MANY = 26
# All pairs of words with hundreds of classes need 20 GB in LinearSVC.
MANY_CLASSES = 200


class Fitted(Protocol):
    """A trained model."""

    classes: list[str]

    def predict(self, texts: list[str], wanted: list[str]) -> dict[str, NDArray[Any]]:
        """``predicted`` and the wanted arrays of some texts."""

    def save(self, path: Path) -> None:
        """Save the model."""


def read(path: Path) -> tuple[list[str], list[str]]:
    """Texts and labels of a file of JSON lines."""
    rows = [json.loads(line) for line in path.read_bytes().splitlines()]
    return [row["text"] for row in rows], [str(row["label"]) for row in rows]


# ---- the arms


def known(settings: Mapping[str, Any], target: Callable[..., Any]) -> dict[str, Any]:
    """Settings that ``target`` takes, without the one that says that there are no characters if it has none.

    Raises
    ------
    ValueError
        If another setting is unknown.
    """
    names = set(inspect.signature(target).parameters)
    if missing := settings.keys() - names - NO_CHARACTERS.keys():
        raise ValueError(f"this version of manymill has no parameter {', '.join(sorted(missing))}")
    return {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in settings.items()
        if name in names
    }


class Ours:
    """``TextClassifier`` with its defaults but for the settings given."""

    def __init__(self, options: Namespace) -> None:
        from manymill import TextClassifier, scan

        settings = known(json.loads(options.settings), TextClassifier)
        self.model = TextClassifier(random_state=options.seed, threads=options.threads, **settings)
        self.model.fit(scan(options.train))
        self.classes = [str(label) for label in self.model.classes_]

    def predict(self, texts: list[str], wanted: list[str]) -> dict[str, NDArray[Any]]:
        """The arrays of some texts."""
        found = {"predicted": np.searchsorted(self.model.classes_, self.model.predict(texts))}
        if "scores" in wanted:
            found["scores"] = self.model.decision_function(texts)
        if "probabilities" in wanted:
            found["probabilities"] = self.model.predict_proba(texts).astype(np.float32)
        return found

    def save(self, path: Path) -> None:
        """Save the model folder."""
        self.model.save(path)


def train_into(options: Namespace) -> None:
    """Train into a run folder as the command line does, which does not import scikit-learn."""
    from manymill import scan
    from manymill.linear.run import train_run
    from manymill.linear.settings import Settings

    settings = Settings(seed=options.seed, **known(json.loads(options.settings), Settings))
    train_run(scan(options.train), options.model, settings, threads=options.threads)


class ScikitLearn:
    """TF-IDF and a linear classifier."""

    def __init__(self, options: Namespace) -> None:
        from sklearn.exceptions import ConvergenceWarning

        texts, labels = read(options.train)
        self.vectorizer, self.classifier = self._parts(PEERS[options.arm].settings, len(set(labels)))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            self.classifier.fit(self.vectorizer.fit_transform(texts), labels)
        self.classes = self.classifier.classes_.tolist()

    @staticmethod
    def _parts(settings: dict[str, Any], n_classes: int) -> tuple[Any, Any]:
        from sklearn.feature_extraction.text import TfidfVectorizer
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import FeatureUnion, make_pipeline
        from sklearn.preprocessing import Normalizer
        from sklearn.svm import LinearSVC

        common = {"sublinear_tf": settings["sublinear_tf"], "min_df": 2 if n_classes > MANY_CLASSES else 1}
        vectorizer: Any = TfidfVectorizer(ngram_range=(1, 2), **common)
        if settings["characters"]:
            parts = [
                ("words", TfidfVectorizer(ngram_range=(1, 2), norm=None, **common)),
                (
                    "characters",
                    TfidfVectorizer(
                        analyzer="char_wb", ngram_range=settings["characters"], norm=None, **common
                    ),
                ),
            ]
            vectorizer = make_pipeline(FeatureUnion(parts), Normalizer(copy=False))
        weight = settings["class_weight"]
        if settings["classifier"] == "LinearSVC":
            return vectorizer, LinearSVC(class_weight=weight, random_state=0)
        return vectorizer, LogisticRegression(class_weight=weight, max_iter=1000)

    def predict(self, texts: list[str], wanted: list[str]) -> dict[str, NDArray[Any]]:
        """The arrays of some texts."""
        scores = self.classifier.decision_function(self.vectorizer.transform(texts))
        found = {"predicted": (scores > 0) if scores.ndim == 1 else scores.argmax(axis=1)}
        return {**found, "scores": scores} if "scores" in wanted else found

    def save(self, path: Path) -> None:
        """Pickle both parts."""
        with path.open("wb") as out:
            pickle.dump((self.vectorizer, self.classifier), out, protocol=5)


class Tokenised:
    """Vowpal Wabbit or fastText, on text tokenised as in :mod:`corpora`."""

    def __init__(self, options: Namespace) -> None:
        import corpora
        import peers

        self.temporary = tempfile.TemporaryDirectory()
        folder = Path(self.temporary.name)
        self.folder, self.is_vw, self.model = folder, options.arm == "vw", folder / "model"
        lines = options.train.read_bytes().splitlines()
        random.Random(corpora.SHUFFLE_SEED).shuffle(lines)  # these programs do not shuffle
        # A class that only the test rows have costs everyone the same few errors.
        self.classes = sorted(
            {label for path in [options.train, *options.tests.values()] for label in read(path)[1]}
        )
        self.numbers = {label: number for number, label in enumerate(self.classes)}
        (folder / "info.json").write_text(json.dumps({"classes": self.classes}))
        corpora.write_tokenised(lines, self.numbers, folder / "train")
        settings = PEERS[options.arm].settings
        if options.arm == "fasttext-autotune":
            self._autotune(settings["validation"], options.seconds)
            return
        bits = VW_BITS.get(len(self.classes), VW_BITS_OF_MANY)
        peers.TRAIN[options.arm](folder, self.model, Namespace(bits=bits, **settings))

    def _autotune(self, validation: int, seconds: int) -> None:
        import fasttext

        lines = (self.folder / "train.ft").read_bytes().splitlines()
        chosen = set(range(0, len(lines), validation))
        for name, inside in (("validation", True), ("rest", False)):
            rows = [line for i, line in enumerate(lines) if (i in chosen) is inside]
            (self.folder / f"{name}.ft").write_bytes(b"\n".join(rows) + b"\n")
        trained = fasttext.train_supervised(
            str(self.folder / "rest.ft"),
            autotuneValidationFile=str(self.folder / "validation.ft"),
            autotuneDuration=max(1, seconds),
            thread=2,
            verbose=0,
        )
        trained.save_model(str(self.model))

    def predict(self, texts: list[str], wanted: list[str]) -> dict[str, NDArray[Any]]:
        """The arrays of some texts."""
        import corpora
        import peers

        rows = [json.dumps({"label": self.classes[0], "text": text}).encode() for text in texts]
        corpora.write_tokenised(rows, self.numbers, self.folder / "test")
        if self.is_vw:
            peers.EVALUATE["vw"](self.folder, self.model)
            lines = self.model.with_suffix(".predictions").read_text().splitlines()
            found = np.array([float(line.split()[0]) for line in lines])
            # Two classes are -1 and 1 to Vowpal Wabbit, more are 1, 2, ...
            return {"predicted": found > 0 if len(self.classes) == 2 else found.astype(np.int64) - 1}
        import fasttext

        model = fasttext.load_model(str(self.model))
        words = [
            line.partition(" ")[2]
            for line in (self.folder / "test.ft").read_text(encoding="utf-8").splitlines()
        ]
        # A text without a known word gets no label: an error.
        labels = [next(iter(found), "__label__-1") for found in model.predict(words)[0]]
        return {"predicted": np.array([int(label.removeprefix("__label__")) for label in labels])}

    def save(self, path: Path) -> None:
        """Copy the model file."""
        path.write_bytes(self.model.read_bytes())


def fit(options: Namespace) -> Fitted:
    """Train one arm."""
    if options.arm == OURS:
        return Ours(options)
    return ScikitLearn(options) if PEERS[options.arm].package == "sklearn" else Tokenised(options)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("arm", choices=[OURS, OUR_RUN, *PEERS])
    parser.add_argument("--train", type=Path, required=True)
    parser.add_argument("--tests", nargs="*", default=[], metavar="NAME=FILE")
    parser.add_argument("--settings", default="{}", help="parameters of TextClassifier as JSON")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seconds", type=int, default=1, help="time of fastText's autotune")
    parser.add_argument("--wanted", nargs="*", choices=["scores", "probabilities"], default=[])
    target = parser.add_mutually_exclusive_group(required=True)
    target.add_argument("--out", type=Path)
    target.add_argument("--model", type=Path)
    options = parser.parse_args()
    options.tests = {name: Path(path) for name, _, path in (test.partition("=") for test in options.tests)}
    if options.arm == OUR_RUN:
        train_into(options)
        return
    start = time.process_time()
    fitted = fit(options)
    seconds = round(time.process_time() - start, 2)
    if options.model:
        fitted.save(options.model)
    else:
        found = {
            f"{test}:{what}": array
            for test, path in options.tests.items()
            for what, array in fitted.predict(read(path)[0], options.wanted).items()
        }
        np.savez_compressed(options.out, classes=np.array(fitted.classes), seconds=seconds, **found)


if __name__ == "__main__":
    main()
