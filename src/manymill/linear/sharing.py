"""A plan that workers share: the object itself where they share memory, else one file that is written once.

What travels with a task is small, however many blocks there are: names of published arrays.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from manymill.data.dataset import Plan
from manymill.engine.base import Engine
from manymill.engine.spool import Ref
from manymill.errors import PlanError


@dataclass(frozen=True, slots=True, eq=False)
class SharedPlan:
    """The plan itself."""

    shared: Plan

    def plan(self) -> Plan:
        """The plan."""
        return self.shared

    def withdraw(self, engine: Engine) -> None:
        """Nothing was published."""


@dataclass(frozen=True, slots=True)
class PublishedPlan:
    """A plan as JSON, and the data in memory, if that is the source, as an Arrow stream."""

    told: Ref
    memory: Ref | None
    # Credentials travel with the task; the published file is without them.
    storage_options: Mapping[str, Any] | None = field(repr=False)
    urls: tuple[str, ...] = field(repr=False)

    def plan(self) -> Plan:
        """The plan, made anew; the columns of data in memory are mapped, not copied."""
        plan = Plan.from_json(json.loads(self.told.load()["json"].tobytes()))
        dataset = replace(plan.dataset, storage_options=self.storage_options)
        if self.memory is not None:
            import pyarrow as pa

            from manymill.data.memory import Memory

            table = pa.ipc.open_stream(pa.py_buffer(self.memory.load()["arrow"])).read_all()
            columns = {name: table.column(name).combine_chunks() for name in table.column_names}
            dataset = replace(
                dataset, memory=Memory(columns["text"], columns.get("label"), columns.get("weight"))
            )
        return replace(plan, dataset=dataset).with_urls(self.urls)

    def withdraw(self, engine: Engine) -> None:
        """Take back what was published."""
        for ref in (self.told, self.memory):
            if ref is not None:
                engine.withdraw(ref)


def check_shareable(plan: Plan, engine: Engine) -> None:
    """Refuse a source that workers of an engine cannot read.

    Raises
    ------
    PlanError
        If it is the standard input of this process, and they are others.
    """
    if not engine.shares_memory and any(file.path == "-" for file in plan.files):
        raise PlanError(
            "workers that are other processes cannot read this one's standard input",
            "let threads work, or write the data to a file first",
        )


def share(plan: Plan, engine: Engine) -> SharedPlan | PublishedPlan:
    """What workers of an engine need to have a plan."""
    if engine.shares_memory:
        return SharedPlan(plan)
    told = json.dumps(plan.to_json(), ensure_ascii=False).encode("utf-8", "surrogateescape")
    memory = plan.dataset.memory
    published = None
    if memory is not None:
        import pyarrow as pa

        from manymill.data.memory import Memory

        if not isinstance(memory, Memory):  # hashed texts are names of files
            return SharedPlan(plan)
        columns = {"text": memory.text, "label": memory.label, "weight": memory.weight}
        table = pa.table({name: column for name, column in columns.items() if column is not None})
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, table.schema) as stream:
            stream.write_table(table)
        published = engine.publish({"arrow": np.frombuffer(sink.getvalue(), np.uint8)})
    return PublishedPlan(
        engine.publish({"json": np.frombuffer(told, np.uint8)}),
        published,
        plan.dataset.storage_options,
        plan.urls,
    )
