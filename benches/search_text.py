"""64 text configurations, hashed once, against scikit-learn's search over pipelines; and successive halving.

    python benches/search_text.py --data FOLDER [--arms ours halving scikit-learn] [--sample 4] [--cv 5] [--rows 25000]

``ours``
    Every configuration on every split, on hashes that are computed once; the time includes hashing.
``halving``
    The same configurations on 1/25 of the rows, the best fifth so far on 1/5, and the best fifth of these on all.
``scikit-learn``
    ``RandomizedSearchCV`` over ``HashingVectorizer``, ``TfidfTransformer`` and ``SGDClassifier``, the same
    configurations on the same splits. It takes half an hour or more: ``--sample 4`` runs four configurations and
    reports 16 times their time.

All arms have two workers. The best configuration of each is fitted on all training rows and scored on the test rows.
Arms that are not run keep their saved figures.
"""

from __future__ import annotations

import argparse
import json
import os
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

from manymill import SearchCV, TextClassifier
from manymill.search.events import Evaluated

RESULTS = Path(__file__).parent / "results"
N_TRIALS = 64
WORKERS = 2
SEED = 0
ENGINES: dict[str, int | str] = {"threads": WORKERS, "processes": f"processes:{WORKERS}"}

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


# One candidate in so many goes on, with so many times the rows.
ETA = 5

Split = tuple[NDArray[np.intp], NDArray[np.intp]]


def drawn() -> list[dict[str, Any]]:
    """The configurations, as parameters of the pipeline."""
    return list(ParameterSampler(SPACE, N_TRIALS, random_state=SEED))


def translated(theirs: dict[str, Any]) -> dict[str, Any]:
    """A configuration as parameters of TextClassifier."""
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
    """Texts and labels, and their splits."""

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


def search(data: Corpus, options: argparse.Namespace, **how: Any) -> dict[str, Any]:
    """Evaluate all candidates, hashing included; fit the best on all rows."""
    candidates = [{name: [value] for name, value in translated(theirs).items()} for theirs in drawn()]
    engine = ENGINES[options.engine]
    asked = SearchCV(
        TextClassifier(), candidates, sampler="grid", cv=data.splits, refit=False, engine=engine, **how
    )
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["XDG_CACHE_HOME"] = folder  # nothing that was hashed before
        found = asked.fit(*data.train)
    seconds = time.perf_counter() - start
    done = [event for event in found.handle_.log if isinstance(event, Evaluated)]
    model = TextClassifier(**found.best_params_).fit(*data.train)
    return {
        "seconds": round(seconds, 2),
        "evaluation_seconds": round(sum(event.fit_seconds + event.score_seconds for event in done), 2),
        "evaluations": len(done),
        "best_score": round(found.best_score_, 4),
        "test_accuracy": round(model.score(*data.test), 4),
        "best": found.best_params_,
    }


def ours(data: Corpus, options: argparse.Namespace) -> dict[str, Any]:
    return search(data, options)


def halving(data: Corpus, options: argparse.Namespace) -> dict[str, Any]:
    least = min(len(train) for train, _ in data.splits) // ETA**2
    return search(data, options, halving=True, min_resource=least, eta=ETA)


# ---- the peer


def scikit_learn(data: Corpus, options: argparse.Namespace) -> dict[str, Any]:
    pipeline = Pipeline(
        [
            ("hash", HashingVectorizer(alternate_sign=False, norm=None)),
            ("weigh", TfidfTransformer()),
            ("learn", SGDClassifier(tol=None, random_state=SEED)),
        ]
    )
    # A sample has as many words and pairs of words as all have: pairs take twice the time.
    tried = sorted(drawn(), key=lambda theirs: theirs["hash__ngram_range"])
    step = N_TRIALS // (options.sample or N_TRIALS)
    tried = tried[step // 2 :: step]
    peer = RandomizedSearchCV(
        pipeline,
        [{name: [value] for name, value in theirs.items()} for theirs in tried],
        n_iter=len(tried),
        cv=data.splits,
        n_jobs=WORKERS,
        refit=False,
    )
    start = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        peer.fit(*data.train)
    seconds = time.perf_counter() - start
    model = pipeline.set_params(**peer.best_params_).fit(*data.train)
    return {
        "seconds": round(seconds * N_TRIALS / len(tried), 1),
        "measured_trials": len(tried),
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
    """The ratios between the arms."""
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
        cost = "evaluation_seconds"
        yield "cost of halving beside all, %", round(100 * few[cost] / all_[cost], 1)
        yield "points that halving loses", round(100 * (all_["best_score"] - few["best_score"]), 2)


def main() -> None:
    """Run the arms, print and save their figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of the full corpora")
    parser.add_argument("--work", type=Path, help="folder for inputs; a temporary one by default")
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=list(ARMS))
    parser.add_argument("--sample", type=int, help="configurations that scikit-learn tries; all by default")
    parser.add_argument("--rows", type=int, help="rows of training and of test; all by default")
    parser.add_argument("--cv", type=int, default=5)
    parser.add_argument(
        "--engine", choices=ENGINES, default="threads", help="or processes: they take seconds to start"
    )
    parser.add_argument("--corpus", default="imdb")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = corpora.unpack(options.data, (options.work or Path(temporary)).resolve(), options.corpus)
        data = corpus(folder, options.rows, options.cv)
    path = RESULTS / "search-text.json"
    arms: dict[str, Any] = {}
    if options.rows is None and path.exists():
        arms = measure.read_json(path)["arms"]
    for name in options.arms:
        arms[name] = ARMS[name](data, options) | {"machine": measure.machine()}
        print(name, json.dumps(arms[name]), flush=True)
    ratios = dict(compared(arms))
    for what, ratio in ratios.items():
        print(f"{ratio:10}  {what}")
    if options.rows is None:
        content = {
            "command": f"python benches/search_text.py --data DATA --cv {options.cv}"
            + (f" --sample {options.sample}" if options.sample else ""),
            "versions": measure.versions("manymill", "scikit-learn", "numpy"),
            "trials": N_TRIALS,
            "arms": arms,
            "ratios": ratios,
        }
        measure.write_json(path, content)


if __name__ == "__main__":
    main()
