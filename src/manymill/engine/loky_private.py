"""Access to the parts of loky that its API does not cover; no other module uses them.

Tested with loky 3.4.0, 3.5.6 and 3.7.0.
"""

from __future__ import annotations

import sys
from typing import Any


def close_result_writer(pool: Any) -> None:
    """Close the driver's copy of the writing end of a pool's result pipe.

    With it open, a worker that is killed while it sends a result leaves the driver waiting for the rest: the pipe
    still has a writer.
    """
    pool._result_queue._writer.close()


def worker_process(pool: Any) -> Any:
    """Return the process of a pool of one worker; None if it has ended."""
    return next(iter(pool._processes.values()), None)


def exit_codes(error: BaseException) -> str | None:
    """Return the exit codes that the error of a broken pool reports, such as ``EXIT(1)``; None if it reports none."""
    _, found, rest = str(error).partition("{")
    return rest.partition("}")[0] if found else None


def start_resource_tracker() -> None:
    """Start the process that loky's pools share, unless it runs already."""
    from loky.backend import resource_tracker

    resource_tracker.ensure_running()


def disable_restarts_on_growth() -> None:
    """Do not restart this worker when its memory grows by 300 MB: our workers cache data on purpose."""
    from loky import process_executor

    process_executor._MAX_MEMORY_LEAK_SIZE = sys.maxsize
