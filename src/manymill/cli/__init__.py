"""The command line: one file a command, no logic. Heavy imports are inside the commands.

stdout is data, stderr is progress and messages. Exit codes: 0 done, 1 failed, 2 misuse, 130 stopped by Ctrl-C, 141 the
reader of the output went away.

This file is what starts: it imports next to nothing before it listens to Ctrl-C, and everything else after.
"""

from __future__ import annotations

import os
import sys


def main() -> None:
    """Run the command line and exit."""
    try:
        # A request of a system to end, or a terminal that is closed, is met like Ctrl-C: what was learnt is kept.
        from manymill.engine import interrupts

        interrupts.install_handlers()
    except KeyboardInterrupt:
        sys.exit(_stopped())
    try:
        # Nothing here multiplies matrices: the threads that NumPy's OpenBLAS starts would only spin for 20 ms.
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
        code = _run()
        interrupts.finish()
    except KeyboardInterrupt:
        interrupts.finish()
        code = _stopped()
    except Exception as error:
        # While modules are being loaded, an interruption may come out as any error.
        if not interrupts.stop_requested():
            raise
        interrupts.finish()
        code = _stopped(f" by {error!r}")
    sys.exit(code)


def _run() -> int:
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115 - for as long as the process lives
    if sys.stdin is None:
        sys.stdin = open(os.devnull)  # noqa: SIM115
    if sys.stdout is None:
        print("error: the standard output is closed", file=sys.stderr)
        print("hint:  send it to /dev/null if it is not wanted", file=sys.stderr)
        return 1
    from manymill.cli.app import run

    return run(sys.argv[1:])


def _stopped(how: str = "") -> int:
    from contextlib import suppress  # not at the start: see above

    with suppress(OSError, AttributeError):  # stderr may be full, gone, or not there
        print(f"stopped{how}", file=sys.stderr, flush=True)
    return 130
