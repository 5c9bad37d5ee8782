"""What becomes of an engine, and of its workers, when something goes wrong."""

import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import CancelledError, ProcessPoolExecutor
from contextlib import suppress
from pathlib import Path

import numpy as np
import psutil
import pytest

from contract import engine_tasks as tasks
from contract.engine_tasks import Lane
from manymill.engine.choosing import as_engine
from manymill.engine.processes import ProcessEngine
from manymill.errors import EngineError

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="signals as Linux has them")

DRIVER = """
import sys
from pathlib import Path
from contract.engine_tasks import never_end
from manymill.engine.choosing import as_engine
with as_engine("processes:2") as engine:
    list(engine.map(never_end, [Path("0.pid"), Path("1.pid")]))
"""


def written(paths: list[Path]) -> None:
    """Wait until the workers have said which processes they are."""
    import time

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
    _, told = process.communicate(timeout=10)
    assert not psutil.wait_procs(workers, timeout=5)[1]
    assert told.count("Traceback") == 1
    assert told.rstrip().endswith("KeyboardInterrupt")


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


def test_a_worker_that_hangs_is_killed_and_its_item_done_again(tmp_path: Path) -> None:
    losses = []
    with ProcessEngine(1, stall_seconds=3.0) as engine:
        engine.on_loss = lambda *loss: losses.append(loss)
        assert list(engine.map(tasks.stop_once, [Lane(0, tmp_path), Lane(1)][:1])) == [0]
    assert losses == [("lane 0", "its worker gave no answer for 3 s and was killed", 1)]


def test_a_worker_that_is_killed_in_the_middle_of_a_result_is_not_waited_for(tmp_path: Path) -> None:
    losses = []
    with as_engine("processes:1") as engine:
        engine.on_loss = lambda *loss: losses.append(loss)
        assert engine.submit(tasks.die_in_mid_result_once, Lane(3, tmp_path)).result(timeout=30) == 3
    assert losses == [("lane 3", "its worker died (SIGKILL(-9))", 1)]


def test_a_loss_is_logged_with_its_signal(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with as_engine("processes:1") as engine:
        assert engine.submit(tasks.die_once, Lane(0, tmp_path)).result() == 0
    assert caplog.messages == ["lane 0: its worker died (SIGKILL(-9)); it is tried again (loss 1 of 3)"]


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
def scheduler(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    """A scheduler and one worker, as processes of their own, with the file that tells where they are."""
    pytest.importorskip("distributed")
    file = tmp_path / "cluster.json"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    common = ["--host", "127.0.0.1", "--no-dashboard", "--scheduler-file", str(file)]

    def start(kind: str, *more: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "distributed.cli.dask_" + kind, *common, *more]
        return subprocess.Popen(
            command, env=environment, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL, cwd=tmp_path
        )

    with start("scheduler", "--port", "0") as process:
        written([file])
        with start("worker", "--nthreads", "1", "--no-nanny", "--death-timeout", "10") as worker:
            yield process, file
            process.kill()
            worker.kill()


def test_a_scheduler_file_leads_to_the_cluster_and_its_death_is_told(
    scheduler: tuple[subprocess.Popen[bytes], Path], tmp_path: Path
) -> None:
    process, file = scheduler
    with as_engine(f"dask://{file}") as engine:
        assert engine.submit(tasks.square, 3).result() == 9
        future = engine.submit(tasks.never_end, tmp_path / "begun")
        written([tmp_path / "begun"])
        process.kill()
        with pytest.raises(EngineError, match="scheduler lost the work on"):
            future.result(timeout=30)


@pytest.mark.parametrize("address", ["192.0.2.1:8786", "example.invalid:8786"])
def test_an_address_of_another_host_is_spoken_to_with_encryption_only(address: str) -> None:
    from manymill.engine.connecting import address_of

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
    assert len(lost) == 1
    assert "SIGKILL" in lost[0]
