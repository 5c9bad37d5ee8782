"""What becomes of an engine, and of its workers, when something goes wrong."""

import multiprocessing
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, ProcessPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from contract import engine_tasks as tasks
from contract.engine_tasks import Lane
from manymill.engine.processes import ProcessEngine
from manymill.engine.selection import as_engine
from manymill.errors import EngineError

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="signals as Linux has them")

DRIVER = """
import sys
from pathlib import Path
from contract.engine_tasks import never_end
from manymill.engine.selection import as_engine
with as_engine("processes:2") as engine:
    list(engine.map(never_end, [Path("0.pid"), Path("1.pid")]))
"""


def written(paths: list[Path]) -> None:
    """Wait until the workers have said which processes they are."""
    deadline = time.monotonic() + 30
    while not all(path.exists() and path.read_text() for path in paths):
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture
def driver(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], list[psutil.Process]]]:
    """A process that drives two workers which never end, in a process group of its own."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen(
        [sys.executable, "-c", DRIVER],
        cwd=tmp_path,
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    with process:
        paths = [tmp_path / f"{n}.pid" for n in range(2)]
        written(paths)
        yield process, [psutil.Process(int(path.read_text())) for path in paths]
        process.kill()


def test_workers_end_with_a_driver_that_is_killed(driver) -> None:
    process, workers = driver
    process.kill()
    _, alive = psutil.wait_procs(workers, timeout=5)
    assert not alive


def test_ctrl_c_ends_driver_and_workers_without_a_word_of_the_workers(driver) -> None:
    process, workers = driver
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the driver and its workers alike
    _, stderr = process.communicate(timeout=10)
    assert not psutil.wait_procs(workers, timeout=5)[1]
    assert stderr.count("Traceback") == 1
    assert stderr.rstrip().endswith("KeyboardInterrupt")


def test_closing_cancels_what_waits_and_ends_what_runs(tmp_path: Path) -> None:
    engine = as_engine("processes:1")
    running, waiting = (engine.submit(tasks.never_end, tmp_path / name) for name in "ab")
    written([tmp_path / "a"])
    engine.close()
    for future in (running, waiting):
        with pytest.raises(CancelledError):
            future.result()
    assert not psutil.pid_exists(int((tmp_path / "a").read_text()))
    with pytest.raises(EngineError, match="has been closed"):
        engine.submit(tasks.square, 1)


def test_closing_without_cancelling_does_what_was_asked_for_first() -> None:
    engine = as_engine("processes:1")
    futures = [engine.submit(tasks.square, n) for n in range(5)]
    engine.close(cancel=False)
    assert [future.result() for future in futures] == [0, 1, 4, 9, 16]


def test_closing_threads_drops_what_has_not_begun() -> None:
    import threading

    begun, go = threading.Event(), threading.Event()
    engine = as_engine(1)
    first = engine.submit(lambda: begun.set() or go.wait(10))
    second = engine.submit(tasks.square, 2)
    second.add_done_callback(lambda _: go.set())
    begun.wait(10)
    engine.close()
    assert first.result()
    assert second.cancelled()


@pytest.mark.parametrize("halt", [tasks.stop_once, tasks.hang_once])
def test_a_worker_that_is_stopped_or_hangs_is_killed_and_its_item_done_again(tmp_path: Path, halt) -> None:
    losses = []
    with ProcessEngine(1, stall_seconds=2) as engine:
        engine.on_loss = lambda *loss: losses.append(loss)
        assert engine.submit(halt, Lane(0, tmp_path)).result(timeout=60) == 0
    ((name, why, loss),) = losses
    assert (name, loss) == ("lane 0", 1)
    assert re.fullmatch(r"its worker \(process \d+\) gave no sign of life for 2 s and was killed", why)


@pytest.mark.parametrize("task", [time.sleep, tasks.hold_the_global_lock])
def test_a_call_that_takes_longer_than_the_limit_is_no_hang(task) -> None:
    losses = []
    with ProcessEngine(1, stall_seconds=2) as engine:
        engine.on_loss = lambda *loss: losses.append(loss)
        engine.submit(task, 5.0).result(timeout=60)
    assert losses == []


def test_a_worker_that_is_stopped_is_told_after_ten_seconds_and_may_go_on(tmp_path: Path) -> None:
    reports = []

    def go_on(name: str, worker: str, seconds: float) -> None:
        reports.append((name, worker, seconds))
        os.kill(int(worker.removeprefix("process ")), signal.SIGCONT)

    with ProcessEngine(1, stall_seconds=None) as engine:
        engine.on_silence = go_on
        assert engine.submit(tasks.stop_once_and_say_who, Lane(4, tmp_path)).result(timeout=60) == 4
    process = (tmp_path / "lane 4").read_text()
    ((name, worker, seconds),) = reports
    assert (name, worker) == ("lane 4", f"process {process}")
    assert 10 <= seconds < 12
    assert [path.name for path in tmp_path.glob("ended by *")] == [f"ended by {process}"]


def test_an_idle_worker_that_is_stopped_gives_its_next_call_away_however_large_that_is() -> None:
    losses = []
    with ProcessEngine(1, stall_seconds=2) as engine:
        engine.on_loss = lambda *loss: losses.append(loss)
        worker = engine.submit(os.getpid).result()
        os.kill(worker, signal.SIGSTOP)
        assert engine.submit(tasks.large_sum, np.ones(10_000_000, np.uint8)).result(timeout=60) == 10_000_000
    ((_, why, loss),) = losses
    assert "before it began" in why
    assert loss == 0


@pytest.fixture
def deaths_at_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file with the number of workers that are yet to be killed before they have imported anything."""
    left = tmp_path / "left"
    (tmp_path / "sitecustomize.py").write_text(f"""
import os, pathlib, signal, sys
left = pathlib.Path({str(left)!r})
if any("popen_loky" in word for word in sys.orig_argv) and (n := int(left.read_text())):
    left.write_text(str(n - 1))
    os.kill(os.getpid(), signal.SIGKILL)
""")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), *filter(None, sys.path)]))
    return left


def test_workers_that_die_while_they_start_do_not_count_for_the_item(deaths_at_start: Path) -> None:
    deaths_at_start.write_text("7")
    losses = []
    with ProcessEngine(1) as engine:
        engine.on_loss = lambda *loss: losses.append(loss)
        assert engine.submit(tasks.square, 3).result(timeout=60) == 9
    assert losses == 7 * [("3", "its worker died before it began (SIGKILL(-9))", 0)]


def test_deaths_on_the_item_count_whatever_happened_at_the_start(deaths_at_start: Path) -> None:
    deaths_at_start.write_text("2")
    losses = []
    with ProcessEngine(1) as engine:
        engine.on_loss = lambda *loss: losses.append(loss[2])
        with pytest.raises(EngineError, match=r"3 workers were lost on lane 2; the last time .*SIGKILL"):
            engine.submit(tasks.die_always, Lane(2)).result(timeout=60)
    assert losses == [0, 0, 1, 2]


def test_workers_that_cannot_be_started_at_all_are_an_error_that_says_so(deaths_at_start: Path) -> None:
    deaths_at_start.write_text("1000")
    with ProcessEngine(1) as engine:
        engine.on_loss = lambda *loss: None
        with pytest.raises(EngineError, match=r"No worker can be started: 10 in a row .*SIGKILL\(-9\)"):
            engine.submit(tasks.square, 3).result(timeout=120)


def test_a_worker_that_is_killed_in_the_middle_of_a_result_is_not_waited_for(tmp_path: Path) -> None:
    losses = []
    with as_engine("processes:1") as engine:
        engine.on_loss = lambda *loss: losses.append(loss)
        assert engine.submit(tasks.die_in_mid_result_once, Lane(3, tmp_path)).result(timeout=30) == 3
    assert losses == [("lane 3", "its worker died (SIGKILL(-9))", 1)]


def test_a_loss_is_logged_with_its_signal(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with as_engine("processes:1") as engine:
        assert engine.submit(tasks.die_once, Lane(0, tmp_path)).result() == 0
    assert caplog.messages == ["lane 0: its worker died (SIGKILL(-9)); trying again (loss 1 of 3)"]


def test_deaths_count_for_the_item_that_was_worked_on_and_no_other(tmp_path: Path) -> None:
    with as_engine("processes:1") as engine:
        engine.on_loss = lambda *loss: None
        lanes = [Lane(number, tmp_path) for number in range(5)]
        assert list(engine.map(tasks.die_once, lanes)) == [0, 1, 2, 3, 4]


def test_a_pool_that_breaks_is_told_with_the_item_and_the_remedy() -> None:
    with (
        ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool,
        as_engine(pool) as engine,
        pytest.raises(EngineError, match=r'while lane 2 was unfinished.*engine="processes"'),
    ):
        engine.submit(tasks.die_always, Lane(2)).result()


def test_a_borrowed_executor_stays_open() -> None:
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        with as_engine(pool) as engine:
            assert engine.submit(tasks.square, 2).result() == 4
        assert pool.submit(tasks.square, 3).result() == 9


def test_numerical_libraries_of_a_worker_have_one_thread() -> None:
    with as_engine("processes:1") as engine:
        names = ["OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"]
        assert list(engine.map(tasks.variable, names)) == ["1", "1", "1"]


def test_what_was_published_is_gone_when_the_engine_is_closed(tmp_path: Path) -> None:
    with as_engine("processes:1", spool=tmp_path) as engine:
        ref = engine.publish({"weights": np.ones(3)})
        assert len(list(tmp_path.rglob("*.safetensors"))) == 1
    assert not list(tmp_path.iterdir())
    with pytest.raises(EngineError, match="cannot be read on this worker"):
        ref.load()


# Dask.


@pytest.fixture
def scheduler(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[bytes], Path, Callable[..., Any]]]:
    """A scheduler and one worker as processes of their own, the file that tells where they are, and more workers."""
    pytest.importorskip("distributed")
    file = tmp_path / "cluster.json"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    common = ["--host", "127.0.0.1", "--no-dashboard", "--scheduler-file", str(file)]

    with ExitStack() as stack:

        def start(kind: str, *more: str) -> subprocess.Popen[bytes]:
            command = [sys.executable, "-m", "distributed.cli.dask_" + kind, *common, *more]
            quiet = {"stderr": subprocess.DEVNULL, "stdout": subprocess.DEVNULL}
            process = stack.enter_context(subprocess.Popen(command, env=environment, cwd=tmp_path, **quiet))
            stack.callback(process.kill)
            return process

        def worker(*more: str) -> subprocess.Popen[bytes]:
            return start("worker", "--nthreads", "1", "--death-timeout", "10", *more)

        process = start("scheduler", "--port", "0")
        written([file])
        worker("--no-nanny")
        yield process, file, worker


def test_a_scheduler_file_leads_to_the_cluster_and_its_death_is_told(
    scheduler: tuple[subprocess.Popen[bytes], Path, Callable[..., Any]], tmp_path: Path
) -> None:
    process, file, _ = scheduler
    with as_engine(f"dask://{file}") as engine:
        assert engine.submit(tasks.square, 3).result() == 9
        future = engine.submit(tasks.never_end, tmp_path / "begun")
        written([tmp_path / "begun"])
        process.kill()
        with pytest.raises(EngineError, match="scheduler lost the work on"):
            future.result(timeout=30)


@pytest.mark.parametrize("kind", ["--no-nanny", "--nanny"])
def test_a_worker_of_a_cluster_that_is_stopped_is_given_up_and_does_nothing_twice(
    scheduler: tuple[subprocess.Popen[bytes], Path, Callable[..., Any]], tmp_path: Path, kind: str
) -> None:
    _, file, worker = scheduler
    losses = []
    with as_engine(f"dask://{file}", stall_seconds=2) as engine:
        worker(kind)
        engine.on_loss = lambda *loss: losses.append(loss)
        engine._client.wait_for_workers(2, timeout=30)
        lanes = [Lane(number, tmp_path) for number in range(2)]
        futures = [engine.submit(tasks.stop_and_say_who_once, lane) for lane in lanes]
        assert [future.result(timeout=90) for future in futures] == [0, 1]
        stopped = int((tmp_path / "stopped").read_text())
        with suppress(ProcessLookupError):  # a nanny has killed it
            os.kill(stopped, signal.SIGCONT)
        # What comes late from it is nobody's: other calls and their order are not disturbed.
        assert list(engine.map(tasks.square, range(20))) == [n * n for n in range(20)]
    assert any(name.startswith("lane") and loss == 1 for name, _, loss in losses)
    assert all("gave no sign of life for 2 s and was given up" in why for _, why, _ in losses)


@pytest.mark.parametrize("address", ["192.0.2.1:8786", "example.invalid:8786"])
def test_an_address_of_another_host_is_spoken_to_with_encryption_only(address: str) -> None:
    from manymill.engine.dask_client import address_of

    assert address_of(f"dask://{address}") == f"tls://{address}"
    assert address_of("dask://127.0.0.1:8786") == "tcp://127.0.0.1:8786"


def test_a_scheduler_file_of_another_host_in_the_clear_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("distributed")
    file = tmp_path / "cluster.json"
    file.write_text('{"address": "tcp://192.0.2.1:8786"}')
    with pytest.raises(EngineError, match="speaks without encryption"):
        as_engine(f"dask://{file}")


def test_a_worker_that_died_while_it_had_nothing_to_do_is_told_with_its_signal() -> None:
    lost: list[str] = []
    with ProcessEngine(1) as engine:
        engine.on_loss = lambda name, why, death: lost.append(why)
        worker = engine.submit(os.getpid).result()
        os.kill(worker, signal.SIGKILL)
        with suppress(ChildProcessError):  # whoever started it has buried it
            os.waitid(os.P_PID, worker, os.WEXITED | os.WNOWAIT)
        assert engine.submit(os.getpid).result() != worker
    assert lost == ["its worker died before it began (SIGKILL(-9))"]


SIGNALLED = """
import os, signal, sys, threading
import psutil
from manymill.engine.selection import as_engine

me, over, seen = psutil.Process(), threading.Event(), set()

def signal_all():
    while not over.wait(0.002):
        for child in me.children():
            seen.add(child.pid)
            for number in (signal.SIGINT, signal.SIGHUP):
                try:
                    os.kill(child.pid, number)
                except ProcessLookupError:
                    pass

thread = threading.Thread(target=signal_all, daemon=True)
thread.start()
losses = []
with as_engine("processes:2") as engine:
    engine.on_loss = lambda *loss: losses.append(loss)
    assert list(engine.map(abs, [-1, -2, -3])) == [1, 2, 3]
    alive = {child.pid for child in me.children()}
over.set()
thread.join()
assert not losses, losses
assert seen == alive, "workers, and what keeps track of their semaphores, are those of the beginning"
"""


def test_signals_for_the_driver_end_nothing_that_it_has_started_from_its_first_moment_on() -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", SIGNALLED], env=environment, capture_output=True, text=True, timeout=120
    )
    assert (done.returncode, done.stderr) == (0, "")
