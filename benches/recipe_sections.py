"""What ``recipe.py`` measures: each section yields the name of an entry of the results and the entry.

An entry holds ``figures``: name, value, 95 % interval, and goals with verdicts (see :mod:`paired`).
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
from argparse import Namespace
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import measure
import numpy as np
from numpy.typing import NDArray
from paired import (
    Goal,
    Interval,
    average_precision,
    bootstrap,
    calibration_error,
    log_losses,
    mean_interval,
    mean_of,
    recall_at,
    verdict,
)
from recipe_arms import NO_CHARACTERS, OUR_RUN, read
from recipe_data import CLEAN, CUT, FILES, IMBALANCED, OBFUSCATED, Corpus, corpus
from recipe_runs import HERE, Predictions, Runs

MANYMILL = str(Path(sys.executable).with_name("manymill"))

Entry = dict[str, Any]
Entries = Iterator[tuple[str, Entry]]

# Accuracies in %, of the test named.
ACCURACY = {
    ("imdb", "test"): Goal(91.4, 91.9),
    ("20news", "test"): Goal(87.5, 88.0),
    ("20news-stripped", "test"): Goal(72.4, 73.2),
    ("debian", "test"): Goal(80.1, 80.6),
    ("reddit-tenth", "test"): Goal(48.0, 49.0),
    ("languages", "test"): Goal(99.97),
    ("languages", CUT): Goal(97.0),
    ("debian-ja", "test"): Goal(72.0, 73.5),
    ("debian-ru", "test"): Goal(69.0, 70.5),
}
SPAM = Goal(0.97)
IMBALANCE = Goal(0.37, 0.383)
NOT_ABOVE = Goal(0.0, at_least=False)
LANES = {(16, 3): Goal(0.5, 0.3, at_least=False), (64, 6): Goal(1.5, 0.8, at_least=False)}
SOONER = Goal(40, 80)
SLOWER = Goal(2.5, 1.7, at_least=False)
MEAN = Goal(0.0, 0.3)

PEERS = ("svc-words", "svc-chars", "vw", "fasttext", "fasttext-autotune")
MORE_PEERS = {"debian-ja": ("svc-chars-1-3",)}
SAME_FEATURES = "svc-chars"
# LinearSVC would take hours on all rows of 512 classes.
WITHOUT_PEERS = ("reddit",)

CALIBRATED = ("imdb", "20news", "20news-stripped", "debian")
IN_LANES = ("debian", "reddit-tenth")
TIMED = ("imdb", "debian")

FALSE_POSITIVES = 0.01
MINORITY = {IMBALANCED: "pos", "spam": "spam"}
# What the default was before it had characters and weights.
WORDS_AND_PAIRS: dict[str, Any] = {
    **NO_CHARACTERS,
    "ngram_range": (1, 2),
    "feature_weights": None,
    "loss": "log",
    "l2": 0.0,
    "passes": 3,
}


@dataclass
class Bench:
    """What the sections share.

    Attributes
    ----------
    options : Namespace
        Of the command line: ``data``, ``seeds``, ``corpora``, ``repeats``, ``quick``, ``fast``, ``threads``.
    work : Path
        Folder of inputs.
    runs : Runs
        Trains arms.
    saved : dict
        Entries of earlier sections and runs by name.
    """

    options: Namespace
    work: Path
    runs: Runs
    saved: dict[str, Entry] = field(default_factory=dict)

    @property
    def seeds(self) -> range:
        """Seeds of our trainings."""
        return range(self.options.seeds)

    def corpus(self, name: str) -> Corpus:
        """The files of a corpus."""
        return corpus(name, self.options.data, self.work, quick=self.options.quick)

    def asked(self, names: Sequence[str]) -> list[str]:
        """Those of some corpora that the options name."""
        return [name for name in names if name in self.options.corpora]

    def ours(self, rows: Corpus, settings: dict[str, Any], *wanted: str) -> list[Predictions]:
        """Our predictions, one of each seed."""
        return [self.runs.ours(rows, settings, seed, wanted) for seed in self.seeds]


def figure(name: str, found: Interval, goal: Goal | None = None) -> Entry:
    """A figure with its interval and the verdicts on its goals."""
    row: Entry = {
        "figure": name,
        "value": _short(found.value),
        "low": _short(found.low),
        "high": _short(found.high),
    }
    if goal is not None:
        row["goal"] = {"sign": ">=" if goal.at_least else "<=", "must": goal.must, "stretch": goal.stretch}
        row["must"] = verdict(found, goal.must, goal.at_least)
        row["stretch"] = None if goal.stretch is None else verdict(found, goal.stretch, goal.at_least)
    return row


def _short(value: float) -> float:
    return float(f"{value:.5g}") if abs(value) < 1 else round(float(value), 3)


def _correct(found: list[Predictions], rows: Corpus, test: str) -> NDArray[np.float64]:
    return np.array([each.correct(rows, test) for each in found], np.float64)


# ---- accuracy


def accuracy(bench: Bench) -> Entries:
    """Test accuracy of the default model, and its paired differences from peers, in %."""
    names = [name for name in bench.options.corpora if name != "spam" and name in FILES]
    for name in names:
        rows = bench.corpus(name)
        yield name, _accuracy(bench, rows, {}, ACCURACY)
        if bench.options.fast:
            yield f"{name} fast", _accuracy(bench, rows, {"recipe": "fast"}, {})


def _accuracy(bench: Bench, rows: Corpus, settings: dict[str, Any], goals: dict[Any, Goal]) -> Entry:
    found = bench.ours(rows, settings)
    figures, by_seed = [], {}
    for test in rows.tests:
        ours = _correct(found, rows, test)
        by_seed[test] = [round(100 * each, 3) for each in ours.mean(axis=1).tolist()]
        figures.append(
            figure(f"{test}: manymill", mean_interval(ours).times(100), goals.get((rows.name, test)))
        )
    for name in _peers(rows.name):
        peer = bench.runs.peer(rows, name)
        for test in rows.tests if peer else ():
            ours, theirs = _correct(found, rows, test), peer.correct(rows, test).astype(np.float64)
            figures.append(figure(f"{test}: {name}", mean_interval(theirs).times(100)))
            figures.append(figure(f"{test}: manymill - {name}", mean_interval(ours - theirs).times(100)))
    return {
        "unit": "%",
        "settings": settings,
        "by_seed": by_seed,
        "sd": {test: _deviation(values) for test, values in by_seed.items()},
        "figures": figures,
    }


def _peers(name: str) -> tuple[str, ...]:
    return () if name in WITHOUT_PEERS else PEERS + MORE_PEERS.get(name, ())


def _deviation(values: Sequence[float]) -> float | None:
    return round(statistics.stdev(values), 3) if len(values) > 1 else None


def mean(bench: Bench) -> Entries:
    """The mean over the corpora of the difference from LinearSVC on the same features, from saved accuracies."""
    wanted = f"test: manymill - {SAME_FEATURES}"
    found = {
        name: Interval(row["value"], row["low"], row["high"])
        for name in FILES
        for row in bench.saved.get(f"accuracy {name}", {}).get("figures", ())
        if row["figure"] == wanted
    }
    if found:
        name = f"manymill - {SAME_FEATURES}, mean of {len(found)} corpora"
        figures = [figure(name, mean_of(list(found.values())), MEAN)]
        yield "all", {"unit": "%", "corpora": list(found), "figures": figures}


# ---- spam and imbalance


def spam(bench: Bench) -> Entries:
    """Recall of spam at the threshold that 1 % of the other test mails exceed, with and without replaced vowels."""
    rows = bench.corpus("spam")
    truth = np.array(read(rows.tests[CLEAN])[1]) == MINORITY["spam"]
    arms = {
        "manymill": bench.ours(rows, {}, "scores"),
        "manymill, words": bench.ours(rows, {"ngram_range": (1, 1), **NO_CHARACTERS}, "scores"),
        "manymill, words and pairs": bench.ours(rows, {"ngram_range": (1, 2), **NO_CHARACTERS}, "scores"),
    }
    for name in ("svc-words", "svc-chars"):
        peer = bench.runs.peer(rows, name, ("scores",))
        arms |= {name: [peer]} if peer else {}

    def recall(name: str, test: str) -> Callable[[NDArray[np.intp]], float]:
        clean = [each.arrays[f"{CLEAN}:scores"] for each in arms[name]]
        tested = [each.arrays[f"{test}:scores"] for each in arms[name]]

        def mean_recall(at: NDArray[np.intp]) -> float:
            negative, positive = at[~truth[at]], at[truth[at]]
            return statistics.fmean(
                recall_at(scores[negative], others[positive], FALSE_POSITIVES)
                for scores, others in zip(clean, tested, strict=True)
            )

        return mean_recall

    figures = []
    for test in (CLEAN, OBFUSCATED):
        for name in arms:
            goal = SPAM if name == "manymill" and test == OBFUSCATED else None
            figures.append(figure(f"{test}: {name}", bootstrap(recall(name, test), truth), goal))
            if name != "manymill":
                difference = _difference(recall("manymill", test), recall(name, test))
                figures.append(figure(f"{test}: manymill - {name}", bootstrap(difference, truth)))
    yield "spam", {"unit": "recall at 1 % false positives", "figures": figures}


def _difference(
    ours: Callable[[NDArray[np.intp]], float], theirs: Callable[[NDArray[np.intp]], float]
) -> Callable[[NDArray[np.intp]], float]:
    return lambda at: ours(at) - theirs(at)


def imbalance(bench: Bench) -> Entries:
    """Average precision on IMDB with 50 negative rows for each positive one, mean of several draws of the latter.

    The draws share the negative rows; the intervals take them for independent, as it is the positive rows that make
    them wide.
    """
    scores: dict[str, list[NDArray[np.floating]]] = {}
    truths = []
    for seed in bench.seeds:
        rows = bench.corpus(f"{IMBALANCED}-{seed}")
        truths.append(np.array(read(rows.tests["test"])[1]) == MINORITY[IMBALANCED])
        arms: dict[str, Predictions | None] = {
            "manymill": bench.runs.ours(rows, {}, seed, ("scores",)),
            "manymill, balanced": bench.runs.ours(rows, {"class_weight": "balanced"}, seed, ("scores",)),
        }
        for name in ("svc-words", "svc-words-balanced", "lr-words-balanced"):
            arms[name] = bench.runs.peer(rows, name, ("scores",))
        for name, found in arms.items():
            if found is not None:
                scores.setdefault(name, []).append(found.arrays["test:scores"])
    draws = np.repeat(np.arange(len(truths)), [len(truth) for truth in truths])
    truth = np.concatenate(truths)

    def precision(name: str) -> Callable[[NDArray[np.intp]], float]:
        joined = np.concatenate(scores[name])
        return lambda at: statistics.fmean(
            average_precision(truth[inside], joined[inside])
            for inside in (at[draws[at] == draw] for draw in range(len(truths)))
        )

    figures = []
    for name in scores:
        goal = IMBALANCE if name == "manymill" else None
        figures.append(figure(name, bootstrap(precision(name), 2 * draws + truth), goal))
        if name != "manymill":
            difference = _difference(precision("manymill"), precision(name))
            figures.append(figure(f"manymill - {name}", bootstrap(difference, 2 * draws + truth)))
    by_seed = {
        name: [_short(average_precision(truth, each)) for truth, each in zip(truths, arm, strict=True)]
        for name, arm in scores.items()
    }
    yield "imdb", {"unit": "average precision", "by_seed": by_seed, "figures": figures}


# ---- probabilities


def probabilities(bench: Bench) -> Entries:
    """Log loss and calibration error of the default and of ``loss="log"``, without test rows of unknown classes."""
    for name in bench.asked(CALIBRATED):
        rows = bench.corpus(name)
        labels = np.array(read(rows.tests["test"])[1])
        losses, judged = {}, {}
        for arm, settings in (("manymill", {}), ("loss log", {"loss": "log"})):
            found = bench.ours(rows, settings, "probabilities")
            classes = found[0].classes
            used = np.isin(labels, classes)
            truth = np.searchsorted(classes, labels[used])
            given = [each.arrays["test:probabilities"][used] for each in found]
            losses[arm] = np.array([log_losses(each, truth) for each in given])
            judged[arm] = [(each.max(axis=1), each.argmax(axis=1) == truth) for each in given]

        def error(
            arm: str, judged: dict[str, list[tuple[Any, Any]]] = judged
        ) -> Callable[[NDArray[np.intp]], float]:
            return lambda at: statistics.fmean(
                calibration_error(confidence[at], correct[at]) for confidence, correct in judged[arm]
            )

        alike = np.zeros(int(used.sum()))
        figures = [
            *(figure(f"log loss: {arm}", mean_interval(each)) for arm, each in losses.items()),
            figure(
                "log loss: manymill - loss log",
                mean_interval(losses["manymill"] - losses["loss log"]),
                NOT_ABOVE,
            ),
            *(figure(f"calibration error: {arm}", bootstrap(error(arm), alike)) for arm in judged),
            figure(
                "calibration error: manymill - loss log",
                bootstrap(_difference(error("manymill"), error("loss log")), alike),
                NOT_ABOVE,
            ),
        ]
        yield name, {"unit": "", "left_out": int((~used).sum()), "figures": figures}


# ---- lanes


def lanes(bench: Bench) -> Entries:
    """The accuracy that several lanes lose against the default, which trains in one lane; in % of the test rows."""
    for name in bench.asked(IN_LANES):
        rows = bench.corpus(name)
        one = _correct(bench.ours(rows, {}), rows, "test")
        figures = [figure("one lane", mean_interval(one).times(100))]
        for (number, passes), goal in LANES.items():
            several = _correct(bench.ours(rows, {"lanes": number, "passes": passes}), rows, "test")
            title = f"{number} lanes, {passes} passes"
            figures.append(figure(title, mean_interval(several).times(100)))
            figures.append(figure(f"one lane - {title}", mean_interval(one - several).times(100), goal))
        yield name, {"unit": "%", "figures": figures}


# ---- time


def seconds(bench: Bench) -> Entries:
    """Time of whole processes, alternating; a ratio's interval is the range of the ratios of each round."""
    for name in bench.asked(TIMED):
        rows = bench.corpus(name)
        commands = _commands(bench, rows)
        costs: dict[str, list[measure.Cost]] = {arm: [] for arm in commands}
        for _ in range(bench.options.repeats):
            for arm, command in commands.items():
                with tempfile.TemporaryDirectory(dir=bench.work) as folder:
                    costs[arm].append(measure.run([*command, str(Path(folder) / "model")]))
                print(f"{name} {arm} {costs[arm][-1].wall_seconds:.2f} s", file=sys.stderr, flush=True)
        figures = []
        for unit in ("cpu", "wall"):
            taken = {arm: [getattr(cost, f"{unit}_seconds") for cost in each] for arm, each in costs.items()}
            figures += [figure(f"{unit} seconds: {arm}", _middle(each)) for arm, each in taken.items()]
            judged = unit == "cpu"
            for numerator, denominator, goal in (
                ("svc-words", "manymill train", SOONER),
                ("default", "words and pairs", SLOWER),
                *([("svc-words", "fast", None)] if "fast" in taken else []),
            ):
                ratios = [a / b for a, b in zip(taken[numerator], taken[denominator], strict=True)]
                title = f"{unit}: {numerator} / {denominator}"
                figures.append(figure(title, _middle(ratios), goal if judged else None))
        yield name, {"unit": "seconds, ratios", "threads": bench.options.threads, "figures": figures}


def _middle(values: Sequence[float]) -> Interval:
    return Interval(statistics.median(values), min(values), max(values))


def _commands(bench: Bench, rows: Corpus) -> dict[str, list[str]]:
    """Commands that train from the file to a saved model; its path is to be added."""
    threads = ["--threads", str(bench.options.threads)]
    child = [sys.executable, str(HERE / "recipe_arms.py")]
    train = ["--train", str(rows.train)]
    ours = [*child, OUR_RUN, *train, *threads]
    line = [MANYMILL, "train", str(rows.train), *threads]
    words = json.dumps(WORDS_AND_PAIRS)
    commands = {
        "manymill train": [*line, "--out"],
        "default": [*ours, "--model"],
        "words and pairs": [*ours, "--settings", words, "--model"],
        "svc-words": [*child, "svc-words", *train, "--model"],
    }
    if bench.options.fast:
        commands["fast"] = [*line, "--recipe", "fast", "--out"]
    return commands


SECTIONS: dict[str, Callable[[Bench], Entries]] = {
    "accuracy": accuracy,
    "mean": mean,
    "spam": spam,
    "imbalance": imbalance,
    "probabilities": probabilities,
    "lanes": lanes,
    "time": seconds,
}
