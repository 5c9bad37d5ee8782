"""64 text configurations, hashed once, beside scikit-learn's search over pipelines; successive halving beside all.

    python benches/search_text.py --data FOLDER [--arms ours halving scikit-learn] [--sample 4] [--cv 5] [--rows 25000]

``ours``
    Every configuration on every split, over hashes that are made once: hashing is part of the time.
``halving``
    The same configurations on 1/16 of the rows, the best eighth on 1/4, the two best of them on all.
``scikit-learn``
    ``RandomizedSearchCV`` over ``HashingVectorizer``, ``TfidfTransformer`` and ``SGDClassifier``, the same
    configurations on the same splits. It takes half an hour or more: ``--sample 4`` runs the first four configurations
    and tells the time of all as 16 times theirs.

All arms have two workers. The best configuration of each is fitted on all training rows and scored on the test rows.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import corpora
import measure
import numpy as np
from numpy.typing import NDArray
from scipy.stats import loguniform
from sklearn.exceptions import ConvergenceWarning
from sklearn.feature_extraction.text import HashingVectorizer, TfidfTransformer
from sklearn.linear_model import SGDClassifier
from sklearn.model_selection import ParameterSampler, RandomizedSearchCV, StratifiedKFold
from sklearn.pipeline import Pipeline

from manymill import TextClassifier
from manymill.engine.choosing import as_engine
from manymill.search.text import TextEvaluator, text_evaluator

RESULTS = Path(__file__).parent / "results"
N_TRIALS = 64
WORKERS = 2
SEED = 0

SPACE = {
    "hash__ngram_range": [(1, 1), (1, 2)],
    "hash__n_features": [2**18, 2**20, 2**22],
    "weigh__sublinear_tf": [True, False],
    "weigh__use_idf": [True, False],
    "learn__loss": ["log_loss", "hinge", "squared_hinge", "modified_huber"],
    "learn__alpha": loguniform(1e-7, 1e-3),
    "learn__max_iter": [5, 10, 20],
}

# The steps of SGDClassifier are 1 / (alpha (t0 + t)): alpha is its learning rate as well. Ours has one of its own, and
# AdaGrad needs fewer passes.
RATES = (0.05, 2.0)
PASSES = {5: 1, 10: 2, 20: 3}

# Share of the rows and of the candidates that are left, from the first rung to the last.
RUNGS = ((1 / 16, 1.0), (1 / 4, 1 / 8), (1.0, 1 / 32))

Split = tuple[NDArray[np.intp], NDArray[np.intp]]


def candidates() -> list[dict[str, Any]]:
    """The configurations that scikit-learn's search draws, in our words."""
    return [_translated(theirs) for theirs in ParameterSampler(SPACE, N_TRIALS, random_state=SEED)]


def _translated(theirs: dict[str, Any]) -> dict[str, Any]:
    # The place of alpha in its range, from the greatest, whose steps are the shortest, to the least.
    place = np.log(1e-3 / theirs["learn__alpha"]) / np.log(1e-3 / 1e-7)
    return {
        "ngram_range": theirs["hash__ngram_range"],
        "n_features": theirs["hash__n_features"],
        "value": "log" if theirs["weigh__sublinear_tf"] else "count",
        "feature_weights": "idf" if theirs["weigh__use_idf"] else None,
        "loss": theirs["learn__loss"].removesuffix("_loss"),
        "learning_rate": float(RATES[0] * (RATES[1] / RATES[0]) ** place),
        "passes": PASSES[theirs["learn__max_iter"]],
    }


@dataclass(frozen=True)
class Corpus:
    """Texts and labels, and how they are split."""

    train: tuple[list[str], NDArray[Any]]
    test: tuple[list[str], NDArray[Any]]
    splits: list[Split]


def corpus(folder: Path, n_rows: int | None, cv: int) -> Corpus:
    train, test = (_read(folder / f"{part}.jsonl", n_rows) for part in ("shuffled", "test"))
    folds = StratifiedKFold(cv, shuffle=True, random_state=SEED)
    return Corpus(train, test, list(folds.split(*train)))


def _read(path: Path, n_rows: int | None) -> tuple[list[str], NDArray[Any]]:
    rows = [json.loads(line) for line in path.read_bytes().splitlines()[:n_rows]]
    return [row["text"] for row in rows], np.array([row["label"] for row in rows])


# ---- ours


@dataclass(frozen=True)
class Task:
    """A configuration on a split."""

    evaluator: TextEvaluator
    params: dict[str, Any]
    split: Split
    n_rows: int | None

    def __call__(self) -> tuple[float, float]:
        """The score, and the seconds of the processor that it took."""
        start = time.process_time()
        score = self.evaluator.evaluate(self.params, *self.split, self.n_rows)["score"]
        return score, time.process_time() - start


def _call(task: Task) -> tuple[float, float]:
    return task()


def search(data: Corpus, rungs: tuple[tuple[float, float], ...], engine: str) -> dict[str, Any]:
    """Rungs of shares of rows and candidates; the best of the last one is fitted on all rows."""
    start, cpu = time.perf_counter(), 0.0
    space = {"ngram_range": SPACE["hash__ngram_range"]}
    with tempfile.TemporaryDirectory() as folder, as_engine(engine) as workers:
        evaluator = text_evaluator(TextClassifier(), *data.train, distributions=space, folder=folder)
        assert evaluator is not None
        with evaluator:
            hashed_seconds = time.perf_counter() - start
            drawn = candidates()
            left = list(range(len(drawn)))
            scores: NDArray[np.float64] = np.zeros(0)
            for share, kept in rungs:
                left = [left[i] for i in np.argsort(-scores, kind="stable")] if len(scores) else left
                left = left[: max(1, round(kept * len(drawn)))]
                tasks = [
                    Task(evaluator, drawn[i], split, None if share == 1 else int(share * len(split[0])))
                    for i in left
                    for split in data.splits
                ]
                done = list(workers.map(_call, tasks))
                cpu += sum(seconds for _, seconds in done)
                scores = np.reshape([score for score, _ in done], (len(left), -1)).mean(axis=1)
        best = drawn[left[int(np.argmax(scores))]]
        seconds = time.perf_counter() - start
    model = TextClassifier(**best).fit(*data.train)
    return {
        "seconds": round(seconds, 2),
        "hashing_seconds": round(hashed_seconds, 2),
        "evaluation_cpu_seconds": round(cpu, 2),
        "best_score": round(float(scores.max()), 4),
        "test_accuracy": round(model.score(*data.test), 4),
        "best": best,
    }


def ours(data: Corpus, options: argparse.Namespace) -> dict[str, Any]:
    return search(data, ((1.0, 1.0),), options.engine)


def halving(data: Corpus, options: argparse.Namespace) -> dict[str, Any]:
    return search(data, RUNGS, options.engine)


# ---- the peer


def scikit_learn(data: Corpus, options: argparse.Namespace) -> dict[str, Any]:
    pipeline = Pipeline(
        [
            ("hash", HashingVectorizer(alternate_sign=False, norm=None)),
            ("weigh", TfidfTransformer()),
            ("learn", SGDClassifier(tol=None, random_state=SEED)),
        ]
    )
    n_trials = options.sample or N_TRIALS
    peer = RandomizedSearchCV(
        pipeline, SPACE, n_iter=n_trials, cv=data.splits, n_jobs=WORKERS, random_state=SEED, refit=False
    )
    start = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        peer.fit(*data.train)
    seconds = time.perf_counter() - start
    model = pipeline.set_params(**peer.best_params_).fit(*data.train)
    return {
        "seconds": round(seconds * N_TRIALS / n_trials, 1),
        "measured_trials": n_trials,
        "best_score": round(float(peer.best_score_), 4),
        "test_accuracy": round(float(model.score(*data.test)), 4),
        "best": {name: str(value) for name, value in peer.best_params_.items()},
    }


ARMS: dict[str, Callable[[Corpus, argparse.Namespace], dict[str, Any]]] = {
    "ours": ours,
    "halving": halving,
    "scikit-learn": scikit_learn,
}


def compared(arms: dict[str, dict[str, Any]]) -> Iterator[tuple[str, float]]:
    """The ratios that the arms are run for."""
    if {"ours", "scikit-learn"} <= arms.keys():
        peer, mine = arms["scikit-learn"], arms["ours"]
        yield "times sooner than scikit-learn", round(peer["seconds"] / mine["seconds"], 1)
        yield "points of the best score", round(100 * (mine["best_score"] - peer["best_score"]), 2)
    if {"halving", "scikit-learn"} <= arms.keys():
        yield (
            "times sooner than scikit-learn, halving",
            round(arms["scikit-learn"]["seconds"] / arms["halving"]["seconds"], 1),
        )
    if {"ours", "halving"} <= arms.keys():
        few, all_ = arms["halving"], arms["ours"]
        cost = "evaluation_cpu_seconds"
        yield "cost of halving beside all, %", round(100 * few[cost] / all_[cost], 1)
        yield "points that halving loses", round(100 * (all_["best_score"] - few["best_score"]), 2)


def main() -> None:
    """Run the arms, print and keep their figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of the full corpora")
    parser.add_argument("--work", type=Path, help="folder for inputs; a temporary one by default")
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=list(ARMS))
    parser.add_argument("--sample", type=int, help="configurations that scikit-learn tries; all by default")
    parser.add_argument("--rows", type=int, help="rows of training and of test; all by default")
    parser.add_argument("--cv", type=int, default=5)
    parser.add_argument("--engine", default=f"processes:{WORKERS}")
    parser.add_argument("--corpus", default="imdb")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = corpora.unpack(options.data, (options.work or Path(temporary)).resolve(), options.corpus)
        data = corpus(folder, options.rows, options.cv)
    path = RESULTS / "search-text.json"
    arms: dict[str, Any] = {}
    for name in options.arms:
        arms[name] = ARMS[name](data, options)
        print(name, json.dumps(arms[name]), flush=True)
    ratios = dict(compared(arms))
    for what, ratio in ratios.items():
        print(f"{ratio:10}  {what}")
    if options.rows is None:
        content = {
            "command": f"python benches/search_text.py --data DATA --cv {options.cv}"
            + (f" --sample {options.sample}" if options.sample else ""),
            "machine": measure.machine(),
            "versions": measure.versions("manymill", "scikit-learn", "numpy"),
            "trials": N_TRIALS,
            "arms": arms,
            "ratios": ratios,
        }
        measure.write_json(path, content)


if __name__ == "__main__":
    main()
