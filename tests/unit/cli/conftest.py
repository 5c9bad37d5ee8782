"""The command line as a fixture."""

import sys

import pytest

from manymill.cli import main


@pytest.fixture
def manymill(monkeypatch, capfd):
    """The command line in this process: exit code, stdout, stderr."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["manymill", *map(str, arguments)])
        monkeypatch.setattr("signal.signal", lambda *args: None)
        with pytest.raises(SystemExit) as exit:
            main()
        return (exit.value.code or 0, *capfd.readouterr())

    return run
