"""Task of the stage motion: track a subject's series over the cycle."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from popscan.protocol import load as load_place
from popscan.protocols import protocol_key
from popscan.records import Arrays, LabelMap, Outcome, PopscanError, Scan, Subject
from popscan.stages import upstream_of
from popscan.stages.motion.options import Options
from popscan.study.context import ShardContext
from popscan.study.reading import read_digests, scan_and_labels
from popscan.task import Task


def motion_task(context: ShardContext) -> Task[tuple[Scan, LabelMap]]:
    """Track every frame against one of them, and measure what the protocol measures of it.

    Raises
    ------
    PopscanError
        If the protocol measures no motion.
    """
    motion = context.protocol.motion
    if motion is None:
        raise PopscanError(f"stages.motion: protocol {context.protocol.name} measures no motion")
    options = context.own("motion", Options).model_dump(exclude={"enabled"})
    measured = {name: value for name, value in options.items() if name != "store_fields"}

    def load(subject: Subject) -> tuple[Scan, LabelMap]:
        return scan_and_labels(context, subject)

    def work(subject: Subject, inputs: tuple[Scan, LabelMap]) -> Outcome:
        moved = load_place(motion.measure)(*inputs, **measured)
        fields = {context.names.fields(subject): Arrays(moved.fields)}
        return Outcome(
            values=moved.values,
            rows=moved.rows,
            files=fields if options["store_fields"] else {},
        )

    return Task(
        stage="motion",
        version=context.version,
        options={**options, **_model(options), **protocol_key(context.protocol)},
        reads=lambda subject: read_digests(context, subject),
        load=load,
        work=work,
        write=context.names.write,
        upstream=upstream_of("motion"),
    )


def _model(options: Mapping[str, Any]) -> dict[str, str]:
    """Return the digest of the model that registers, where one does."""
    from popscan.register import models_of

    return models_of(str(options["method"]), options["options"])
