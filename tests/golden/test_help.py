"""What the commands say of themselves: whoever changes an option sees here how it reads."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from manymill.cli.app import app

HELP = Path(__file__).parent / "help"


def squeezed(text):
    """Without line breaks and spaces, which differ between releases of click."""
    return " ".join(text.split())


@pytest.mark.parametrize("name", ["", *sorted(app.commands)], ids=lambda name: name or "manymill")
def test_the_help_of_a_command_is_the_golden_one(name):
    result = CliRunner().invoke(app, [*name.split(), "--help"], prog_name="manymill", terminal_width=100)
    assert result.exit_code == 0
    assert squeezed(result.output) == squeezed(
        (HELP / f"{name or 'manymill'}.txt").read_text(encoding="utf-8")
    )


def test_every_golden_help_belongs_to_a_command():
    assert {path.stem for path in HELP.iterdir()} == {"manymill", *app.commands}
