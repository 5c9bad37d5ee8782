"""`manymill plan`: what a training would read, need and take; nothing is trained."""

from __future__ import annotations

from manymill.cli import options
from manymill.cli.request import Request, takes_request


@takes_request
def plan(request: Request, json: options.Json = False) -> None:
    """Show what would be read, the classes, memory and time; nothing is trained."""
    import json as json_format
    import sys

    from manymill.linear.forecast import forecast

    result = forecast(request.dataset, request.settings, threads=request.threads, memory=request.memory)
    text = json_format.dumps(result.to_json(), indent=1, ensure_ascii=False) if json else result.to_text()
    sys.stdout.write(text + "\n")
    if result.refusal is not None:
        raise result.refusal
