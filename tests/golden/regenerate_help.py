"""Write the help of every command anew: ``python tests/golden/regenerate_help.py``."""

from pathlib import Path

from click.testing import CliRunner

from manymill.cli.app import app

if __name__ == "__main__":
    for name in ["", *sorted(app.commands)]:
        result = CliRunner().invoke(app, [*name.split(), "--help"], prog_name="manymill", terminal_width=100)
        path = Path(__file__).parent / "help" / f"{name or 'manymill'}.txt"
        path.write_text(result.output, encoding="utf-8")
