"""Text in memory to a trained model, and to predictions: one epoch against scikit-learn's, one thread, in one run.

    python benches/learn.py [--data FOLDER] [--corpora imdb 20news] [--repeats N]

manymill reads an Arrow column, in an order shuffled once, and hashes and learns it in slices as training does;
scikit-learn vectorizes the ``list`` of ``str`` in the same order and fits ``SGDClassifier`` with ``partial_fit``.
Times are CPU seconds of the thread, alternating; accuracies are on test after that epoch. Prediction is timed
separately on test from Arrow, with the model in memory: text to class numbers.
"""

from __future__ import annotations

import argparse
import gc
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any

import measure
import numpy as np
import pyarrow as pa
import pyarrow.json
from numpy.typing import NDArray
from sklearn.feature_extraction.text import HashingVectorizer
from sklearn.linear_model import SGDClassifier

from manymill import _core
from manymill.linear.row_stream import SLICE_BYTES
from manymill.linear.settings import Settings

ROOT = Path(__file__).resolve().parents[1]
FILES = {"imdb": "imdb", "20news": "20news-bydate"}
N_FEATURES = 2**20  # scikit-learn's default, for both


class Corpus:
    """Documents of one split in shuffled order, with their classes."""

    def __init__(self, folder: Path, name: str, split: str, classes: list[str]) -> None:
        with pa.input_stream(str(folder / f"{FILES[name]}-{split}.jsonl.zst"), compression="zstd") as stream:
            table = pa.json.read_json(stream, read_options=pa.json.ReadOptions(block_size=1 << 25))
        labels = table["label"].to_pylist()
        classes += sorted(set(labels) - set(classes))
        order = np.random.default_rng(0).permutation(len(labels))
        codes = {label: code for code, label in enumerate(classes)}
        self.y = np.array([codes[label] for label in labels], np.int32)[order]
        text = table["text"].combine_chunks()
        _, offsets, data = text.cast(pa.large_string()).buffers()
        self.documents = [(np.frombuffer(data, np.uint8), np.frombuffer(offsets, np.int64))]
        self.rows = order.astype(np.uint32)
        self.texts: list[str] = [text[int(i)].as_py() for i in order]
        self.n_bytes = int(self.documents[0][1][-1] - self.documents[0][1][0])

    def slices(self) -> Iterator[slice]:
        """Consecutive documents of about ``SLICE_BYTES`` each."""
        step = max(1, round(len(self.rows) * SLICE_BYTES / self.n_bytes))
        for start in range(0, len(self.rows), step):
            yield slice(start, start + step)


class Model:
    """The result of one epoch of manymill's learner."""

    def __init__(self, n_classes: int) -> None:
        self.settings = Settings(recipe="fast").resolve(n_classes)
        self.hasher = _core.Hasher()
        self.learner = _core.Learner(
            N_FEATURES, n_classes, loss=self.settings.loss, learning_rate=self.settings.rate(n_classes)
        )

    def learn(self, corpus: Corpus) -> None:
        """One epoch."""
        for part in corpus.slices():
            self.learner.learn(self._rows(corpus, part), corpus.y[part])

    def predict(self, corpus: Corpus) -> NDArray[np.intp]:
        """The class of each document."""
        found = []
        for part in corpus.slices():
            scores = self.learner.scores(self._rows(corpus, part))
            found.append(scores.argmax(axis=1) if scores.shape[1] > 1 else (scores[:, 0] > 0).astype(np.intp))
        return np.concatenate(found)

    def _rows(self, corpus: Corpus, part: slice) -> _core.Rows:
        analyzer, rows = self.settings.analyzer, corpus.rows[part]
        chunks = np.zeros(len(rows), np.uint32)
        return self.hasher.rows_utf8(
            corpus.documents, chunks, rows, N_FEATURES, value=analyzer.value, norm=analyzer.norm
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--corpora", nargs="+", choices=FILES, default=list(FILES))
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--out", type=Path, default=ROOT / "benches" / "results" / "learn.json")
    arguments = parser.parse_args()
    results = []
    for name in arguments.corpora:
        results.append({"corpus": name, **_measure(arguments.data, name, arguments.repeats)})
        print({key: value for key, value in results[-1].items() if "seconds" not in key}, flush=True)
    conditions = {
        "machine": measure.machine(),
        "versions": measure.versions("manymill", "scikit-learn", "numpy", "pyarrow"),
        "kernels": _core.kernel_tier(),
        "n_features": N_FEATURES,
    }
    measure.write_json(arguments.out, {**conditions, "results": results})
    print(arguments.out)


def _measure(folder: Path, name: str, repeats: int) -> dict[str, Any]:
    classes: list[str] = []
    train, test = (Corpus(folder, name, split, classes) for split in ("train", "test"))
    vectorizer = HashingVectorizer(n_features=N_FEATURES)
    ours: list[float] = []
    theirs: list[float] = []
    predicting: list[float] = []
    for _ in range(repeats):
        original = SGDClassifier(loss="log_loss", random_state=0)
        theirs.append(
            _cpu_seconds(
                lambda model=original: model.partial_fit(
                    vectorizer.transform(train.texts), train.y, classes=np.arange(len(classes))
                )
            )
        )
        for _ in range(3):
            model = Model(len(classes))
            ours.append(_cpu_seconds(lambda model=model: model.learn(train)))
            predicting.append(_cpu_seconds(lambda model=model: model.predict(test)))
    megabytes = train.n_bytes / 1e6
    return {
        "classes": len(classes),
        "megabytes": round(megabytes, 2),
        "megabytes_per_second": round(megabytes / median(ours), 1),
        "ratio": round(median(theirs) / median(ours), 1),
        "accuracy": round(float(np.mean(model.predict(test) == test.y)), 4),
        "scikit_learn_accuracy": round(
            float(np.mean(original.predict(vectorizer.transform(test.texts)) == test.y)), 4
        ),
        "predict_megabytes_per_second": round(test.n_bytes / 1e6 / median(predicting), 1),
        "seconds": ours,
        "scikit_learn_seconds": theirs,
        "predict_seconds": predicting,
    }


def _cpu_seconds(work: Callable[[], object]) -> float:
    gc.collect()
    start = time.thread_time()
    work()
    return time.thread_time() - start


if __name__ == "__main__":
    main()
