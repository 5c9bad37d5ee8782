"""How far a search is, in numbers that add up."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a search is.

    Attributes
    ----------
    pending, running, done, failed, cancelled : int
        Tasks; they add up to `total`, which is 0 while data is prepared.
    n_candidates : int
        Proposed so far.
    seconds : float
        Since the start.
    ended : str
        Why it is over; empty while it is not.
    """

    pending: int
    running: int
    done: int
    failed: int
    cancelled: int
    total: int
    n_candidates: int
    seconds: float
    ended: str

    def __str__(self) -> str:
        if not self.total and not self.ended:
            return f"Progress: preparing the data; {self.seconds:,.1f} s"
        finished = self.total - self.pending - self.running
        share = finished / self.total if self.total else 1.0
        state = self.ended or f"{self.running} running, {self.pending} pending"
        return (
            f"Progress: {share:4.0%} ({finished:,}/{self.total:,}), {self.done:,} done, {self.failed:,} failed, "
            f"{self.cancelled:,} cancelled; {state}; {self.seconds:,.1f} s"
        )
