"""Task of the stage biomarkers: labels to numbers, with intervals."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from popscan.config import Biomarkers, Cohort
from popscan.methods import call_with, resolve, takes
from popscan.protocol import load as load_place
from popscan.protocols import protocol_key
from popscan.records import LabelMap, Outcome, Scan, Subject
from popscan.stages import upstream_of
from popscan.stages.segment.uncertainty import read_samples
from popscan.study.context import ShardContext
from popscan.study.reading import read_digests, scan_and_labels, to_number
from popscan.task import Task


def biomarkers_task(context: ShardContext) -> Task[tuple[Scan, LabelMap, Mapping[str, object]]]:
    """Measure the protocol's biomarkers; whatever QC says of the subject."""
    section = context.section(Biomarkers)
    method = resolve(context.protocol.biomarkers.methods, section.method, "biomarkers")

    voxels = takes(method, "image")

    def load(subject: Subject) -> tuple[Scan, LabelMap, Mapping[str, object]]:
        seen = scan_and_labels(context, subject, voxels=voxels)
        return (*seen, read_samples(context, subject))

    def work(subject: Subject, inputs: tuple[Scan, LabelMap, Mapping[str, object]]) -> Outcome:
        scan, labels, samples = inputs
        values = measure(
            method, labels, scan=scan, options=section.model_dump(), **body_size(context, subject)
        )
        return Outcome(values={**values, **_intervals(context, values, samples)})

    def reads(subject: Subject) -> Mapping[str, object]:
        return {**read_digests(context, subject), **body_size(context, subject)}

    return Task(
        stage="biomarkers",
        version=context.version,
        options={**section.model_dump(), **protocol_key(context.protocol)},
        reads=reads,
        load=load,
        work=work,
        write=context.names.write,
        upstream=upstream_of("biomarkers"),
    )


def measure(
    method: Callable[..., dict[str, Any]],
    labels: LabelMap,
    *,
    scan: Scan,
    options: Mapping[str, object],
    **subject: float,
) -> dict[str, Any]:
    """Measure biomarkers of labels by a protocol's method.

    Parameters
    ----------
    method
        It gets by name what it takes of: image, spacing_mm, affine, orientation_known (whether the
        affine says how the image lies in the patient), frames, frame_labels, frame_times_ms,
        meta (the scan's, whole), numbers of it by name, `options` and `subject`.
    labels, scan
        What is measured, and the scan on whose grid it lies.
    options
        Config section ``biomarkers``.
    subject
        Body size, where it is known.
    """
    numbers = {
        name: float(value)
        for name, value in scan.meta.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }
    values: dict[str, Any] = call_with(
        method,
        labels.array,
        **{
            **numbers,
            **options,
            **subject,
            "image": scan.array,
            "spacing_mm": scan.spacing_mm,
            "affine": scan.affine,
            "orientation_known": bool(scan.meta.get("orientation_known", True)),
            "frames": labels.frames,
            "frame_labels": scan.meta.get("frame_labels"),
            "frame_times_ms": scan.frame_times_ms,
            "meta": scan.meta,
        },
    )
    return values


def _intervals(
    context: ShardContext, values: Mapping[str, float], samples: Mapping[str, object]
) -> dict[str, float]:
    """Return the ends of the intervals, of a protocol that has any."""
    section, where = context.section(Biomarkers), context.protocol.biomarkers.interval_values
    if not where:
        return {}
    ends: dict[str, float] = load_place(where)(
        values, samples=samples, level=section.interval_level, method=section.interval_method
    )
    return ends


def body_size(context: ShardContext, subject: Subject) -> dict[str, float]:
    """Height and weight of the cohort table, else of the source; NaN if absent or impossible."""
    recorded = context.facts(subject)
    cohort = context.section(Cohort)
    size = {}
    for name in ("height_cm", "weight_kg"):
        number = to_number(recorded.get(name))
        low, high = cohort.plausible.get(name, (-math.inf, math.inf))
        usable = low <= number <= high and number not in cohort.special_codes.get(name, ())
        size[name] = number if usable else math.nan
    return size
