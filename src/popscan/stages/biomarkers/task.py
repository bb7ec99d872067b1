"""Task of the stage biomarkers: labels to numbers, with intervals."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from popscan.records import Outcome, Scan, Subject
from popscan.stages import upstream_of
from popscan.stages.segment.uncertainty import interval_values, read_samples
from popscan.study.context import ShardContext, write_output
from popscan.study.reading import read_digests, scan_and_labels, to_number
from popscan.worker import Task


def biomarkers_task(context: ShardContext) -> Task:
    """Measure volumes, mass, function and wall thickness; whatever QC says of the subject."""
    from popscan.methods import resolve

    section = context.section("biomarkers")
    method = resolve(context.protocol.biomarkers.methods, section.method, "biomarkers")

    def load(subject: Subject) -> tuple[Scan, Any, Any]:
        return (*scan_and_labels(context, subject), read_samples(context, subject))

    def work(subject: Subject, inputs: tuple[Scan, Any, Any]) -> Outcome:
        scan, labels, samples = inputs
        values = method(
            labels.array,
            spacing_mm=scan.spacing_mm,
            frame_times_ms=scan.frame_times_ms,
            rr_ms=to_number(scan.meta.get("rr_ms")),
            frame_labels=scan.meta.get("frame_labels"),
            cycle_ms=section.cycle_ms,
            **body_size(context, subject),
        )
        return Outcome(values={**values, **interval_values(values, samples, section=section)})

    def reads(subject: Subject) -> Mapping[str, Any]:
        return {**read_digests(context, subject), **body_size(context, subject)}

    return Task(
        stage="biomarkers",
        version=context.options["version"],
        options=section.model_dump(),
        reads=reads,
        load=load,
        work=work,
        write=write_output,
        upstream=upstream_of("biomarkers"),
    )


def body_size(context: ShardContext, subject: Subject) -> dict[str, float]:
    """Height and weight of the cohort table, else of the source; NaN if absent or impossible."""
    told = context.facts(subject)
    cohort = context.section("cohort")
    size = {}
    for name in ("height_cm", "weight_kg"):
        number = to_number(told.get(name))
        low, high = cohort.plausible.get(name, (-math.inf, math.inf))
        usable = low <= number <= high and number not in cohort.special_codes.get(name, ())
        size[name] = number if usable else math.nan
    return size
