"""The command line exits cleanly when its output is full, closed or gone, and when it is stopped early."""

import json
import os
import re
import signal
import subprocess
import sys

import numpy as np
import pytest

from manymill.hash_form import word_form
from manymill.model import Analyzer, ModelDescription, save_model

MANYMILL = [sys.executable, "-m", "manymill"]
FULL = pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no /dev/full")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with ``rows.jsonl`` and a model in ``run``."""
    folder = tmp_path_factory.mktemp("ends")
    lines = [{"text": f"w{i} film", "label": ("good", "bad")[i % 2]} for i in range(200)]
    (folder / "rows.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    analyzer = Analyzer(**vars(word_form()), value="log", norm="l2", n_features=64)
    description = ModelDescription(classes=("bad", "good"), loss="log", analyzer=analyzer, facts={})
    save_model(folder / "run" / "model", description, np.ones((64, 1), "f4"), np.zeros(1, "f4"))
    return folder


@pytest.fixture
def shell(folder):
    """A line of a shell in that folder: the exit code of `manymill`, and its messages."""

    def run(line, piped_to="cat"):
        script = (
            f'manymill() {{ {" ".join(MANYMILL)} "$@"; }}; ({line}) | {piped_to}; exit ${{PIPESTATUS[0]}}'
        )
        done = subprocess.run(["bash", "-c", script], cwd=folder, capture_output=True, text=True)
        return done.returncode, done.stderr

    return run


COMMANDS = [
    "manymill predict run rows.jsonl",
    "manymill evaluate run rows.jsonl",
    "manymill plan rows.jsonl --n-features 64",
    "manymill train rows.jsonl --n-features 64 --passes 1 --out new --json",
    "manymill --help",
]


@FULL
@pytest.mark.parametrize("command", COMMANDS)
def test_a_full_disk_behind_the_output_is_one_line_and_code_1(shell, command):
    code, messages = shell(f"{command} > /dev/full")
    assert code == 1
    assert messages.splitlines()[-1] == "error: cannot write the output: No space left on device"
    assert "Traceback" not in messages


@pytest.mark.parametrize("command", COMMANDS)
def test_a_closed_output_is_an_error_and_code_1(shell, command):
    code, messages = shell(f"{command} >&-")
    assert (code, messages.splitlines()[0]) == (1, "error: the standard output is closed")


def test_closed_messages_do_not_go_into_the_output(shell):
    assert shell("manymill train rows.jsonl --n-features 64 --out new 2>&-", "cmp - /dev/null") == (0, "")


@pytest.mark.parametrize("command", [COMMANDS[0], COMMANDS[1], f"{COMMANDS[3]} 2>&1", COMMANDS[4]])
def test_a_reader_that_has_gone_is_code_141_and_no_error(shell, command):
    code, messages = shell(command, "exec 0<&-")
    assert code == 141
    assert not re.search("Traceback|error|Broken", messages)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_while_modules_are_loaded_is_code_130(tmp_path, number):
    # A module of the command line that takes long to load, as on a cold disk.
    script = f"""
import os, sys
class Slow:
    def find_spec(self, name, path=None, target=None):
        if name == "manymill.cli.app":
            os.kill(os.getpid(), {int(number)})
sys.meta_path.insert(0, Slow())
from manymill.cli import main
main()
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (130, "stopped\n")


def test_the_module_is_the_command_line(shell):
    assert shell("manymill --version", "grep -q '^manymill '") == (0, "")


def test_without_a_command_the_help_is_shown_and_it_is_misuse(shell):
    code, messages = shell("manymill")
    assert code == 2
    assert messages.startswith("Usage: manymill")
    assert messages.count("Usage") == 1
    assert "Error" not in messages


@FULL
def test_messages_that_cannot_be_written_do_not_change_the_code(shell):
    assert shell("manymill train 2> /dev/full")[0] == 2
    assert shell("manymill plan missing.jsonl 2> /dev/full")[0] == 1
