"""Damage every kind of file that a later run relies on, and check the outcome.

    python benches/reliability/damage.py --minutes 60 --json benches/results/damage.json

A try copies a specimen, damages one file (flips a bit, truncates, extends, zeroes or randomises a range, swaps it
with another file, changes a digit, deletes it) and uses it as the product does. Correct outcomes are an error of
manymill that names the file or its folder, or exactly the same result; another result, any other exception or a crash
is a failure. Small files have every bit flipped and are truncated at every length. Tries in the ``--state`` file are
not repeated.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import shutil
import signal
import tempfile
import warnings
from collections import Counter, deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import forks
import shim
from campaign import Campaign, options
from commands import Inputs
from kinds import Kind, kinds_in, make

_BATCH = 50
_HANG_SECONDS = 60

# What is drawn where a file is too small for as many flips and cuts.
_FILLERS = ("zero", "random", "swap", "extend", "insert")

Damage = tuple[Any, ...]
Batch = tuple[str, int, list[Damage]]  # the kind, the number of the first, and what is done


def main() -> None:
    """Damage everything, print the totals."""
    parser = options(__doc__)
    parser.add_argument("--kinds", default="", help="a regular expression that their names must hold")
    parser.add_argument("--tries", type=int, default=2000, help="of each kind; those that are cheap get more")
    asked = parser.parse_args()
    shim.ensure_loaded()
    forks.preload()
    warnings.simplefilter("ignore")
    campaign = Campaign(asked)
    with forks.scratch("damage") as base:
        told = _try_all(base, asked, campaign)
    campaign.end(told)


def _try_all(base: Path, asked: argparse.Namespace, campaign: Campaign) -> dict[str, Any]:
    inputs, specimens = make(base)
    kinds = {name: kind for name, kind in kinds_in(specimens).items() if re.search(asked.kinds, name)}
    verdicts: dict[str, dict[str, list[str]]] = {name: {} for name in kinds}
    for key, verdict in campaign.made.items():
        name, damage = key.split(" | ")
        if name in verdicts:
            verdicts[name][damage] = verdict
    expected, batches = {}, deque[Batch]()
    for name, kind in kinds.items():
        expected[name] = _expected(kind, inputs, base)
        n_tries = asked.tries * kind.share if asked.tries >= 100 else asked.tries
        wanted = damages((kind.specimen / kind.file).read_bytes(), n_tries, f"{asked.seed} {name}")
        left = [damage for damage in wanted if json.dumps(damage) not in verdicts[name]]
        batches += [(name, start, left[start : start + _BATCH]) for start in range(0, len(left), _BATCH)]
    random.Random(asked.seed).shuffle(batches)  # a campaign that is cut short has seen a bit of everything

    def one(batch: Batch) -> None:
        _use_all(batch, kinds[batch[0]], expected[batch[0]], inputs, _progress(base, batch))

    taken = campaign.within(_drained(batches))
    for batch, error in forks.map_forked(one, taken, asked.jobs):
        name, start, wanted = batch
        progress = _progress(base, batch)
        lines = progress.read_text().splitlines() if progress.exists() else []
        progress.unlink(missing_ok=True)
        made = [json.loads(line) for line in lines]
        if len(made) < len(wanted):
            made.append(["crash", str((error or {}).get("error", ""))])
            if rest := wanted[len(made) :]:
                batches.append((name, start + len(made), rest))
        for damage, verdict in zip(wanted, made, strict=False):
            verdicts[name][json.dumps(damage)] = verdict
            if verdict[0] not in ("same", "refused"):
                print(f"FAILED {name}, {damage}: {' '.join(verdict)[:300]}", flush=True)
            campaign.add(f"{name} | {json.dumps(damage)}", verdict)
    return tally(verdicts)


def _drained(batches: deque[Batch]) -> Iterator[Batch]:
    while batches:
        yield batches.popleft()


def _progress(base: Path, batch: Batch) -> Path:
    return base / f"progress-{re.sub('[^a-z]+', '-', batch[0])}-{batch[1]}"


def _expected(kind: Kind, inputs: Inputs, base: Path) -> str:
    """The result of the undamaged specimen, twice."""
    progress = base / "progress"
    forks.wait(
        forks.fork(lambda: _use_all((kind.name, 0, [("none",)] * 2), kind, "", inputs, progress)),
        300,
    )
    made = [json.loads(line) for line in progress.read_text().splitlines()]
    progress.unlink()
    if len(made) != 2 or made[0] != made[1] or made[0][0] != "other":
        raise SystemExit(f"{kind.name}: what comes of it is not the same twice: {made}")
    return str(made[0][1])


def _use_all(batch: Batch, kind: Kind, expected: str, inputs: Inputs, progress: Path) -> None:
    """Damage and use one after the other; prints a line for each."""
    data = (kind.specimen / kind.file).read_bytes()
    with open(progress, "w") as out:
        for damage in batch[2]:
            folder = Path(tempfile.mkdtemp(prefix="try-", dir=progress.parent)) / "specimen"
            shutil.copytree(kind.specimen, folder, symlinks=True)
            path = folder / kind.file
            damaged = apply(damage, data)
            if damaged is None:
                path.unlink()
            elif damaged != data:
                stamp = path.stat()
                path.write_bytes(damaged)
                # Nobody is warned by the time of the change.
                os.utime(path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
            signal.alarm(_HANG_SECONDS)
            out.write(json.dumps(_verdict(kind, expected, inputs, folder, path)) + "\n")
            out.flush()
            signal.alarm(0)
            shutil.rmtree(folder.parent, ignore_errors=True)


def _verdict(kind: Kind, expected: str, inputs: Inputs, folder: Path, path: Path) -> list[str]:
    from manymill.errors import ManymillError

    try:
        result = kind.use(inputs, folder)
    except ManymillError as error:
        named = str(folder) in str(error) or path.name in str(error)
        return ["refused"] if named else ["unnamed", str(error)[:200]]
    except Exception as error:
        return ["traceback", f"{type(error).__name__}: {error}"[:200]]
    return ["same"] if result == expected else ["other", result]


def damages(data: bytes, n_tries: int, seed: str) -> list[Damage]:
    """Different damages of a file, as many as requested, each of which changes it."""
    generator, size = random.Random(seed), len(data)
    chosen: dict[Damage, None] = {("delete",): None}

    def add(candidates: Iterator[Damage], most: int) -> None:
        end = len(chosen) + most
        for damage in candidates:
            if len(chosen) >= min(end, n_tries):
                return
            chosen[damage] = None

    flips = range(8 * size)
    add((("flip", bit) for bit in generator.sample(flips, min(len(flips), n_tries))), n_tries // 2)
    add((("cut", length) for length in generator.sample(range(size), min(size, n_tries))), n_tries // 5)
    digits = [place for place, byte in enumerate(data) if 48 <= byte < 58]
    few = n_tries // 16
    for kind in ("zero", "random", "swap", "extend", *(["digit"] if digits else [])):
        add((_drawn(kind, data, digits, generator) for _ in range(4 * few)), few)
    tries = 0
    while len(chosen) < n_tries and tries < 4 * n_tries:
        tries += 1
        chosen[_drawn(generator.choice(_FILLERS), data, digits, generator)] = None
    return [damage for damage in chosen if damage[0] == "delete" or apply(damage, data) != data]


def _drawn(kind: str, data: bytes, digits: list[int], generator: random.Random) -> Damage:
    size = len(data)
    start = generator.randrange(size)
    length = min(size - start, generator.choice([1, 2, 4, 8, 64, 512, 4096, size]))
    if kind == "digit":
        return "digit", generator.choice(digits), generator.randrange(10)
    if kind == "swap":
        return "swap", start, generator.randrange(size), length
    if kind == "extend":
        return (
            "extend",
            generator.choice(["zeros", "itself", "random"]),
            generator.choice([1, 2, 3, 8, 100, 4096]),
            start,
        )
    if kind == "insert":
        return "insert", start, generator.randrange(2**32)
    return kind, start, length


def apply(damage: Damage, data: bytes) -> bytes | None:
    """The damaged bytes; None to delete the file."""
    kind, *where = damage
    content = bytearray(data)
    if kind == "delete":
        return None
    if kind == "flip":
        content[where[0] // 8] ^= 1 << where[0] % 8
    elif kind == "cut":
        del content[where[0] :]
    elif kind == "digit":
        content[where[0]] = 48 + where[1]
    elif kind in ("zero", "random"):
        start, length = where
        generator = random.Random(start)
        content[start : start + length] = bytes(length) if kind == "zero" else generator.randbytes(length)
    elif kind == "insert":
        content[where[0] : where[0]] = random.Random(where[1]).randbytes(1 + where[1] % 9)
    elif kind == "swap":
        one, other, length = where
        one, other = sorted((one, other))
        length = min(length, other - one, len(content) - other)
        first, second = data[one : one + length], data[other : other + length]
        content[one : one + length], content[other : other + length] = second, first
    elif kind == "extend":
        how, length, start = where
        content += {
            "zeros": bytes(length),
            "itself": data[start:] + data,
            "random": random.Random(start).randbytes(length),
        }[how]
    return bytes(content)


def tally(verdicts: dict[str, dict[str, list[str]]]) -> dict[str, Any]:
    """Tries and outcomes of each kind of file."""
    kinds = []
    for name, found in verdicts.items():
        counts = Counter(verdict[0] for verdict in found.values())
        row = {verdict: counts[verdict] for verdict in ("refused", "same", *_FAILURES)}
        examples = [verdict for verdict in found.values() if verdict[0] in _FAILURES]
        kinds.append({"kind": name, "tries": len(found), **row, "examples": examples[:3]})
    total = {"kinds": len(kinds), "tries": sum(row["tries"] for row in kinds)}
    total |= {v: sum(row[v] for row in kinds) for v in ("refused", "same", *_FAILURES)}
    total["failures"] = sum(total[verdict] for verdict in _FAILURES)
    return {"total": total, "kinds": kinds}


_FAILURES = ("other", "traceback", "crash", "unnamed")


if __name__ == "__main__":
    main()
