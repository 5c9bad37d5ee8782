"""Model selection: early ranking, completeness, overhead per task, memory, halving, and kills.

    python benches/search.py [--sections ranked-early grid overhead memory halving resume] [--runs 50]

``ranked-early``
    SVC on digits, 20 points x 5 splits, 20 seeds with different splits and orders: after which share of the tasks the
    best candidate ranks first, found by replaying the events of each search.
``grid``
    Nystroem and a linear model on digits, 75 x 10 = 750 tasks, against scikit-learn's GridSearchCV on the same
    splits.
``overhead``
    Tasks that do nothing: milliseconds per task, with and without the start of the workers.
``memory``
    8 processes on a matrix of 1 GB, candidates fitted on some of the rows: private memory of each process, and of all
    together (a page mapped by several processes counts once).
``halving``
    64 SVCs on digits, asynchronous successive halving against full evaluation.
``resume``
    Searches killed at random moments with SIGKILL and resumed.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import measure
import numpy as np
import psutil
from scipy.stats import loguniform
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.datasets import load_digits
from sklearn.kernel_approximation import Nystroem
from sklearn.linear_model import RidgeClassifier
from sklearn.model_selection import GridSearchCV, ShuffleSplit, StratifiedKFold
from sklearn.pipeline import Pipeline
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier

from manymill import SearchCV
from manymill.search.events import Evaluated
from manymill.search.journal import read_records
from manymill.search.policy import Policy
from manymill.search.results import rank_candidates

RESULTS = Path(__file__).parent / "results" / "search.json"
SEEDS = 20
SHARE = 0.4
GB = 10**9


# ---- how early the best is known


def ranked_early(options: argparse.Namespace) -> dict[str, Any]:
    X, y = load_digits(return_X_y=True)
    space = {"C": [0.1, 1, 10, 100], "gamma": [1e-5, 1e-4, 5e-4, 2e-3, 1e-2]}
    first = [first_by(X, y, space, seed) for seed in range(SEEDS)]
    known = [share for _, share in first]
    return {
        "seeds": SEEDS,
        "best first by 40 % of the tasks, share of seeds": float(np.mean([early for early, _ in first])),
        "share of the tasks from which on the best stays first, median": round(float(np.median(known)), 2),
        "the same, worst seed": round(max(known), 2),
    }


def first_by(X: Any, y: Any, space: dict[str, Any], seed: int) -> tuple[bool, float]:
    """Whether the best ranks first at 40 % of the tasks, and from which share on it stays first."""
    folds = StratifiedKFold(5, shuffle=True, random_state=seed)
    search = SearchCV(SVC(), space, cv=folds, refit=False, engine=2, random_state=seed).fit(X, y)
    final = search.handle_.ranking()
    best = {row.trial for row in final if row.rank == 1}
    policy, firsts = Policy(search.handle_.policy.rules), []
    for event in search.handle_.log:
        policy.replay([event])
        if isinstance(event, Evaluated):
            firsts.append(rank_candidates(policy)[0].trial in best)
    n = len(firsts)
    stays = next((place for place in range(n, 0, -1) if not firsts[place - 1]), 0) + 1
    return firsts[round(SHARE * n) - 1], stays / n


# ---- beside scikit-learn


def grid(options: argparse.Namespace) -> dict[str, Any]:
    X, y = load_digits(return_X_y=True)
    pipeline = Pipeline([("map", Nystroem(random_state=0)), ("linear", RidgeClassifier())])
    space = {
        "map__gamma": [1e-5, 1e-4, 5e-4, 1e-3, 1e-2],
        "map__n_components": [20, 50, 100],
        "linear__alpha": [1e-4, 1e-2, 1e-1, 1.0, 10.0],
    }
    folds = StratifiedKFold(10, shuffle=True, random_state=0)
    ours = SearchCV(pipeline, space, cv=folds, engine=2, refit=False).fit(X, y)
    theirs = GridSearchCV(pipeline, space, cv=folds, refit=False).fit(X, y)
    progress = ours.handle_.progress()
    means = [
        {str(p): m for p, m in zip(s.cv_results_["params"], s.cv_results_["mean_test_score"], strict=True)}
        for s in (ours, theirs)
    ]
    return {
        "tasks": progress.total,
        "done": progress.done,
        "accounted for": progress.done + progress.failed + progress.cancelled == progress.total == 750,
        "same best": ours.best_params_ == theirs.best_params_,
        "greatest difference of a mean score": max(abs(means[0][key] - means[1][key]) for key in means[1]),
        "best": ours.best_params_,
        "best_score": round(ours.best_score_, 4),
    }


# ---- what a task costs


class Empty(ClassifierMixin, BaseEstimator):
    """An estimator that does nothing."""

    def __init__(self, number: int = 0) -> None:
        self.number = number

    def fit(self, X: Any, y: Any) -> Empty:
        """Do nothing."""
        return self


def number_of(estimator: Any, X: Any, y: Any) -> float:
    return float(estimator.number)


def overhead(options: argparse.Namespace) -> dict[str, Any]:
    out = {}
    X, y = np.zeros((10, 1)), np.arange(10) % 2
    for name, engine in (("threads", 2), ("processes", "processes:2")):
        space = {"number": list(range(options.tasks // 5))}
        search = SearchCV(
            Empty(), space, n_trials=options.tasks, cv=5, scoring=number_of, refit=False, engine=engine
        )
        start = time.perf_counter()
        handle = search.start(X, y)
        returned = time.perf_counter() - start
        handle.wait()
        wall = time.perf_counter() - start
        ends = [event.seconds for event in handle.log if isinstance(event, Evaluated)]
        # From the first result on: before that the workers start.
        out[name] = {
            "tasks": len(ends),
            "ms a task": round(1000 * (ends[-1] - ends[0]) / (len(ends) - 1), 3),
            "ms a task, the start of the workers counted": round(1000 * wall / len(ends), 3),
            "start() returned after, s": round(returned, 3),
        }
    return out


# ---- memory


class Sum(ClassifierMixin, BaseEstimator):
    """An estimator that reads all its rows."""

    def __init__(self, number: int = 0) -> None:
        self.number = number

    def fit(self, X: Any, y: Any) -> Sum:
        """Add up the rows, and keep them a moment."""
        self.sum_ = float(X.sum())
        time.sleep(0.2)
        return self


def memory(options: argparse.Namespace) -> dict[str, Any]:
    n_rows, n_columns = 125_000, 1000
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "matrix.npy"
        X = np.lib.format.open_memmap(path, "w+", np.float64, (n_rows, n_columns))
        for start in range(0, n_rows, 1000):
            X[start : start + 1000] = start
        X.flush()
        X = np.load(path, mmap_mode="r")
        folds = ShuffleSplit(20, train_size=0.02, test_size=0.01, random_state=0)
        search = SearchCV(
            Sum(), {"number": list(range(8))}, cv=folds, scoring=number_of, refit=False, engine="processes:8"
        )
        peaks: dict[str, float] = {"own": 0.0, "all": 0.0}
        over = threading.Event()
        watcher = threading.Thread(target=watch, args=(over, peaks))
        watcher.start()
        search.fit(X, np.arange(n_rows) % 2)
        over.set()
        watcher.join()
    return {
        "matrix, GB": n_rows * n_columns * 8 / GB,
        "processes": 8,
        "a worker's own memory (USS), MB, greatest": round(peaks["own"] / 1e6),
        "of a process that has only imported scikit-learn, MB": imported("sklearn.metrics"),
        "of one that has imported the evaluation as well, MB": imported(
            "sklearn.metrics, manymill.search.evaluation"
        ),
        "rows that a worker has taken for its fit and scores, MB": n_rows * n_columns * 8 * 0.03 / 1e6,
        "driver and workers together (PSS), GB, greatest": round(peaks["all"] / GB, 2),
        "allowed, GB": 1.2 + 8 * 0.08,
    }


def imported(modules: str) -> int:
    """Private memory of a process that has imported some modules, MB."""
    code = f"import {modules}, psutil; print(psutil.Process().memory_full_info().uss)"
    return round(
        int(subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout) / 1e6
    )


def watch(over: threading.Event, peaks: dict[str, float]) -> None:
    """Record the peak memory of the workers while a search runs."""
    me = psutil.Process()
    while not over.wait(0.3):
        own, everything = [0], 0
        for process in [me, *me.children(recursive=True)]:
            try:
                info = process.memory_full_info()
            except (psutil.NoSuchProcess, psutil.AccessDenied):
                continue
            everything += info.pss
            if process.pid != me.pid:
                own.append(info.uss)
        peaks["own"] = max(peaks["own"], *own)
        peaks["all"] = max(peaks["all"], everything)


# ---- halving


def halving(options: argparse.Namespace) -> dict[str, Any]:
    X, y = load_digits(return_X_y=True)
    space = {"C": loguniform(1e-1, 1e3), "gamma": loguniform(1e-6, 1e-1)}
    folds = StratifiedKFold(3, shuffle=True, random_state=0)
    out: dict[str, Any] = {}
    for name, how in (("full", {}), ("halving", {"halving": True, "min_resource": 120})):
        search = SearchCV(SVC(), space, n_trials=64, cv=folds, refit=False, engine=2, **how).fit(X, y)
        done = [event for event in search.handle_.log if isinstance(event, Evaluated)]
        out[name] = {
            "evaluations": len(done),
            "evaluation_seconds": round(sum(event.fit_seconds + event.score_seconds for event in done), 2),
            "best_score": round(search.best_score_, 4),
        }
    out["cost beside all, %"] = round(
        100 * out["halving"]["evaluation_seconds"] / out["full"]["evaluation_seconds"], 1
    )
    out["points lost"] = round(100 * (out["full"]["best_score"] - out["halving"]["best_score"]), 2)
    return out


# ---- kills


def search_in(folder: str) -> None:
    """A search that takes a second, with a run folder."""
    X, y = (part[:600] for part in load_digits(return_X_y=True))
    space = {"max_depth": [2, 4, 8, 16], "min_samples_leaf": [1, 2, 4, 8, 16]}
    tree = DecisionTreeClassifier(random_state=0)
    SearchCV(tree, space, cv=5, engine=2, refit=False, run=folder).fit(X, y)


def resume(options: argparse.Namespace) -> dict[str, Any]:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["joblib", "sklearn.datasets", "sklearn.tree", "manymill.search.handle"])
    killer = random.Random(0)
    killed, repeated, other, at = 0, 0, 0, []
    with tempfile.TemporaryDirectory() as temporary:

        def searched(name: str, kill_after: float | None = None) -> None:
            journal = Path(temporary) / name / "search.jsonl"
            process = context.Process(target=search_in, args=(str(journal.parent),))
            process.start()
            while kill_after is not None and process.is_alive() and not journal.exists():
                time.sleep(0.002)
            process.join(kill_after)
            if process.is_alive():
                os.kill(process.pid, signal.SIGKILL)
                process.join()

        searched("whole")
        seconds = max(line.get("seconds", 0.0) for line in read_records(Path(temporary) / "whole"))
        expected = final(Path(temporary) / "whole")
        for number in range(options.runs):
            folder = Path(temporary) / str(number)
            searched(str(number), killer.random() * seconds)
            before = results(folder)
            killed += len(before) < 100
            at.append(len(before))
            searched(str(number))
            tasks = Counter(task for task, _ in results(folder))
            repeated += sum(n - 1 for n in tasks.values())
            other += final(folder) != expected
    return {
        "runs": options.runs,
        "killed before the end": killed,
        "tasks finished by then, least, median, most": [min(at), float(np.median(at)), max(at)],
        "finished tasks repeated": repeated,
        "other final rankings": other,
    }


def results(folder: Path) -> list[tuple[str, float]]:
    if not (folder / "search.jsonl").exists():
        return []
    found = [line for line in read_records(folder) if line["event"] == "Evaluated"]
    return [(json.dumps(line["task"]), line["scores"]["score"]) for line in found]


def final(folder: Path) -> list[tuple[float, int]]:
    """Candidates by their mean scores over all tasks, none of which may be missing."""
    scores: dict[int, dict[int, float]] = {}
    for task, score in results(folder):
        told = json.loads(task)
        scores.setdefault(told["trial"], {})[told["split"]] = score
    whole = all(len(splits) == 5 for splits in scores.values()) and len(scores) == 20
    means = [(-sum(s for _, s in sorted(splits.items())) / 5, trial) for trial, splits in scores.items()]
    return sorted(means) if whole else []


SECTIONS: dict[str, Callable[[argparse.Namespace], dict[str, Any]]] = {
    "ranked-early": ranked_early,
    "grid": grid,
    "overhead": overhead,
    "memory": memory,
    "halving": halving,
    "resume": resume,
}


def main() -> None:
    """Run the sections, print and save their figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sections", nargs="+", choices=SECTIONS, default=list(SECTIONS))
    parser.add_argument("--runs", type=int, default=50, help="searches to kill")
    parser.add_argument("--tasks", type=int, default=10_000, help="that do nothing")
    options = parser.parse_args()
    content = measure.read_json(RESULTS) if RESULTS.exists() else {}
    content["command"] = f"python benches/search.py --runs {options.runs} --tasks {options.tasks}"
    content["versions"] = measure.versions("manymill", "scikit-learn", "numpy", "loky")
    for name in options.sections:
        start = time.perf_counter()
        figures = SECTIONS[name](options)
        figures["seconds"] = round(time.perf_counter() - start, 1)
        content[name] = figures
        print(name, json.dumps(figures, indent=1), flush=True)
        content["machine"] = measure.machine()
        measure.write_json(RESULTS, content)


if __name__ == "__main__":
    main()
