"""A training with a run folder: from a dataset to a saved model, every step recorded."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from manymill.data.dataset import Dataset
from manymill.data.ledger import Ledger
from manymill.data.plan import Plan
from manymill.engine.local import available_threads
from manymill.errors import RunFolderError
from manymill.events import ClassesFound, Event, ModelSaved, Observer, PassEnded, Planned, Warned
from manymill.linear.holdout import Measured
from manymill.linear.memory import check_memory
from manymill.linear.settings import Settings
from manymill.linear.state import LinearState
from manymill.linear.training import Trained, train
from manymill.model import ModelDescription, save_model
from manymill.run_folder import RunFolder


@dataclass(frozen=True, slots=True)
class Run:
    """A finished run."""

    folder: Path
    plan: Plan
    trained: Trained
    ledger: Ledger


def train_run(
    source: Dataset | Plan,
    out: str | os.PathLike[str],
    settings: Settings,
    *,
    threads: int | None = None,
    memory: int | None = None,
    holdout: Dataset | None = None,
    observe: Observer = lambda event: None,
) -> Run:
    """Train on a source and leave a run folder behind.

    The folder's ``model/`` holds the best state so far from the end of the first pass on, so a run that is stopped
    or killed leaves a whole model or the old one. Where nothing is held out, passes that follow each other within ten
    seconds are not saved one by one.

    Parameters
    ----------
    source : Dataset or Plan
        What to read.
    out : path
        The run folder.
    settings : Settings
        How to learn.
    threads : int, optional
        Threads that read and hash; all processors if not given.
    memory : int, optional
        Bytes that the training may take; it is refused beforehand if it would take more.
    holdout : Dataset, optional
        Rows to hold out instead of a share of the source's.
    observe : callable
        Called with every event.

    Raises
    ------
    ManymillError
        See :func:`manymill.linear.training.train`, and ``RunFolderError``.
    """
    threads = threads or available_threads()
    plan = source if isinstance(source, Plan) else source.plan()
    settings = settings.for_classes(len(plan.class_counts))
    held_out = None if holdout is None else holdout.plan()
    need = check_memory(plan, settings, threads=threads, limit=memory)
    with RunFolder(out) as folder:
        known = set(plan.class_counts)

        def record(event: Event) -> None:
            if isinstance(event, ClassesFound):
                known.update(event.names)
            if isinstance(event, PassEnded) and event.pass_number == 1:
                for message in _weights_of_no_class(settings, known):
                    warn(message)
            try:
                folder.record(event)
            except RunFolderError as error:
                # A log is not worth hours of training.
                observe(Warned(f"{error.what}; what happens is no longer recorded"))
            observe(event)

        def warn(message: str) -> None:
            record(Warned(message))

        folder.write_plan(
            {"plan": plan.to_json(), "settings": settings.to_json(), "memory_bytes": need.total}
        )
        record(_planned(plan))
        for warning in plan.warnings:
            warn(warning)

        def keep(state: LinearState, number: int, measured: Measured) -> None:
            save_model(
                folder.model,
                _description(state, settings, plan, number, measured),
                state.weights(),
                state.intercept(),
            )
            record(ModelSaved(str(folder.model), number))

        ledger = Ledger(path=folder.bad_rows, strict=plan.dataset.strict, on_failure=warn)
        trained = train(
            plan, settings, keep=keep, observe=record, threads=threads, ledger=ledger, holdout=held_out
        )
        return Run(folder.path, plan, trained, ledger)


def _weights_of_no_class(settings: Settings, known: set[str]) -> Iterator[str]:
    """A warning if weights were given to labels that no row has: most likely one is misspelt."""
    if isinstance(settings.class_weight, Mapping):
        names = [str(name) for name in settings.class_weight if str(name) not in known]
        if names:
            shown = ", ".join(map(repr, names[:5])) + (", ..." if len(names) > 5 else "")
            yield f"class_weight has weights for labels that no row has: {shown}"


def _planned(plan: Plan) -> Planned:
    return Planned(
        files=len(plan.files),
        source_bytes=plan.source_bytes,
        n_rows=plan.n_rows,
        exact=plan.exact,
        text=plan.columns.text or "",
        label=plan.columns.label or "",
        classes=len(plan.class_counts),
        notes=plan.notes,
    )


def _description(
    state: LinearState, settings: Settings, plan: Plan, number: int, measured: Measured
) -> ModelDescription:
    facts: dict[str, Any] = {
        "text_column": plan.columns.text,
        "label_column": plan.columns.label,
        "format": plan.files[0].format,
        "passes": number,
        "rows_learnt": state.learner.n_rows_seen,
        "holdout_rows": measured.n_rows,
        "holdout_accuracy": measured.accuracy,
        "settings": settings.to_json(),
    }
    return ModelDescription(
        classes=state.classes,
        loss=settings.loss,
        analyzer=settings.analyzer,
        fit_intercept=settings.fit_intercept,
        temperature=measured.temperature,
        facts=facts,
    )
