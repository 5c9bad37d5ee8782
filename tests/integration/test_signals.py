"""What becomes of a command that is asked to stop: once, in a burst, or because its terminal is gone."""

import gzip
import json
import os
import pty
import signal
import subprocess
import sys
import time

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from manymill import TextClassifier
from manymill.forest.saving import load_forest

MANYMILL = [sys.executable, "-c", "from manymill.cli import main; main()"]
LINEAR = ["--passes", 300, "--patience", 300, "--n-features", 2**18]
LANES = [*LINEAR, "--lanes", 4, "--rounds", 2]


@pytest.fixture(scope="module", autouse=True)
def a_terminal_that_counts():
    """Who runs the tests may ignore the end of a terminal, as nohup has it, and children inherit that."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


def start(*arguments, **options):
    return subprocess.Popen([*MANYMILL, *map(str, arguments)], stdin=subprocess.DEVNULL, text=True, **options)


def wait_for_line(process, stream, word):
    """Until the process has said a word; it must live."""
    for line in stream:
        if word in line:
            return
    pytest.fail(f"{word!r} was not said: {process.wait(30)}")


def press_again_and_again(process, number=signal.SIGINT):
    """Every 50 ms until it has ended, for two seconds at most: what it saves meanwhile is hit at any moment."""
    end = time.monotonic() + 2
    while process.poll() is None and time.monotonic() < end:
        process.send_signal(number)
        time.sleep(0.05)
    return process.wait(60)


@pytest.fixture
def rows(write, languages):
    return write("many.jsonl", languages * 20)


@pytest.mark.parametrize(
    "options",
    [LINEAR, [*LANES, "--engine", "2"], [*LANES, "--engine", "processes:2"]],
    ids=["one lane", "threads", "processes"],
)
def test_ctrl_c_that_is_pressed_again_and_again_keeps_what_was_learnt(tmp_path, rows, options):
    out = tmp_path / "run"
    with start("train", rows, "--out", out, "--json", *options, stdout=subprocess.PIPE) as process:
        lanes = "--lanes" in options
        wait_for_line(process, process.stdout, '"RoundEnded"' if lanes else '"PassEnded"')
        assert press_again_and_again(process) == 130
    assert len(TextClassifier.load(out / "model").classes_) == 45


def test_ctrl_c_that_is_pressed_again_and_again_while_resuming_keeps_what_was_learnt(tmp_path, rows):
    out = tmp_path / "run"
    with start("train", rows, "--out", out, "--json", *LINEAR, stdout=subprocess.PIPE) as process:
        wait_for_line(process, process.stdout, '"PassEnded"')
        process.kill()
    with start("resume", out, "--json", stdout=subprocess.PIPE) as process:
        wait_for_line(process, process.stdout, '"PassEnded"')
        assert press_again_and_again(process) == 130
    assert len(TextClassifier.load(out / "model").classes_) == 45


def test_ctrl_c_that_is_pressed_again_and_again_keeps_the_trees_that_are_grown(tmp_path):
    random = np.random.default_rng(0)
    X = random.standard_normal((20_000, 10))
    columns = {f"x{i}": X[:, i] for i in range(10)} | {"label": np.where(X[:, 0] > X[:, 1], "a", "b")}
    pq.write_table(pa.table(columns), tmp_path / "rows.parquet")
    arguments = ["--model", "forest", "--label", "label", "--trees", 5000, "--threads", 2, "--json"]
    out = tmp_path / "run"
    with start(
        "train", tmp_path / "rows.parquet", "--out", out, *arguments, stdout=subprocess.PIPE
    ) as process:
        wait_for_line(process, process.stdout, '"TreeGrown", "tree": 1,')
        assert press_again_and_again(process) == 130
    assert len(load_forest(out / "model")) >= 1


def test_a_search_that_is_stopped_again_and_again_ends_with_its_ranking(tmp_path, write, languages):
    source, out = write("rows.jsonl", languages[:3000]), tmp_path / "run"
    with start(
        "search", source, "--out", out, "--n-trials", 500, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        journal = out / "search.jsonl"
        deadline = time.monotonic() + 60
        while not (journal.exists() and '"Evaluated"' in journal.read_text()):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert press_again_and_again(process) == 130


def test_ctrl_c_while_a_bomb_is_sampled_ends_the_command(tmp_path):
    path = tmp_path / "bomb.jsonl.gz"
    zeros = gzip.compress(bytes(100 << 20), 1)
    with path.open("wb") as file:
        file.writelines([zeros] * 2000)  # 200 GB of one record, and no row before it
    with start("plan", path, "--max-record", "1MiB", stderr=subprocess.PIPE) as process:
        wait_for_line(process, process.stderr, "MB of")
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130


def test_a_terminal_that_is_closed_stops_a_training_like_ctrl_c(tmp_path, rows):
    out = tmp_path / "run"
    main, terminal = pty.openpty()
    options = {"stdout": terminal, "stderr": terminal, "start_new_session": True}
    # The session has its own terminal: the process receives a signal when it closes.
    take = f"import fcntl, termios; fcntl.ioctl({terminal}, termios.TIOCSCTTY, 0); "
    command = [sys.executable, "-c", take + MANYMILL[-1], "train", str(rows), "--out", str(out)]
    with subprocess.Popen(
        [*command, *map(str, LINEAR)], stdin=subprocess.DEVNULL, pass_fds=[terminal], **options
    ) as process:
        os.close(terminal)
        seen = b""
        while b"accuracy" not in seen:
            seen = seen[-200:] + os.read(main, 1000)
        os.close(main)
        assert process.wait(60) == 130
    assert len(TextClassifier.load(out / "model").classes_) == 45


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM])
def test_a_system_that_asks_again_and_again_gets_an_orderly_stop(tmp_path, rows, number):
    out = tmp_path / "run"
    with start("train", rows, "--out", out, "--json", *LINEAR, stdout=subprocess.PIPE) as process:
        wait_for_line(process, process.stdout, '"PassEnded"')
        assert press_again_and_again(process, number) == 130
    assert len(TextClassifier.load(out / "model").classes_) == 45
    events = (out / "events.jsonl").read_text().splitlines()
    assert any(json.loads(line)["event"] == "Interrupted" for line in events)


def test_what_nohup_has_ignored_stays_ignored(tmp_path, write, languages):
    source, out = write("rows.jsonl", languages), tmp_path / "run"
    with start(
        "train", source, "--out", out, "--json", "--n-features", 4096, "--passes", 2, "--lanes", 2,
        "--engine", "processes:1", stdout=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN),
    ) as process:  # fmt: skip
        wait_for_line(process, process.stdout, '"RoundEnded"')
        process.send_signal(signal.SIGHUP)
        process.stdout.read()
        assert process.wait(60) == 0


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    lines = [{"text": f"w{i} film", "label": ("good", "bad")[i % 2]} for i in range(200)]
    (folder / "rows.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    with start("train", folder / "rows.jsonl", "--out", folder / "run", "--n-features", 64) as process:
        assert process.wait(60) == 0
    return folder / "run"


@pytest.mark.parametrize(
    "command", ["predict RUN -", "evaluate RUN -", "hash - --out OUT", "plan -", "train -"]
)
def test_commands_that_wait_for_their_input_end_at_once_however_often_they_are_stopped(
    tmp_path, trained, command
):
    arguments = command.replace("RUN", str(trained)).replace("OUT", str(tmp_path / "matrix.npz")).split()
    process = subprocess.Popen(
        [*MANYMILL, *arguments], cwd=tmp_path, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
    )  # fmt: skip
    with process:
        # More than a pipe holds: when all is written, it reads.
        process.stdin.write((json.dumps({"text": "a film", "label": "good"}) + "\n") * 10_000)
        process.stdin.flush()
        assert press_again_and_again(process) == 130
        assert "Traceback" not in process.stderr.read()
