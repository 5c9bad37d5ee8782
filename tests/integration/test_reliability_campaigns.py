"""A slice of each campaign of `benches/reliability`: the same programs, with few tries that a seed draws."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HARNESS = Path(__file__).parents[2] / "benches" / "reliability"

needs_linux = pytest.mark.skipif(
    sys.platform != "linux" or shutil.which("cc") is None, reason="the shim needs Linux and a C compiler"
)


def campaign(program, tally, *options):
    """Run a campaign; gives its tally and what it printed."""
    command = [sys.executable, str(HARNESS / program), "--json", str(tally), "--jobs", "2", *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert tally.exists(), done.stdout + done.stderr
    return json.loads(tally.read_text()), done.stdout + done.stderr


@needs_linux
def test_commands_that_fail_or_are_killed_at_the_nth_call_leave_nothing_half_done(tmp_path):
    tally, printed = campaign("torture.py", tmp_path / "tally.json", "--sample", "4")
    assert tally["total"]["hits"] > 30
    assert not tally["failures"], printed


@needs_linux
def test_commands_killed_at_random_moments_end_with_the_same_bytes(tmp_path):
    commands = ["train", "train --lanes", "predict", "hash", "search", "train --model forest"]
    options = ["--driver-kills", "12", "--worker-kills", "0", "--commands", *commands]
    tally, printed = campaign("chaos.py", tmp_path / "tally.json", *options)
    assert tally["total"]["driver kills"] >= 12
    assert not tally["failures"], printed


@needs_linux
def test_no_damaged_file_is_believed(tmp_path):
    tally, printed = campaign("damage.py", tmp_path / "tally.json", "--tries", "12")
    assert tally["total"]["tries"] > 250
    assert not tally["total"]["failures"], printed
