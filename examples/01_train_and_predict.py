"""1. From a file of labelled text to a saved model and back: ``python examples/01_train_and_predict.py``.

The mail of ``examples/data`` is read as a stream, so the same code works for files larger than memory.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from pyarrow.json import read_json

from manymill import TextClassifier, scan

DATA = Path(__file__).parent / "data"


def main(model: Path) -> None:
    """Train, evaluate, save, load, predict."""
    # Lazy: this names the files and the columns, nothing is read yet.
    train = scan(DATA / "mail-train.jsonl.zst", text="text", label="label")

    # Data in memory can be lists, NumPy arrays, pandas or polars columns, or, as here, Arrow columns.
    test = read_json(DATA / "mail-test.jsonl.zst")

    # Words, pairs of words and characters: a pass that counts and weighs them, then two that learn.
    classifier = TextClassifier().fit(train)
    print(f"classes   {', '.join(map(str, classifier.classes_))}")
    print(f"accuracy  {classifier.score(test['text'], test['label']):.4f} on {len(test):,} other mails")

    # A model is a folder of JSON and safetensors, without code: safe to load from anyone.
    classifier.save(model)
    loaded = TextClassifier.load(model)
    mails = [
        "Subject: Re: [ILUG] kernel oops\n\nOn Tuesday he wrote:\n> which kernel? 2.4.18 here, works fine",
        "Subject: CONGRATULATIONS!!!\n\nYou have been selected. Click here to claim your free money now!",
    ]
    for label, mail in zip(loaded.predict(mails), mails, strict=True):
        print(f"{label:8}  {mail.splitlines()[0]}")
    print(f"model     {model}")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else Path(tempfile.mkdtemp()) / "mail-model"))
