"""Command line: one module per command, without logic of its own; commands import heavy modules when they run.

stdout is for data, stderr for progress and messages. Exit codes: 0 success, 1 failure, 2 invalid usage, 130 stopped by
Ctrl-C, 141 the reader of the output closed it.

This module is the entry point: it handles Ctrl-C first and imports everything else afterwards.
"""

from __future__ import annotations

import os
import sys


def main() -> None:
    """Run the command line and exit."""
    try:
        # SIGTERM and a closed terminal are handled like Ctrl-C: the model learnt so far is saved.
        from manymill.engine import interrupts

        interrupts.install_handlers()
    except KeyboardInterrupt:
        sys.exit(_stopped())
    try:
        # No command multiplies matrices: the threads of NumPy's OpenBLAS would only spin for 20 ms.
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
        code = _run()
        interrupts.finish()
    except KeyboardInterrupt:
        interrupts.finish()
        code = _stopped()
    except Exception as error:
        # During imports an interruption may raise any error.
        if not interrupts.stop_requested():
            raise
        interrupts.finish()
        code = _stopped(f" by {error!r}")
    sys.exit(code)


def _run() -> int:
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115 - open until the process ends
    if sys.stdin is None:
        sys.stdin = open(os.devnull)  # noqa: SIM115
    if sys.stdout is None:
        print("error: the standard output is closed", file=sys.stderr)
        print("hint:  redirect it to /dev/null to discard the output", file=sys.stderr)
        return 1
    from manymill.cli.app import run

    return run(sys.argv[1:])


def _stopped(details: str = "") -> int:
    from contextlib import suppress  # not at the start: see above

    with suppress(OSError, AttributeError):  # stderr may be full, closed or missing
        print(f"stopped{details}", file=sys.stderr, flush=True)
    return 130
