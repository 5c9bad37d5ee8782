"""Parts that stay on a worker of a cluster, and what is done with them there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from manymill.engine import calls


@dataclass(frozen=True, slots=True)
class Kept:
    """What stays on a worker: a part, and the reply that says what became of it."""

    reply: calls.Reply
    part: Any


def keep(payload: bytes, *, published: Mapping[str, bytes]) -> Kept:
    """The part of an item, kept where it was made."""
    parts = []

    def take(value: tuple[Any, Any]) -> tuple[Any, bool]:
        report, part = value
        parts.append(part)
        return report, part is not None

    reply = calls.perform(payload, take=take, published=published)
    return Kept(reply, parts[0] if parts else None)


def combine(payload: bytes, *kept: Kept) -> Kept:
    """One part of several; the first failure passes as it is."""
    failed = next((one for one in kept if one.reply.error is not None), None)
    if failed is not None:
        return failed
    parts: list[Any] = []
    reply = calls.perform(payload, [one.part for one in kept], take=parts.append)
    return Kept(reply, parts[0] if parts else None)


def reply_of(kept: Kept) -> calls.Reply:
    """What is brought back of an item that was kept."""
    return kept.reply


def bring(kept: Kept) -> calls.Reply:
    """The part itself."""
    return kept.reply if kept.reply.error is not None else calls.Reply(calls.packed(kept.part))
