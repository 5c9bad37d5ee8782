"""Training runs: a training with a run folder that holds its plan, events, checkpoints and model."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from manymill.data.dataset import Dataset, Plan
from manymill.data.files import find_files
from manymill.data.ledger import Ledger
from manymill.display import public_url
from manymill.engine.local import available_threads
from manymill.errors import RunFolderError
from manymill.events import (
    ClassesFound,
    Event,
    ModelSaved,
    Observer,
    PassEnded,
    Planned,
    RecipeChosen,
    Warned,
)
from manymill.linear.checkpoints import Checkpoints, OtherVersionError
from manymill.linear.choice import choice_facts, with_choice
from manymill.linear.holdout import HoldoutMetrics
from manymill.linear.memory import OPTION_NAMES, check_memory, memory_need, with_record_room
from manymill.linear.recipe import script_notes
from manymill.linear.recorder import MIN_SECONDS, Recorder, fingerprint
from manymill.linear.settings import Settings
from manymill.linear.state import LinearState
from manymill.linear.training import TrainingResult, train
from manymill.model import ModelDescription, link_of_loss, save_model
from manymill.run_folder import RunFolder, has_ended, read_plan
from manymill.storage.ownership import RUN, check_folder
from manymill.storage.records import from_record, value_of

_UNREPEATABLE = {"-": "the standard input", "memory": "data in memory"}


@dataclass(frozen=True, slots=True)
class Run:
    """A finished run."""

    folder: Path
    plan: Plan
    trained: TrainingResult
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
    checkpoint_seconds: float = MIN_SECONDS,
) -> Run:
    """Train into a run folder; a stopped run with the same plan and settings is resumed.

    From the end of the first pass on, ``model/`` in the folder holds the best state so far: a run that is stopped or
    killed leaves a complete model, the new one or the old one. Without held-out rows a pass is not saved if the last
    save was less than ten seconds ago.

    Parameters
    ----------
    source : Dataset or Plan
        Data to read.
    out : path
        The run folder.
    settings : Settings
        Parameters of the training.
    threads : int, optional
        Threads that read and hash; all processors if not given.
    memory : int, optional
        Maximum bytes of the training: it does not start if it would need more, and stops with an error, its model
        saved, if classes missing from the plan would need more.
    holdout : Dataset or Plan, optional
        Held-out rows, instead of a share of the source.
    engine : optional
        Engine that runs several lanes: see :func:`manymill.engine.selection.as_engine`.
    observe : callable
        Called with every event.
    checkpoint_seconds : float
        Minimum time between two checkpoints: the work that a kill may cost. There are no checkpoints if the source is
        the standard input or data in memory.

    Raises
    ------
    ManymillError
        See :func:`manymill.linear.training.train`, and ``RunFolderError``.
    """
    settings.check_engine(engine, OPTION_NAMES.engine, OPTION_NAMES.lanes)
    settings.check_holdout(holdout)
    check_folder(out, RUN)
    plan = source if isinstance(source, Plan) else source.plan(observe=observe)
    held_out = holdout.plan(observe=observe) if isinstance(holdout, Dataset) else holdout
    threads = threads or available_threads()
    check_memory(plan, settings, threads=threads, limit=memory)
    plan = with_record_room(plan, settings, threads=threads, limit=memory)
    if held_out is not None and plan.record_room:
        held_out = replace(held_out, record_room=plan.record_room, record_memory=plan.record_memory)
    with RunFolder(out) as folder:
        settings, choice = with_choice(plan, settings, threads=threads)
        config = _RunConfig(plan, settings.for_plan(plan), held_out, engine, threads, memory, choice)
        return _train_into(folder, config, observe, checkpoint_seconds, resuming=False)


def resume_run(
    out: str | os.PathLike[str],
    *,
    source: Sequence[str] = (),
    threads: int | None = None,
    engine: Any = None,
    observe: Observer = lambda event: None,
    checkpoint_seconds: float = MIN_SECONDS,
) -> Run:
    """Resume a run that was stopped or killed; the model is the same as without the interruption.

    A run without a checkpoint starts again.

    Parameters
    ----------
    out : path
        The run folder.
    source : sequence of str
        The source, if it was given by URLs with credentials or queries: a run folder does not contain these.
    threads, engine, observe, checkpoint_seconds
        See :func:`train_run`; the model does not depend on them. Without an engine the run's threads or processes are
        used; a cluster must be given again.

    Raises
    ------
    RunFolderError
        If there is no run, it is finished or still running, its source cannot be read again, or its checkpoint is
        damaged.
    SourceError
        If a file has changed since.
    """
    record = read_plan(out)
    if record.get("kind") == "forest":
        raise RunFolderError(
            f"{out} is the run of a forest",
            "repeat its train command: it continues with the trees that exist",
        )
    try:
        plan, settings = Plan.from_json(record["plan"]), Settings.from_json(record["settings"])
        held_out = None if record["holdout"] is None else Plan.from_json(record["holdout"])
        recorded_engine = record["engine"]
        settings = settings.for_plan(plan)
        memory = value_of(int | None, record.get("memory_limit"), "memory_limit")
        recorded_choice = record.get("choice")
        choice = None if recorded_choice is None else from_record(RecipeChosen, recorded_choice)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        what = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        raise RunFolderError(
            f"the run in {os.fspath(out)} cannot be resumed from its plan.json: {what}",
            "train again, into this folder or a new one",
        ) from error
    plan, held_out = _with_source(out, plan, held_out, source)
    settings.check_engine(engine, OPTION_NAMES.engine, OPTION_NAMES.lanes)
    if engine is None and settings.lanes > 1:
        engine = _engine_to_resume(recorded_engine)
    config = _RunConfig(plan, settings, held_out, engine, threads or available_threads(), memory, choice)
    with RunFolder(out) as folder:
        if has_ended(out):
            raise RunFolderError(
                f"the run in {os.fspath(out)} is finished: there is nothing to resume",
                "start a new run with manymill train",
            )
        if (unrepeatable_source := config.unrepeatable_source) is not None:
            raise RunFolderError(
                f"the run in {os.fspath(out)} read {unrepeatable_source}, which cannot be read again",
                "train again into a new folder",
            )
        check_memory(plan, settings, threads=config.threads, limit=memory)
        return _train_into(folder, config, observe, checkpoint_seconds, resuming=True)


def _with_source(
    out: str | os.PathLike[str], plan: Plan, holdout: Plan | None, source: Sequence[str]
) -> tuple[Plan, Plan | None]:
    """The plans with the full URLs, whose credentials the run folder does not contain."""
    plans = [plan] if holdout is None else [plan, holdout]
    required = {file.path for each in plans for file in each.files if file.url}
    locations = {}
    if source:
        for location in find_files(source, None)[0]:
            path = public_url(location)
            if path not in required:
                raise RunFolderError(
                    f"{path} is not a source that the run in {os.fspath(out)} needs again",
                    "leave it out" if not required else f"give {', '.join(sorted(required))}",
                )
            locations[path] = location
    if missing := sorted(required - locations.keys()):
        raise RunFolderError(
            f"the run in {os.fspath(out)} read {missing[0]} by a URL with credentials or a query, which are not saved",
            "give the same source again, with them: manymill resume RUN SOURCE...",
        )
    return plan.with_source(locations), None if holdout is None else holdout.with_source(locations)


def _engine_to_resume(recorded: Any) -> Any:
    """The engine named in a run folder, unless it is an address: the folder may come from anyone."""
    if isinstance(recorded, str) and not re.fullmatch(r"threads|[0-9]+|processes(:[0-9]+)?", recorded):
        raise RunFolderError(
            f"the run used the engine {recorded!r}; addresses in a run folder are not trusted",
            "give the engine with --engine",
        )
    return recorded


@dataclass(frozen=True, slots=True)
class _RunConfig:
    """Everything that defines a run."""

    plan: Plan
    settings: Settings
    holdout: Plan | None
    engine: Any
    threads: int
    memory: int | None  # maximum bytes
    choice: RecipeChosen | None  # of the settings, by the recipe "auto"

    @property
    def unrepeatable_source(self) -> str | None:
        """A source that can be read only once; None if all of it can be read again."""
        return next((description for path, description in _UNREPEATABLE.items() if path in self.paths), None)

    @property
    def paths(self) -> set[str]:
        """The files that the run reads."""
        return {file.path for plan in (self.plan, self.holdout) if plan is not None for file in plan.files}

    @property
    def fingerprint(self) -> str:
        """Fingerprint of the plan and the settings: a checkpoint must have the same."""
        return fingerprint(self.plan, self.settings, self.holdout)

    def to_json(self) -> dict[str, Any]:
        """The content of ``plan.json``."""
        need = memory_need(self.plan, self.settings, threads=self.threads)
        engine = self.engine if isinstance(self.engine, str | int) else None
        return {
            "plan": self.plan.to_json(),
            "settings": self.settings.to_json(),
            "memory_bytes": need.total,
            "memory_limit": self.memory,
            "choice": None if self.choice is None else asdict(self.choice),
            "holdout": None if self.holdout is None else self.holdout.to_json(),
            "engine": public_url(engine) if isinstance(engine, str) else engine,
            "threads": self.threads,
        }


def _train_into(
    folder: RunFolder, config: _RunConfig, observe: Observer, checkpoint_seconds: float, *, resuming: bool
) -> Run:
    plan, settings = config.plan, config.settings
    known = set(plan.class_counts)

    def record(event: Event) -> None:
        if isinstance(event, ClassesFound):
            known.update(event.names)
        if isinstance(event, PassEnded) and event.pass_number == 1:
            for message in _unused_class_weights(settings, known):
                warn(message)
        try:
            folder.record(event)
        except RunFolderError as error:
            # Losing the log is better than losing the training.
            observe(Warned(f"{error.what}; further events are not recorded"))
        observe(event)

    def warn(message: str) -> None:
        record(Warned(message))

    def save(state: LinearState, number: int, metrics: HoldoutMetrics) -> None:
        save_model(
            folder.model,
            _description(state, config, number, metrics),
            **state.arrays(),
        )
        record(ModelSaved(str(folder.model), number))

    folder.refuse_to_read_own_files(config.paths)
    checkpoints, fingerprint_now = Checkpoints(folder.checkpoint), config.fingerprint
    difference = "had another source or other settings"
    try:
        found = checkpoints.fingerprint()
    except OtherVersionError:
        if resuming:
            raise
        found, difference = "", "is of another version of manymill"
    if found != fingerprint_now or config.unrepeatable_source is not None:
        folder.begin()
        checkpoints.remove()
    folder.write_plan(config.to_json())
    if found is not None and found != fingerprint_now:
        warn(f"the stopped run in this folder {difference}: this run starts from the beginning")
    record(_planned(plan, settings))
    if config.choice is not None:
        record(config.choice)
    for warning in plan.warnings:
        warn(warning)
    ledger = Ledger(path=folder.bad_rows, strict=plan.dataset.strict, on_failure=warn)
    recorder = Recorder(checkpoints, fingerprint_now, observe=record, min_seconds=checkpoint_seconds)
    with folder.recording_warnings():
        trained = train(
            plan,
            settings,
            on_best=save,
            observe=record,
            threads=config.threads,
            ledger=ledger,
            holdout=config.holdout,
            engine=config.engine,
            recorder=recorder if config.unrepeatable_source is None else None,
            memory=config.memory,
            names=OPTION_NAMES,
        )
    if trained.refusal is not None:
        raise trained.refusal
    return Run(folder.path, plan, trained, ledger)


def _unused_class_weights(settings: Settings, known: set[str]) -> Iterator[str]:
    """A warning if class weights name labels without rows, which are probably misspelt."""
    if isinstance(settings.class_weight, Mapping):
        names = [str(name) for name in settings.class_weight if str(name) not in known]
        if names:
            shown = ", ".join(map(repr, names[:5])) + (", ..." if len(names) > 5 else "")
            yield f"--class-weight names labels without rows: {shown}"


def _planned(plan: Plan, settings: Settings) -> Planned:
    return Planned(
        files=len(plan.files),
        source_bytes=plan.source_bytes,
        n_rows=plan.n_rows,
        exact=plan.exact,
        text=plan.columns.text or "",
        label=plan.columns.label or "",
        classes=len(plan.class_counts),
        notes=(*plan.notes, *script_notes(plan, settings)),
    )


def _description(
    state: LinearState, config: _RunConfig, number: int, metrics: HoldoutMetrics
) -> ModelDescription:
    plan, settings = config.plan, config.settings
    facts: dict[str, Any] = {
        "text_column": plan.columns.text,
        "label_column": plan.columns.label,
        "format": plan.files[0].format,
        "passes": number,
        "rows_learnt": state.learner.n_rows_seen,
        "holdout_rows": metrics.n_rows,
        "holdout_accuracy": metrics.accuracy,
        "settings": settings.to_json(),
        **choice_facts(config.choice),
    }
    return ModelDescription(
        classes=state.classes,
        loss=settings.value_of("loss"),
        analyzer=settings.analyzer,
        fit_intercept=settings.fit_intercept,
        probability=link_of_loss(settings.value_of("loss")),
        temperature=metrics.temperature,
        facts=facts,
    )
