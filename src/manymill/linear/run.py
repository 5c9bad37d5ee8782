"""A training with a run folder: from a dataset to a saved model, every step recorded."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from manymill.data.dataset import Dataset, Plan
from manymill.data.files import find_files
from manymill.data.ledger import Ledger
from manymill.display import public_url
from manymill.engine.local import available_threads
from manymill.errors import RunFolderError
from manymill.events import ClassesFound, Event, ModelSaved, Observer, PassEnded, Planned, Warned
from manymill.linear.checkpoints import Checkpoints
from manymill.linear.holdout import Measured
from manymill.linear.memory import OPTIONS, check_memory, memory_need, with_record_room
from manymill.linear.recorder import LEAST_SECONDS, Recorder, digest
from manymill.linear.settings import Settings
from manymill.linear.state import LinearState
from manymill.linear.training import Trained, train
from manymill.model import ModelDescription, save_model
from manymill.run_folder import RunFolder, has_ended, read_plan
from manymill.storage.ownership import RUN, check_folder
from manymill.storage.records import value_of


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
    holdout: Dataset | Plan | None = None,
    engine: Any = None,
    observe: Observer = lambda event: None,
    checkpoint_seconds: float = LEAST_SECONDS,
) -> Run:
    """Train on a source and leave a run folder behind; a run that was stopped there with the same plan goes on.

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
        Bytes that the training may take; it is refused beforehand if it would take more, and ends with an error, what
        was learnt saved, where classes that the plan lacks would take more.
    holdout : Dataset or Plan, optional
        Rows to hold out instead of a share of the source's.
    engine : optional
        Where lanes work, if there are several: see :func:`manymill.engine.selection.as_engine`.
    observe : callable
        Called with every event.
    checkpoint_seconds : float
        At least so long between two checkpoints: about what a kill may cost. Where the source is the standard input or
        data in memory there are none.

    Raises
    ------
    ManymillError
        See :func:`manymill.linear.training.train`, and ``RunFolderError``.
    """
    settings.check_engine(engine, OPTIONS.engine, OPTIONS.lanes)
    check_folder(out, RUN)
    plan = source if isinstance(source, Plan) else source.plan(observe=observe)
    settings = settings.for_classes(len(plan.class_counts))
    held_out = holdout.plan(observe=observe) if isinstance(holdout, Dataset) else holdout
    threads = threads or available_threads()
    check_memory(plan, settings, threads=threads, limit=memory)
    plan = with_record_room(plan, settings, threads=threads, limit=memory)
    if held_out is not None and plan.record_room:
        held_out = replace(held_out, record_room=plan.record_room, record_memory=plan.record_memory)
    asked = _Asked(plan, settings, held_out, engine, threads, memory)
    with RunFolder(out) as folder:
        return _train_in(folder, asked, observe, checkpoint_seconds)


def resume_run(
    out: str | os.PathLike[str],
    *,
    source: Sequence[str] = (),
    threads: int | None = None,
    engine: Any = None,
    observe: Observer = lambda event: None,
    checkpoint_seconds: float = LEAST_SECONDS,
) -> Run:
    """Go on with a run that was stopped or killed, to the same model as if it had not been.

    A run that was stopped before its first checkpoint begins anew.

    Parameters
    ----------
    out : path
        Its run folder.
    source : sequence of str
        The source again, where it was named by URLs with credentials or queries, which a run folder does not hold.
    threads, engine, observe, checkpoint_seconds
        As for :func:`train_run`; the model does not depend on them. Threads or processes are those of the run if no
        engine is given; a cluster has to be named again.

    Raises
    ------
    RunFolderError
        If there is no run, it is over or still at work, its source cannot be read again, or its checkpoint is damaged.
    SourceError
        If a file has changed since.
    """
    told = read_plan(out)
    if told.get("kind") == "forest":
        raise RunFolderError(
            f"{out} is the run of a forest",
            "give its train command again: it goes on with the trees that are there",
        )
    try:
        plan, settings = Plan.from_json(told["plan"]), Settings.from_json(told["settings"])
        held_out = None if told["holdout"] is None else Plan.from_json(told["holdout"])
        recorded_engine = told["engine"]
        settings = settings.for_classes(len(plan.class_counts))
        memory = value_of(int | None, told.get("memory_limit"), "memory_limit")
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        what = f"it lacks {error}" if isinstance(error, KeyError) else str(error)
        raise RunFolderError(
            f"{Path(out) / 'plan.json'} is not the plan of a training: {what}",
            "train again into a new folder",
        ) from error
    plan, held_out = _with_source(out, plan, held_out, source)
    settings.check_engine(engine, OPTIONS.engine, OPTIONS.lanes)
    if engine is None and settings.lanes > 1:
        engine = _engine_to_resume(recorded_engine)
    asked = _Asked(plan, settings, held_out, engine, threads or available_threads(), memory)
    with RunFolder(out) as folder:
        if has_ended(out):
            raise RunFolderError(
                f"the run in {os.fspath(out)} is over: there is nothing to go on with",
                "manymill train begins a new one",
            )
        if (passing := asked.passing) is not None:
            raise RunFolderError(
                f"the run in {os.fspath(out)} read {passing}, which cannot be read again", "train anew"
            )
        check_memory(plan, settings, threads=asked.threads, limit=memory)
        return _train_in(folder, asked, observe, checkpoint_seconds)


def _with_source(
    out: str | os.PathLike[str], plan: Plan, holdout: Plan | None, source: Sequence[str]
) -> tuple[Plan, Plan | None]:
    """The plans with the URLs whose credentials the run folder does not hold."""
    plans = [plan] if holdout is None else [plan, holdout]
    lacking = {file.path for each in plans for file in each.files if file.url}
    locations = {}
    if source:
        for location in find_files(source, None)[0]:
            path = public_url(location)
            if path not in lacking:
                raise RunFolderError(
                    f"{path} is not a source that the run in {os.fspath(out)} needs named again",
                    "leave it out" if not lacking else f"name {', '.join(sorted(lacking))}",
                )
            locations[path] = location
    if missing := sorted(lacking - locations.keys()):
        raise RunFolderError(
            f"the run in {os.fspath(out)} read {missing[0]} by a URL with credentials or a query, which are not kept",
            "name the same source again, with them: manymill resume RUN SOURCE...",
        )
    return plan.with_source(locations), None if holdout is None else holdout.with_source(locations)


def _engine_to_resume(recorded: Any) -> Any:
    """The engine that a run folder names, unless it leads to another host: the folder may come from anyone."""
    if isinstance(recorded, str) and not re.fullmatch(r"threads|[0-9]+|processes(:[0-9]+)?", recorded):
        raise RunFolderError(
            f"the run used the engine {recorded!r}; an address is not taken from a run folder",
            "name the engine to use with --engine",
        )
    return recorded


@dataclass(frozen=True, slots=True)
class _Asked:
    """A training that is asked for."""

    plan: Plan
    settings: Settings
    holdout: Plan | None
    engine: Any
    threads: int
    memory: int | None  # bytes that it may take

    @property
    def passing(self) -> str | None:
        """What of the source is there only once; None if a later process can read all of it again."""
        return next((told for path, told in _PASSING.items() if path in self.paths), None)

    @property
    def paths(self) -> set[str]:
        """What is read."""
        return {file.path for plan in (self.plan, self.holdout) if plan is not None for file in plan.files}

    @property
    def digest(self) -> str:
        """What may be gone on with."""
        return digest(self.plan, self.settings, self.holdout)

    def to_json(self) -> dict[str, Any]:
        """What ``plan.json`` says."""
        need = memory_need(self.plan, self.settings, threads=self.threads)
        engine = self.engine if isinstance(self.engine, str | int) else None
        return {
            "plan": self.plan.to_json(),
            "settings": self.settings.to_json(),
            "memory_bytes": need.total,
            "memory_limit": self.memory,
            "holdout": None if self.holdout is None else self.holdout.to_json(),
            "engine": public_url(engine) if isinstance(engine, str) else engine,
            "threads": self.threads,
        }


_PASSING = {"-": "the standard input", "memory": "data in memory"}


def _train_in(folder: RunFolder, asked: _Asked, observe: Observer, checkpoint_seconds: float) -> Run:
    plan, settings = asked.plan, asked.settings
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

    def keep(state: LinearState, number: int, measured: Measured) -> None:
        save_model(
            folder.model,
            _description(state, settings, plan, number, measured),
            state.weights(),
            state.intercept(),
            state.feature_weights,
        )
        record(ModelSaved(str(folder.model), number))

    folder.refuse_to_read_own_files(asked.paths)
    checkpoints, digest_now = Checkpoints(folder.checkpoint), asked.digest
    left_by = checkpoints.asked()
    if left_by != digest_now or asked.passing is not None:
        folder.begin()
        checkpoints.remove()
    folder.write_plan(asked.to_json())
    if left_by is not None and left_by != digest_now:
        warn("the run that was stopped here had another source or other settings: this one begins anew")
    record(_planned(plan))
    for warning in plan.warnings:
        warn(warning)
    ledger = Ledger(path=folder.bad_rows, strict=plan.dataset.strict, on_failure=warn)
    recorder = Recorder(checkpoints, digest_now, observe=record, least_seconds=checkpoint_seconds)
    with folder.recording_warnings():
        trained = train(
            plan,
            settings,
            keep=keep,
            observe=record,
            threads=asked.threads,
            ledger=ledger,
            holdout=asked.holdout,
            engine=asked.engine,
            recorder=recorder if asked.passing is None else None,
            memory=asked.memory,
            knobs=OPTIONS,
        )
    if trained.refusal is not None:
        raise trained.refusal
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
