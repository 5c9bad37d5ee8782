"""The running figures of a pass: what progress shows."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import Protocol

from manymill.events import PassEnded, Progress
from manymill.linear.holdout import Measured
from manymill.linear.memory import resident_bytes

# Between two records of progress.
PROGRESS_SECONDS = 0.5


class Stats(Protocol):
    """What learning some rows saw: see ``LearnStats`` of the core."""

    @property
    def n_rows(self) -> int:
        """Rows learnt from."""

    @property
    def weight_sum(self) -> float:
        """The sum of their weights."""

    @property
    def loss_sum(self) -> float:
        """The sum of weight times loss."""

    @property
    def n_correct(self) -> int:
        """Rows whose class was predicted."""


class Tally:
    """Rows, loss and time of one pass.

    Parameters
    ----------
    number, passes : int
        This pass, from 1, and how many there will be at most.
    source_bytes : int
        What a pass reads.
    """

    def __init__(self, number: int, passes: int, source_bytes: int) -> None:
        self.number, self._passes, self._source_bytes = number, passes, source_bytes
        self._start = self._shown = time.monotonic()
        self.n_rows, self._n_correct, self._loss, self._weight = 0, 0, 0.0, 0.0
        self._recent = (0, 0, 0.0, 0.0)

    def add(self, stats: Stats) -> None:
        """Count what was learnt."""
        self.n_rows += stats.n_rows
        self._n_correct += stats.n_correct
        self._loss += stats.loss_sum
        self._weight += stats.weight_sum

    def count_again(self, figures: Sequence[float], stats: Iterable[Stats]) -> None:
        """Count what was learnt since the figures in this order: in another the last bits of the sums differ."""
        n_rows, n_correct, self._loss, self._weight = figures
        self.n_rows, self._n_correct = int(n_rows), int(n_correct)
        for each in stats:
            self.add(each)

    def figures(self) -> tuple[float, ...]:
        """The sums so far, for a checkpoint."""
        return self._now()

    def restore(self, figures: Sequence[float]) -> None:
        """Go on from the sums of a checkpoint."""
        n_rows, n_correct, self._loss, self._weight = figures
        self.n_rows, self._n_correct = int(n_rows), int(n_correct)
        self._recent = self._now()

    def _now(self) -> tuple[int, int, float, float]:
        return self.n_rows, self._n_correct, self._loss, self._weight

    def is_due(self) -> bool:
        """Whether the last record of progress is old enough for another."""
        return time.monotonic() - self._shown >= PROGRESS_SECONDS

    def progress(self, share: float, holdout_accuracy: float | None) -> Progress:
        """A record of progress; ``share`` of the pass is over."""
        now = time.monotonic()
        seconds = now - self._start
        rows, correct, loss, weight = (a - b for a, b in zip(self._now(), self._recent, strict=True))
        self._recent, self._shown = self._now(), now
        return Progress(
            pass_number=self.number,
            passes=self._passes,
            share=share,
            n_rows=self.n_rows,
            megabytes_per_second=share * self._source_bytes / 1e6 / seconds,
            rows_per_second=self.n_rows / seconds,
            loss=loss / weight if weight else 0.0,
            accuracy=correct / rows if rows else 0.0,
            holdout_accuracy=holdout_accuracy,
            memory_bytes=resident_bytes(),
            eta_seconds=seconds / max(share, 1e-9) * (self._passes - self.number + 1) - seconds,
        )

    def ended(self, n_bad: int, measured: Measured, *, kept: bool) -> PassEnded:
        """The record of the whole pass."""
        return PassEnded(
            pass_number=self.number,
            n_rows=self.n_rows,
            n_bad=n_bad,
            loss=self._loss / self._weight if self._weight else 0.0,
            accuracy=self._n_correct / self.n_rows if self.n_rows else 0.0,
            holdout_rows=measured.n_rows,
            holdout_loss=measured.loss,
            holdout_accuracy=measured.accuracy,
            kept=kept,
            seconds=time.monotonic() - self._start,
        )
