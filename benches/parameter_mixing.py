"""Averaged linear models of scikit-learn against the same models fitted on all rows: test accuracy in %.

    python benches/parameter_mixing.py --data FOLDER [--parts 16] [--seeds 3]

FOLDER holds ``20news-bydate`` and ``imdb`` as ``NAME-train.jsonl.zst`` and ``NAME-test.jsonl.zst``. All parameters
are defaults; nothing is tuned.
"""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.feature_extraction.text import TfidfTransformer
from sklearn.linear_model import Perceptron, SGDClassifier
from sklearn.svm import LinearSVC

from manymill import HashingVectorizer, ParameterMixingClassifier, scan
from manymill.data.reader import read

ROUNDS = (1, 3, 10)
ESTIMATORS = (SGDClassifier(random_state=0), Perceptron(random_state=0), LinearSVC(random_state=0))


def rows(path: Path) -> tuple[list[str], np.ndarray]:
    batches = list(read(scan(path).plan()))
    return [text for batch in batches for text in batch.texts()], np.array(
        [label for batch in batches for label in batch.labels()]
    )


def accuracies(estimator: Any, train: tuple, test: tuple, parts: int, seeds: int) -> str:
    told = [f"all rows {100 * estimator.fit(*train).score(*test):.2f}"]
    for rounds in ROUNDS if hasattr(estimator, "partial_fit") else (1,):
        scores = [
            100
            * ParameterMixingClassifier(
                estimator, n_partitions=parts, rounds=rounds, random_state=seed, validation_fraction=0.0
            )
            .fit(*train)
            .score(*test)
            for seed in range(seeds)
        ]
        told.append(f"{rounds} rounds {np.mean(scores):.2f} ± {np.std(scores):.2f}")
    return ", ".join(told)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--parts", type=int, default=16)
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    warnings.simplefilter("ignore")  # convergence of the models fitted on all rows
    hashing = HashingVectorizer(n_features=2**18, alternate_sign=False, norm=None)
    for name in ("20news-bydate", "imdb"):
        texts, y = rows(options.data / f"{name}-train.jsonl.zst")
        others, z = rows(options.data / f"{name}-test.jsonl.zst")
        tfidf = TfidfTransformer(sublinear_tf=True)
        train = tfidf.fit_transform(hashing.transform(texts)), y
        test = tfidf.transform(hashing.transform(others)), z
        for estimator in ESTIMATORS:
            told = accuracies(estimator, train, test, options.parts, options.seeds)
            print(f"{name}, {type(estimator).__name__}: {told}", flush=True)


if __name__ == "__main__":
    main()
