"""An iterative training that stages its state on disk, as map-reduce does, against the same training in place.

    python benches/mapreduce.py --data FOLDER [--corpora imdb 20news-bydate] [--rounds 10] [--repeats 3]

The job is iterative parameter mixing: in every round each of eight lanes trains once on all its rows, starting from
the merged state; then the states are merged. Both arms run the same code on two worker processes, so the models have
the same bytes, which is checked. They differ in where data is between rounds:

staged
    A map task reads, splits and hashes its part of the source again, reads the whole state from a file, and writes
    its changes to a file; a reduce task reads files and writes one. No worker keeps anything between rounds.
in place
    Workers keep their rows and their learner. Only changes are transferred: to the driver through pipes, to the
    workers as one file per round that each of them maps.

Other costs of map-reduce are left out, in its favour: no process is started for a task, no file is replicated or
synced, and files stay in the page cache.
"""

from __future__ import annotations

import argparse
import itertools
import pickle
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any
from unittest import mock

import corpora
import engine_runs
import measure

from manymill.engine.processes import ProcessEngine
from manymill.engine.spool import Ref
from manymill.linear.lanes import driver, worker
from manymill.linear.settings import Settings

ROOT = Path(__file__).resolve().parents[1]
LANES = 8
WORKERS = 2


class StagedEngine(ProcessEngine):
    """Two stateless processes that exchange everything in files.

    Attributes
    ----------
    read, written : int
        Bytes of files, without the source.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(WORKERS, spool=folder)
        self._folder = folder
        self._names = itertools.count()
        self._state_bytes = 0
        self.read = self.written = 0

    def publish(self, arrays: Mapping[str, Any]) -> Ref:
        """A file that every map task will read."""
        ref = super().publish(arrays)
        self._state_bytes = sum(array.nbytes for array in arrays.values())
        self.written += self._state_bytes
        return ref

    def fold(
        self,
        function: Callable[[Any], tuple[Any, Any]],
        items: Iterable[Any],
        combine: Callable[[list[Any]], Any],
        *,
        keys: Iterable[int | None] | None = None,
        fan_in: int = 4,
        on_done: Callable[[int, Any], None] | None = None,
    ) -> tuple[list[Any], Any]:
        """Map, shuffle and reduce in the same tree as every engine."""
        tasks = [(function, item, self._new()) for item in items]
        reports, files = [], []
        for index, (report, n_bytes) in enumerate(self.map(_map, tasks)):
            self.read += self._state_bytes
            self.written += n_bytes
            reports.append(report)
            files += [tasks[index][2]] if n_bytes else []
            if on_done is not None:
                on_done(index, report)
        while len(files) > 1:
            groups = [files[i : i + fan_in] for i in range(0, len(files), fan_in)]
            todo = [(combine, group, self._new()) for group in groups if len(group) > 1]
            for n_read, n_written in self.map(_reduce, todo):
                self.read += n_read
                self.written += n_written
            made = iter([out for _, _, out in todo])
            files = [next(made) if len(group) > 1 else group[0] for group in groups]
        if not files:
            return reports, None
        self.read += files[0].stat().st_size
        merged = pickle.loads(files[0].read_bytes())
        files[0].unlink()
        return reports, merged

    def _new(self) -> Path:
        return self._folder / f"part-{next(self._names)}"


def _map(task: tuple[Callable[[Any], tuple[Any, Any]], Any, Path]) -> tuple[Any, int]:
    """A map task: it keeps nothing of the previous round, and writes its part to a file."""
    function, item, out = task
    worker.evict(item.job.token)
    report, part = function(item)
    return report, 0 if part is None else out.write_bytes(pickle.dumps(part, protocol=5))


def _reduce(task: tuple[Callable[[list[Any]], Any], list[Path], Path]) -> tuple[int, int]:
    """A reduce task; returns the bytes read and written."""
    combine, files, out = task
    n_read = sum(file.stat().st_size for file in files)
    merged = combine([pickle.loads(file.read_bytes()) for file in files])
    for file in files:
        file.unlink()
    return n_read, out.write_bytes(pickle.dumps(merged, protocol=5))


def staged(file: Path, settings: Settings) -> dict[str, Any]:
    """The training through files. Every round writes the whole state, since no worker has the previous one."""
    with (
        tempfile.TemporaryDirectory(dir=file.parent) as folder,
        StagedEngine(Path(folder)) as engine,
        mock.patch.object(driver, "_CHANGES", 0),
    ):
        engine_runs.warm(engine)
        seconds, digest = engine_runs.once(file, settings, engine, WORKERS)
        return {
            "seconds": seconds,
            "digest": digest,
            "source_bytes_read": file.stat().st_size * settings.passes,
            "intermediate_bytes_read": engine.read,
            "intermediate_bytes_written": engine.written,
            "bytes_travelled": 0,
        }


class PlaceEngine(ProcessEngine):
    """The ordinary engine of two processes, which counts the published bytes.

    Attributes
    ----------
    published : int
        Bytes of the files that each worker maps into its memory.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(WORKERS, spool=folder)
        self.published = 0

    def publish(self, arrays: Mapping[str, Any]) -> Ref:
        """See `Engine.publish`."""
        self.published += sum(array.nbytes for array in arrays.values())
        return super().publish(arrays)


def in_place(file: Path, settings: Settings) -> dict[str, Any]:
    """The ordinary training: parts come back through pipes, changes are published as files that workers map."""
    with tempfile.TemporaryDirectory(dir=file.parent) as folder, PlaceEngine(Path(folder)) as engine:
        engine_runs.warm(engine)
        back = engine.bytes_back
        seconds, digest = engine_runs.once(file, settings, engine, WORKERS)
        return {
            "seconds": seconds,
            "digest": digest,
            "source_bytes_read": file.stat().st_size,
            "intermediate_bytes_read": engine.published * WORKERS,
            "intermediate_bytes_written": engine.published,
            "bytes_travelled": engine.bytes_back - back,
        }


def compare(folder: Path, rounds: int, repeats: int) -> list[dict[str, Any]]:
    """Run both arms, alternating."""
    # One round is one pass: staged, a round reads the source once, as a map-reduce job does.
    settings = Settings(
        recipe="fast",
        ngram_range=(1, 2),
        lanes=LANES,
        passes=rounds,
        patience=rounds,
        rounds_per_pass=1,
        merge="uniform",
    )
    file = folder / "shuffled.jsonl"
    found: dict[str, list[dict[str, Any]]] = {"staged": [], "in place": []}
    for _ in range(repeats):
        for name, arm in (("staged", staged), ("in place", in_place)):
            found[name].append(arm(file, settings))
            print(folder.name, name, found[name][-1], file=sys.stderr, flush=True)
    digests = {run["digest"] for runs in found.values() for run in runs}
    rows = []
    for name, runs in found.items():
        seconds = [run["seconds"] for run in runs]
        rows.append(
            {
                "corpus": folder.name,
                "arm": name,
                "rounds": rounds,
                "lanes": LANES,
                "seconds": round(statistics.median(seconds), 2),
                **{f"mb_{key}": round(runs[0][key] / 1e6, 1) for key in runs[0] if "bytes" in key},
                "same_bytes": len(digests) == 1,
                "all_seconds": [round(value, 2) for value in seconds],
                "digest": runs[0]["digest"],
            }
        )
    rows[1]["times_as_fast"] = round(rows[0]["seconds"] / rows[1]["seconds"], 2)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of the full corpora")
    parser.add_argument("--work", type=Path, help="folder for inputs; a temporary one by default")
    parser.add_argument("--corpora", nargs="+", default=["imdb", "20news-bydate"])
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        work = (options.work or Path(temporary)).resolve()
        rows = []
        for name in options.corpora:
            rows += compare(corpora.unpack(options.data, work, name), options.rounds, options.repeats)
    for row in rows:
        print("  ".join(f"{key}={value}" for key, value in row.items() if not isinstance(value, list)))
    content = {
        "command": f"python benches/mapreduce.py --data DATA --rounds {options.rounds} --repeats {options.repeats}",
        "machine": measure.machine(),
        "versions": measure.versions("manymill", "numpy"),
        "rows": rows,
    }
    measure.write_json(ROOT / "benches" / "results" / "mapreduce.json", content)


if __name__ == "__main__":
    main()
