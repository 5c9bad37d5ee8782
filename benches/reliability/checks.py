"""Undisturbed runs, and the checks after a fault and after continuing."""

from __future__ import annotations

import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import forks
import shim
from commands import (
    COMMANDS,
    OTHERS,
    Command,
    Inputs,
    begin,
    call,
    check_model,
    digests,
    listing,
    specimens,
)

HANG_SECONDS = 120.0


@dataclass(frozen=True)
class Reference:
    """The calls and the files of an undisturbed run."""

    calls: tuple[str, ...]
    deliverables: dict[str, str]
    earlier: dict[str, str]
    listing: list[str]
    seconds: float


def run_undisturbed(arguments: list[str], folder: Path) -> int | None:
    """Run a command line in a child; returns its exit code."""
    return forks.wait(forks.fork(lambda: call(arguments, folder), folder / "run"), HANG_SECONDS)


def prepared(base: Path, n_rows: int = 400) -> Inputs:
    """The inputs, and the files that exist before the commands."""
    inputs = Inputs.make(base / "inputs", n_rows)
    specimens(inputs, run_undisturbed)
    _stop_a_run(inputs)
    return inputs


def _stop_a_run(inputs: Inputs) -> None:
    """Make a run in lanes that was killed just after a checkpoint in its middle."""
    command, scratch = COMMANDS["train --lanes"], inputs.folder / "scratch"
    calls = reference_of(command, inputs, inputs.folder).calls
    renamings = [n for n, call_ in enumerate(calls, 1) if call_.startswith("rename") and "position" in call_]
    # Killed when the next checkpoint begins: what the last one does not need has been removed.
    middle = renamings[len(renamings) // 2]
    number = next(
        n for n, c in enumerate(calls, 1) if n > middle and c.startswith("open") and "checkpoint" in c
    )
    begin(command, inputs, scratch)
    log = shim.Log()
    run_counted(command.arguments(inputs, scratch), scratch, log, shim.MODES["kill"], number)
    log.drop()
    shutil.move(scratch / "work" / "run", inputs.folder / "stopped-run")
    shutil.rmtree(scratch)


def reference_of(command: Command, inputs: Inputs, base: Path) -> Reference:
    """Two undisturbed runs, which must leave the same files; the calls are those of the longer one."""
    found = []
    for _ in range(2):
        folder = Path(tempfile.mkdtemp(prefix="quiet-", dir=base))
        begin(command, inputs, folder)
        earlier = digests(folder, command.deliverables)
        log = shim.Log()
        started = time.monotonic()
        code = run_counted(command.arguments(inputs, folder), folder, log)
        seconds = time.monotonic() - started
        if code != 0:
            raise SystemExit(f"{command.name} ended with {code}: {said(folder)}")
        left = digests(folder, command.deliverables)
        found.append(Reference(tuple(log.calls()), left, earlier, listing(folder), seconds))
        log.drop()
        shutil.rmtree(folder)
    first, second = found
    if first.deliverables != second.deliverables or first.listing != second.listing:
        raise SystemExit(f"{command.name}: two undisturbed runs differ: {first} {second}")
    return max(found, key=lambda reference: len(reference.calls))


def run_counted(
    arguments: list[str], folder: Path, log: shim.Log, mode: shim.Mode | None = None, number: int = 2**40
) -> int | None:
    def work() -> int | None:
        log.arm([folder / place for place in ("work", "cache", "store", "tmp", "home")], mode, number)
        return call(arguments, folder)

    return forks.wait(forks.fork(work, folder / "run"), HANG_SECONDS)


def said(folder: Path) -> str:
    """The stderr of a command; empty if it was killed before it began."""
    output = folder / "run.stderr"
    return output.read_text(errors="replace") if output.exists() else ""


def wrong_end(
    command: Command, folder: Path, code: int | None, reference: Reference, *, killed: bool
) -> Iterator[str]:
    """Check the exit code of a run."""
    stderr = said(folder)
    if code is None:
        yield "hung"
    elif "Traceback" in stderr or "panicked" in stderr:
        yield f"traceback: {stderr.strip().splitlines()[-1][:200]}"
    elif killed:
        if code != -9:
            yield f"ended with {code} instead of being killed"
    elif code == 0:
        yield from lies(command, folder, reference, stderr)
    elif code != 1 or "error:" not in stderr:
        yield f"ended with {code} and said {stderr.strip()[-200:]!r}"


def lies(command: Command, folder: Path, reference: Reference, stderr: str) -> Iterator[str]:
    """Output that exit code 0 promises but that is missing or different."""
    left = digests(folder, command.deliverables)
    for name, digest in reference.deliverables.items():
        is_told = any(Path(name).match(pattern) and re.search(told, stderr) for pattern, told in command.told)
        if left.get(name) != digest and not is_told:
            yield f"lie: ended with 0, but {name} is {'other bytes' if name in left else 'missing'}"


def wrong_left(command: Command, folder: Path, reference: Reference) -> Iterator[str]:
    """Check the files after a fault: the complete old or new model, and unchanged files of others."""
    yield from foreign(folder)
    if command.model is not None:
        model = folder / command.model
        there = any((model / name).exists() for name in ("model.json", "forest.json"))
        if there and forks.wait(forks.fork(lambda: check_model(model), folder / "check"), HANG_SECONDS) != 0:
            error = (folder / "check.stderr").read_text().strip().splitlines()
            yield f"broken model: {error[-1][:200] if error else 'the loader crashed'}"
        if command.had_model and not there:
            yield "the old model is gone"
    if command.whole:
        for name, digest in digests(folder, command.deliverables).items():
            if digest not in (reference.deliverables.get(name), reference.earlier.get(name)):
                yield f"{name} is neither the old nor the new one"


def foreign(folder: Path) -> Iterator[str]:
    """Files of others that were changed."""
    for name, content in OTHERS.items():
        path = folder / name
        if not path.exists() or path.read_bytes() != content:
            yield f"{name}, a file of others, was changed"


def wrong_again(
    command: Command,
    folder: Path,
    inputs: Inputs,
    number: int,
    reference: Reference,
    *,
    was_killed: bool = True,
) -> Iterator[str]:
    """Repeat the command, or ``resume``, without a fault: the bytes of an undisturbed run, and no other files."""
    arguments = command.again(inputs, folder, number)
    code = run_undisturbed(arguments, folder)
    stderr = said(folder)
    over = arguments[0] == "resume" and code == 1 and "is over" in stderr
    if over and not was_killed:
        # The run said what it could not write or remove: the next training makes it good.
        arguments, over = (command.anew or command.arguments)(inputs, folder), False
        code = run_undisturbed(arguments, folder)
        stderr = said(folder)
    if code != 0 and not over:
        yield f"{arguments[0]} again ended with {code}: {stderr.strip()[-300:]!r}"
        return
    yield from foreign(folder)
    left = digests(folder, command.deliverables)
    if other := [name for name, digest in reference.deliverables.items() if left.get(name, digest) != digest]:
        yield f"{arguments[0]} again gave other bytes: {', '.join(sorted(other))}"
    outputs = ("run.std", "check.std")
    # Files that should not be there, and those that should.
    more = [n for n in listing(folder) if n not in reference.listing and not n.startswith(outputs)]
    if more:
        yield f"left behind: {', '.join(more[:5])}"
    lost = [n for n in reference.listing if n not in listing(folder)]
    if lost:
        yield f"missing: {', '.join(lost[:5])}"
