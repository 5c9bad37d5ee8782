import io
import json
from dataclasses import replace

import pytest

from manymill.cli.progress import PLAIN_SECONDS, LaneRow, describe, follow
from manymill.events import (
    ClassesFound,
    Ended,
    Interrupted,
    LaneEnded,
    ModelSaved,
    PassEnded,
    Planned,
    Progress,
    Resumed,
    RoundEnded,
    Warned,
    WorkerLost,
    WorkerSilent,
)

PROGRESS = Progress(2, 3, 0.25, 1000, 12.4, 45_678.0, 0.1234, 0.9, None, 120_000_000, 3725.0)
PASS = PassEnded(1, 5000, 3, 0.5, 0.8, 100, 0.4, 0.9, True, 2.0)


@pytest.fixture
def shown(capsys):
    """What an observer prints of events: stdout, stderr."""

    def show(*events, json=False):
        with follow(json=json) as observe:
            for event in events:
                observe(event)
        return capsys.readouterr()

    return show


def test_records_go_to_stdout_one_a_line(shown):
    output, messages = shown(PROGRESS, PASS, json=True)
    assert [json.loads(line)["event"] for line in output.splitlines()] == ["Progress", "PassEnded"]
    assert messages == ""


def test_a_log_has_a_line_of_progress_now_and_then_only(shown, monkeypatch):
    now = [0.0]
    monkeypatch.setattr("manymill.cli.progress.time.monotonic", lambda: now[0])
    with follow(json=False) as observe:
        for now[0] in (1.0, PLAIN_SECONDS, PLAIN_SECONDS + 1):
            observe(PROGRESS)
    output, messages = shown()
    assert output == ""
    assert messages == "pass 2   25 %  12 MB/s  accuracy 0.900  loss 0.123  120 MB  1:02:05 left\n"


@pytest.mark.parametrize("held", [None, 1.0])
def test_a_line_of_progress_fits_80_columns(shown, monkeypatch, held):
    monkeypatch.setattr("manymill.cli.progress.PLAIN_SECONDS", 0.0)
    wide = Progress(10, 10, 1.0, 10**9, 999.0, 1e7, 10.0, 1.0, held, 99_999 * 10**6, 35_999.0)
    assert len(shown(wide).err.rstrip("\n")) <= 80


def test_the_accuracy_on_held_out_rows_is_shown_once_it_is_known(shown, monkeypatch):
    monkeypatch.setattr("manymill.cli.progress.PLAIN_SECONDS", 0.0)
    assert "held-out 0.875" in shown(replace(PROGRESS, holdout_accuracy=0.875)).err


def test_on_a_terminal_lines_stand_above_a_bar(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setenv("COLUMNS", "80")
    with follow(json=False) as observe:
        for event in (PROGRESS, Warned("[bold]careful"), PASS):
            observe(event)
    assert "1:02:05 left" in terminal.getvalue()
    assert "[bold]careful" in terminal.getvalue()
    assert "pass 1" in terminal.getvalue()


@pytest.mark.parametrize(
    ("event", "line"),
    [
        (Warned("careful"), "warning careful"),
        (ClassesFound(tuple("abcdef"), 9), "classes 6 new: a, b, c, d, e, ...; 9 now"),
        (Interrupted(2, True), "stopping: the current state is saved"),
        (Interrupted(2, False), "stopping"),
        (ModelSaved("run/model", 1), None),
        (Ended(1, 1, 1, 0, 2, None, 1.0, 1), None),
        (
            PASS,
            "pass 1  5,000 rows  loss 0.5000  accuracy 0.8000 in training  "
            "held-out 0.9000 of 100 rows  2.0 s  saved",
        ),
    ],
    ids=lambda value: type(value).__name__,
)
def test_an_event_is_a_line_or_none(event, line):
    assert describe(event) == line


ROUND = RoundEnded(2, 3, 8, "damped", 1.0, 1000, 0.3, 0.9, 12_000_000, 850_000, 1.2)


def test_a_round_is_a_line_with_its_rule_its_accuracy_and_what_travelled():
    line = "pass 2  round 3 of 8  merged by damped  held-out 0.9000  12 MB out, 850 kB back so far  1.2 s"
    assert describe(ROUND) == line
    alone = replace(ROUND, rule="mass", step=0.5, holdout_accuracy=None, bytes_out=0, bytes_back=0)
    assert describe(alone) == "pass 2  round 3 of 8  merged by mass x 0.5  1.2 s"


def test_a_lost_worker_and_a_resumed_run_are_told():
    lost = WorkerLost("lane 3 in round 1 of pass 2", "its worker died (SIGKILL(-9))", 1)
    assert describe(lost) == (
        "warning lane 3 in round 1 of pass 2: its worker died (SIGKILL(-9)); trying again (loss 1 of 3)"
    )
    starting = WorkerLost("lane 3", "its worker died before it began (SIGKILL(-9))", 0)
    assert describe(starting) == (
        "warning lane 3: its worker died before it began (SIGKILL(-9)); starting another worker"
    )
    silent = WorkerSilent("lane 3", "process 1234", 10.2)
    assert describe(silent) == "warning lane 3: no sign of life from its worker (process 1234) for 10 s"
    assert describe(Resumed(2, 1)) == "resumed pass 2"
    assert describe(Resumed(2, 4)) == "resumed pass 2, step 4"


def test_every_lane_of_a_round_has_a_sign():
    row = LaneRow()
    assert row.after(LaneEnded(1, 1, 2, 4, 10, 0.5, 0.1)) == (0.25, "-#--  1/4 of round 1, loss 0.500")
    assert row.after(LaneEnded(1, 1, 4, 4, 10, 0.4, 0.1))[1].startswith("-#-#")
    assert row.after(LaneEnded(1, 2, 1, 4, 10, 0.4, 0.1))[1].startswith("#---  1/4 of round 2")


def test_many_lanes_share_signs():
    row = LaneRow()
    for lane in range(1, 65):
        share, figures = row.after(LaneEnded(1, 1, lane, 128, 10, 0.5, 0.1))
    assert share == 0.5
    assert figures.split()[0] == "#" * 16 + "-" * 16


def test_text_from_data_begins_no_line_of_its_own():
    forged = "a\nsaved   /model"
    planned = Planned(1, 10, 10, True, forged, forged, 2, (forged,))
    assert describe(Warned(f"bad row in {forged}")) == "warning bad row in a\\nsaved   /model"
    assert len(describe(planned).splitlines()) == 2
