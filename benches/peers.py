"""One training or evaluation by another program, in its own process: ``python benches/peers.py VERB PEER ...``.

``train`` ends when the model is saved and prints ``{"work_seconds": ...}``, the time after the imports. ``evaluate``
prints ``{"accuracy": ...}`` on the test rows. The folder is one that ``corpora.py`` made.
"""

from __future__ import annotations

import argparse
import itertools
import json
import pickle
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

BATCH_ROWS = 1000


def batches(path: Path) -> Iterator[tuple[list[str], list[str]]]:
    """Texts and labels, a thousand rows at a time."""
    with path.open("rb") as file:
        while lines := list(itertools.islice(file, BATCH_ROWS)):
            rows = [json.loads(line) for line in lines]
            yield [row["text"] for row in rows], [row["label"] for row in rows]


def train_sklearn(folder: Path, model: Path, options: argparse.Namespace) -> float:
    """The out-of-core example of scikit-learn: JSON, HashingVectorizer, SGDClassifier.partial_fit."""
    from sklearn.feature_extraction.text import HashingVectorizer
    from sklearn.linear_model import SGDClassifier

    start = time.perf_counter()
    vectorizer = HashingVectorizer(n_features=2**options.bits, ngram_range=(1, options.ngrams))
    classifier = SGDClassifier(loss="log_loss", alpha=1e-6, random_state=0)
    classes = json.loads((folder / "info.json").read_text())["classes"]
    for _ in range(options.passes):
        for texts, labels in batches(folder / "shuffled.jsonl"):
            classifier.partial_fit(vectorizer.transform(texts), labels, classes=classes)
    with model.open("wb") as out:
        pickle.dump((vectorizer, classifier), out, protocol=5)
    return time.perf_counter() - start


def evaluate_sklearn(folder: Path, model: Path) -> float:
    vectorizer, classifier = pickle.loads(model.read_bytes())
    right = total = 0
    for texts, labels in batches(folder / "test.jsonl"):
        predicted = classifier.predict(vectorizer.transform(texts))
        right += sum(a == b for a, b in zip(predicted, labels, strict=True))
        total += len(labels)
    return right / total


def vw_arguments(folder: Path, model: Path, options: argparse.Namespace) -> str:
    """Arguments of Vowpal Wabbit. Nothing is held out: like the others, it learns from every row."""
    n_classes = len(json.loads((folder / "info.json").read_text())["classes"])
    words = [
        "-d",
        str(folder / "train.vw"),
        "-f",
        str(model),
        "-b",
        str(options.bits),
        "--loss_function logistic",
    ]
    words += ["--binary"] if n_classes == 2 else ["--oaa", str(n_classes)]
    words += ["--ngram", str(options.ngrams)] if options.ngrams > 1 else []
    if options.passes > 1:
        cache = model.with_suffix(".cache")
        words += ["--passes", str(options.passes), "--holdout_off -k --cache_file", str(cache)]
    return " ".join([*words, "--quiet"])


def train_vw(folder: Path, model: Path, options: argparse.Namespace) -> float:
    from vowpalwabbit import Workspace

    start = time.perf_counter()
    Workspace(vw_arguments(folder, model, options)).finish()
    return time.perf_counter() - start


def evaluate_vw(folder: Path, model: Path) -> float:
    from vowpalwabbit import Workspace

    out = model.with_suffix(".predictions")
    Workspace(f"-t -d {folder / 'test.vw'} -i {model} -p {out} --quiet").finish()
    with out.open() as predictions, (folder / "test.vw").open(encoding="utf-8") as rows:
        pairs = [
            (float(guess.split()[0]), float(row.split("|")[0]))
            for guess, row in zip(predictions, rows, strict=True)
        ]
    return sum(guess == truth for guess, truth in pairs) / len(pairs)


def train_fasttext(folder: Path, model: Path, options: argparse.Namespace) -> float:
    """Dimension 10 as in fastText's published runs; rate 1.0, the best of 0.25, 0.5, 1.0 on a tenth of train."""
    import fasttext

    start = time.perf_counter()
    trained = fasttext.train_supervised(
        str(folder / "train.ft"),
        dim=10,
        lr=1.0,
        epoch=options.passes,
        wordNgrams=options.ngrams,
        bucket=2_000_000,
        thread=2,
        verbose=0,
    )
    trained.save_model(str(model))
    return time.perf_counter() - start


def evaluate_fasttext(folder: Path, model: Path) -> float:
    import fasttext

    n_rows, precision, _ = fasttext.load_model(str(model)).test(str(folder / "test.ft"))
    # Rows without a known word are not counted by test(); they are errors all the same.
    return precision * n_rows / json.loads((folder / "info.json").read_text())["test_rows"]


TRAIN: dict[str, Callable[[Path, Path, argparse.Namespace], float]] = {
    "sklearn": train_sklearn,
    "vw": train_vw,
    "fasttext": train_fasttext,
}
EVALUATE: dict[str, Callable[[Path, Path], float]] = {
    "sklearn": evaluate_sklearn,
    "vw": evaluate_vw,
    "fasttext": evaluate_fasttext,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("verb", choices=["train", "evaluate"])
    parser.add_argument("peer", choices=sorted(TRAIN))
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--ngrams", type=int, default=1)
    parser.add_argument("--passes", type=int, default=1)
    parser.add_argument("--bits", type=int, default=20)
    options = parser.parse_args()
    result: dict[str, Any] = {}
    if options.verb == "train":
        result["work_seconds"] = TRAIN[options.peer](options.folder, options.model, options)
    else:
        result["accuracy"] = EVALUATE[options.peer](options.folder, options.model)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
