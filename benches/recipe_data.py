"""The corpora of ``recipe.py``: one file of training rows each, and the files of test rows for one model of it.

``20news-stripped``
    Mails without headers, footers and quotes: see :func:`corpora.stripped`.
``reddit-tenth``
    Every tenth training row, and all test rows: see :func:`corpora.part`.
``languages``
    The test rows whole and cut to their first 20 characters. The training rows stay whole.
``spam``
    The test rows as they are, and with a quarter of the vowels of spam replaced by digits and signs. The training
    rows stay as they are.
``imdb-1-50-SEED``
    All negative reviews and so many positive ones, drawn with a seed, that there are 50 negative ones for each; in
    training and in test.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import corpora

FILES = {
    "imdb": "imdb",
    "20news": "20news-bydate",
    "20news-stripped": "20news-bydate",
    "debian": "debian-sections",
    "reddit-tenth": "reddit",
    "reddit": "reddit",
    "languages": "bible-languages",
    "debian-ja": "debian-ja",
    "debian-ru": "debian-ru",
    "spam": "spamassassin",
}
IMBALANCED = "imdb-1-50"
CUT = "20 characters"
CLEAN, OBFUSCATED = "clean", "obfuscated"

CHARACTERS = 20
NEGATIVES_PER_POSITIVE = 50
REPLACED_SHARE = 0.25
REPLACED_SEED = 0
# What spammers write for a vowel: https://en.wikipedia.org/wiki/Leet
LOOKALIKES = {"a": "4@", "e": "3", "i": "1!", "o": "0", "u": "vµ"}
QUICK_STEP = 10


@dataclass(frozen=True)
class Corpus:
    """Files of JSON lines with ``label`` and ``text``.

    Attributes
    ----------
    name : str
        Its name.
    train : Path
        Training rows.
    tests : dict of str to Path
        Test rows by the name of the test; all are for one model.
    """

    name: str
    train: Path
    tests: dict[str, Path]


def obfuscate(text: str, chance: random.Random, share: float = REPLACED_SHARE) -> str:
    """The text with each vowel replaced by a digit or sign that resembles it, with a probability of ``share``."""
    return "".join(
        chance.choice(LOOKALIKES[character.lower()])
        if character.lower() in LOOKALIKES and chance.random() < share
        else character
        for character in text
    )


def imbalanced(lines: list[bytes], seed: int) -> list[bytes]:
    """All rows labelled ``neg`` and a random 50th as many labelled ``pos``, in the order of the file."""
    positives = [i for i, line in enumerate(lines) if json.loads(line)["label"] == "pos"]
    kept = set(random.Random(seed).sample(positives, (len(lines) - len(positives)) // NEGATIVES_PER_POSITIVE))
    dropped = set(positives) - kept
    return [line for i, line in enumerate(lines) if i not in dropped]


def corpus(name: str, data: Path, work: Path, *, quick: bool = False) -> Corpus:
    """Make the files of a corpus below ``work``, unless they exist.

    Parameters
    ----------
    name : str
        One of ``FILES``, or ``imdb-1-50-SEED``.
    data : Path
        Folder of the compressed corpora.
    work : Path
        Folder for the files.
    quick : bool
        Whether to keep only every tenth row.
    """
    file = "imdb" if name.startswith(IMBALANCED) else FILES[name]
    folder = corpora.unpack(data, work, file)
    if name == "20news-stripped":
        folder = corpora.stripped(folder)
    elif name == "reddit-tenth":
        folder = corpora.part(folder)
    elif name.startswith(IMBALANCED):
        folder = _imbalanced(folder, name)
    if quick:
        folder = _every_tenth(folder)
    return Corpus(name, folder / "train.jsonl", dict(_tests(name, folder)))


def _tests(name: str, folder: Path) -> Iterator[tuple[str, Path]]:
    whole = folder / "test.jsonl"
    if name == "spam":
        changed = folder / "obfuscated.jsonl"
        chance = random.Random(REPLACED_SEED)
        rows = [json.loads(line) for line in whole.read_bytes().splitlines()]
        for row in rows:
            if row["label"] == "spam":
                row["text"] = obfuscate(row["text"], chance)
        corpora.write_rows(changed, [json.dumps(row).encode() for row in rows])
        yield CLEAN, whole
        yield OBFUSCATED, changed
        return
    yield "test", whole
    if name == "languages":
        cut = folder / "cut.jsonl"
        rows = [json.loads(line) for line in whole.read_bytes().splitlines()]
        corpora.write_rows(
            cut, [json.dumps({**row, "text": row["text"][:CHARACTERS]}).encode() for row in rows]
        )
        yield CUT, cut


def _imbalanced(folder: Path, name: str) -> Path:
    out = folder.with_name(name)
    out.mkdir(exist_ok=True)
    seed = int(name.rpartition("-")[2])
    for split in ("train", "test"):
        lines = (folder / f"{split}.jsonl").read_bytes().splitlines()
        corpora.write_rows(out / f"{split}.jsonl", imbalanced(lines, seed))
    return out


def _every_tenth(folder: Path) -> Path:
    out = folder.with_name(f"{folder.name}-quick")
    out.mkdir(exist_ok=True)
    for split in ("train", "test"):
        lines = (folder / f"{split}.jsonl").read_bytes().splitlines()
        corpora.write_rows(out / f"{split}.jsonl", lines[::QUICK_STEP])
    return out
