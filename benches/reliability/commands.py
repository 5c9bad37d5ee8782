"""The commands under test: their start, their promised output, and the files that must exist at their end.

A try has a folder of its own::

    try/
    ├── work/     working folder of the command, with files of others in it
    ├── cache/    XDG_CACHE_HOME, and MANYMILL_CACHE where it is known
    ├── store/    MANYMILL_STORE
    ├── tmp/      TMPDIR
    └── home/     HOME

The inputs lie outside, are shared by all tries, and are only read.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import forks

SHIPPED = Path(__file__).parents[2] / "examples" / "data"
PLACES = {
    "XDG_CACHE_HOME": "cache",
    "MANYMILL_CACHE": "cache",
    "MANYMILL_STORE": "store",
    "TMPDIR": "tmp",
    "HOME": "home",
}
OTHERS = {"work/notes.txt": b"of the user\n", "work/data/old.csv": b"a,b\n1,2\n"}


@dataclass(frozen=True, slots=True)
class Inputs:
    """Files that all tries read."""

    folder: Path

    @classmethod
    def make(cls, folder: Path, n_rows: int = 400) -> Inputs:
        """Cut them from the shipped corpora: ``n_rows`` to train on, half as many to predict."""
        import pyarrow as pa

        folder.mkdir(parents=True, exist_ok=True)
        with pa.input_stream(SHIPPED / "languages-train.jsonl.zst", compression="zstd") as file:
            lines = [line for line in file.read().split(b"\n") if line]
        names = sorted({json.loads(line)["label"] for line in lines})[: max(4, n_rows // 100)]
        kept = [line for line in lines if json.loads(line)["label"] in names]
        bad = [b'{"text": 5, "label": "x"}', b"{"]
        half, quarter = n_rows // 2, n_rows // 4
        others = kept[n_rows:]
        write = {
            "rows.jsonl": [*kept[:half], *bad, *kept[half:n_rows]],
            "old.jsonl": others[half : 2 * half],
            "a.jsonl": [*others[:quarter], *bad],
            "b.jsonl": others[quarter:half],
        }
        for name, rows in write.items():
            (folder / name).write_bytes(b"\n".join(rows) + b"\n")
        shutil.copy(SHIPPED / "fruit-train.csv", folder / "fruit.csv")
        (folder / "search.toml").write_text(
            f"[data]\nsource = {str(folder / 'rows.jsonl')!r}\ntext = 'text'\nlabel = 'label'\n"
            "[estimator]\nn_features = 512\npasses = 1\n"
            "[space]\nl2 = [0.0, 1e-5, 1e-3]\n[search]\ncv = 2\n"
        )
        return cls(folder)

    def __truediv__(self, name: str) -> str:
        return str(self.folder / name)


@dataclass(frozen=True)
class Command:
    """A command line and its output.

    Attributes
    ----------
    name : str
    arguments : callable
        The arguments, given inputs and the folder of the try.
    deliverables : tuple of str
        Patterns of the files, relative to the folder, whose bytes the command promises.
    model : str or None
        Path of the model.
    earlier : callable or None
        Makes the files that exist before the command.
    had_model : bool
        Whether a model exists before the command.
    told : tuple of (pattern, regular expression)
        Files that may be missing at exit code 0 if the expression matches stderr.
    anew : callable or None
        The arguments that repeat a finished command, if they differ.
    whole : bool
        Whether each deliverable must always be the earlier or the final one, with no other bytes in between.
    """

    name: str
    arguments: Callable[[Inputs, Path], list[str]]
    deliverables: tuple[str, ...]
    model: str | None = None
    earlier: Callable[[Inputs, Path], None] | None = None
    had_model: bool = False
    resumes: bool = False
    told: tuple[tuple[str, str], ...] = field(default=())
    whole: bool = False
    anew: Callable[[Inputs, Path], list[str]] | None = None

    def again(self, inputs: Inputs, folder: Path, number: int) -> list[str]:
        """The arguments that continue: ``resume`` for every second try whose run can be resumed."""
        run = folder / "work" / "run"
        if self.resumes and number % 2 and (run / "plan.json").exists() and not _is_old(run):
            return ["resume", str(run)]
        return self.arguments(inputs, folder)


_FAST = ["--text", "text", "--label", "label", "--n-features", "512", "--passes", "2", "--patience", "2"]
_LOST = r"cannot (write|list)|no longer recorded|only counted"
_LINEAR = ("work/run/model/model.json", "work/run/model/*.safetensors", "work/run/bad_rows.jsonl")
_LISTED = (("work/run/bad_rows.jsonl", _LOST),)


def _train(inputs: Inputs, folder: Path, *options: str) -> list[str]:
    rows, run = inputs / "rows.jsonl", folder / "work" / "run"
    return ["train", rows, "--out", str(run), *_FAST, "--threads", "2", "--window", "20KB", *options]


def _lanes(inputs: Inputs, folder: Path) -> list[str]:
    return _train(inputs, folder, "--lanes", "2", "--rounds", "2", "--engine", "2")


def _forest(inputs: Inputs, folder: Path, engine: str = "2") -> list[str]:
    run = str(folder / "work" / "run")
    options = ["--model", "forest", "--label", "kind", "--trees", "4", "--engine", engine]
    return ["train", inputs / "fruit.csv", "--out", run, *options]


def _search(inputs: Inputs, folder: Path) -> list[str]:
    return ["search", inputs / "search.toml", "--out", str(folder / "work" / "run"), "--engine", "2"]


def _predict(inputs: Inputs, folder: Path) -> list[str]:
    out = str(folder / "work" / "parts")
    return [
        "predict",
        inputs / "model",
        inputs / "a.jsonl",
        inputs / "b.jsonl",
        "--text",
        "text",
        "--out",
        out,
    ]


def _hash(name: str, *options: str) -> Callable[[Inputs, Path], list[str]]:
    def arguments(inputs: Inputs, folder: Path) -> list[str]:
        out = str(folder / "work" / name)
        return ["hash", inputs / "a.jsonl", "--text", "text", "--label", "label", "--out", out, *options]

    return arguments


def _old_run(inputs: Inputs, folder: Path) -> None:
    shutil.copytree(inputs / "old-run", folder / "work" / "run")


def _is_old(run: Path) -> bool:
    """Whether a run folder still has the plan of the earlier run."""
    return b"old.jsonl" in (run / "plan.json").read_bytes()


def _stopped_run(inputs: Inputs, folder: Path) -> None:
    shutil.copytree(inputs / "stopped-run", folder / "work" / "run")


def _old_matrix(inputs: Inputs, folder: Path) -> None:
    shutil.copytree(inputs / "old-matrix", folder / "work", dirs_exist_ok=True)


def _parts(*names: str) -> tuple[str, ...]:
    return tuple(f"work/parts/{name}" for name in (*names, ".manymill/*.bad_rows"))


def _on_processes(command: Command, *options: str) -> Callable[[Inputs, Path], list[str]]:
    def arguments(inputs: Inputs, folder: Path) -> list[str]:
        given = command.arguments(inputs, folder)
        given[given.index("--engine") + 1] = "processes:2"
        return [*given, *options]

    return arguments


COMMANDS: dict[str, Command] = {
    command.name: command
    for command in (
        Command("train", _train, _LINEAR, "work/run/model", resumes=True, told=_LISTED),
        Command(
            "train over an old model",
            _train,
            _LINEAR,
            "work/run/model",
            _old_run,
            had_model=True,
            resumes=True,
            told=_LISTED,
        ),
        Command("train --lanes", _lanes, _LINEAR, "work/run/model", resumes=True, told=_LISTED),
        Command(
            "resume",
            lambda inputs, folder: ["resume", str(folder / "work" / "run")],
            _LINEAR,
            "work/run/model",
            _stopped_run,
            told=_LISTED,
            anew=_lanes,
        ),
        Command(
            "predict",
            _predict,
            _parts("a.jsonl", "b.jsonl"),
            told=(("work/parts/.manymill/*.bad_rows", _LOST),),
            whole=True,
        ),
        Command("hash", _hash("X.npz"), ("work/X.*",), told=(("work/X.bad_rows.jsonl", _LOST),), whole=True),
        Command(
            "hash --svmlight over an old matrix",
            _hash("X.svm", "--svmlight"),
            ("work/X.*",),
            earlier=_old_matrix,
            told=(("work/X.bad_rows.jsonl", _LOST),),
            whole=True,
        ),
        Command("search", _search, ("work/run/model/model.json", "work/run/model/*.safetensors"), "work/run/model"),
        Command(
            "train --model forest",
            _forest,
            ("work/run/model/forest.json", "work/run/model/*.safetensors"),
            "work/run/model",
        ),
    )
}  # fmt: skip


# The same work by two processes: workers can be killed there.
ON_PROCESSES: dict[str, Command] = {
    f"{name} on processes": dataclasses.replace(
        COMMANDS[name], name=f"{name} on processes", arguments=_on_processes(COMMANDS[name], *options)
    )
    for name, options in (
        ("train --lanes", ()),
        ("search", ()),
        ("train --model forest", ("--mode", "patches", "--partitions", "4")),
    )
}


def begin(command: Command, inputs: Inputs, folder: Path) -> None:
    """Make the folder of a try."""
    for name in ("work", *PLACES.values()):
        (folder / name).mkdir(parents=True, exist_ok=True)
    if command.earlier is not None:
        command.earlier(inputs, folder)
    for name, content in OTHERS.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


def call(arguments: list[str], folder: Path) -> int | None:
    """Run a command line in this process, a child only for that; ends with ``SystemExit``."""
    from manymill.cli import main
    from manymill.linear.run import resume_run, train_run

    for variable, place in PLACES.items():
        os.environ[variable] = str(folder / place)
    tempfile.tempdir = None
    # A checkpoint as often as there can be one: these runs are shorter than ten seconds.
    for run in (train_run, resume_run):
        run.__kwdefaults__["checkpoint_seconds"] = 0.0  # type: ignore[index]
    forks.forget_program()
    os.chdir(folder / "work")
    sys.argv = ["manymill", *arguments]
    main()
    return None


def digests(folder: Path, patterns: tuple[str, ...]) -> dict[str, str]:
    """The digests of the matching files."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for pattern in patterns
        for path in sorted(folder.glob(pattern))
        if path.is_file()
    }


def listing(folder: Path) -> list[str]:
    """Every path of a try except locks; random parts of names are shown as ``*``."""
    names = {str(path.relative_to(folder)) for path in folder.rglob("*")}
    return sorted(re.sub(r"\b[0-9a-f]{32}\b(?=\.)", "*", name) for name in names if not name.endswith("lock"))


def check_model(folder: Path) -> None:
    """Load a model and verify every checksum; raises if it is damaged."""
    if (folder / "forest.json").exists():
        from manymill.forest.run import load_table_model

        load_table_model(folder)
    else:
        from manymill.model import load_model

        load_model(folder)


def age(folder: Path, seconds: float = 3600) -> None:
    """Make files in caches and in the temporary folder look old: cleaning spares new ones."""
    then = time.time() - seconds
    for place in ("cache", "store", "tmp", "work"):
        for path in (folder / place).rglob("*"):
            if place != "work" or ".partial" in path.name or path.name.startswith("."):
                os.utime(path, (then, then), follow_symlinks=False)


def specimens(inputs: Inputs, run: Callable[[list[str], Path], int | None]) -> None:
    """Make the files that exist before commands: an old model, a run that was stopped, an old matrix."""
    scratch = inputs.folder / "scratch"
    begin(COMMANDS["train"], inputs, scratch)
    old = _train(inputs, scratch)
    old[1] = inputs / "old.jsonl"
    if run(old, scratch) != 0:
        raise SystemExit("the training of the old model failed")
    shutil.move(scratch / "work" / "run", inputs.folder / "old-run")
    shutil.copytree(inputs.folder / "old-run" / "model", inputs.folder / "model")
    for name, options in (("X.npz", ()), ("X.svm", ("--svmlight",))):
        arguments = _hash(name, *options)(inputs, scratch)
        arguments[1] = inputs / "b.jsonl"
        if run(arguments, scratch) != 0:
            raise SystemExit("hash failed")
        if name == "X.svm":
            shutil.copytree(
                scratch / "work",
                inputs.folder / "old-matrix",
                ignore=shutil.ignore_patterns("notes*", "data"),
            )
        for path in (scratch / "work").glob("*X.*"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    shutil.rmtree(scratch)
