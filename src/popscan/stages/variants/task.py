"""Task of the stage variants: segment and measure every reconstruction and the reference image."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from popscan.arrays.metrics import dice
from popscan.config import Biomarkers, Segment
from popscan.labelset import GIVEN
from popscan.methods import resolve
from popscan.protocol import Protocol
from popscan.protocols import protocol_key
from popscan.records import LabelMap, NotApplicable, Outcome, Scan, Subject
from popscan.stages import upstream_of
from popscan.stages.biomarkers.task import measure
from popscan.stages.reconstruct.images import read_variants, reference_image
from popscan.stages.segment.bundles import load_bundle, model_of
from popscan.stages.segment.task import OF_REFERENCE, labelling
from popscan.study.context import ShardContext
from popscan.task import Task

#: Key of the reference image among the images; no variant has an empty name.
_REFERENCE = ""


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """What is read of a subject.

    Attributes
    ----------
    images
        Variant -> its image, and the reference image under an empty name.
    labels
        Labels that the stage segment gave some of them, by the same names.
    reference_labels
        Reference labels, where the source has any.
    used
        The variant that later stages read.
    """

    images: Mapping[str, Scan]
    labels: Mapping[str, LabelMap]
    reference_labels: LabelMap | None
    used: str


def variants_task(context: ShardContext) -> Task[Inputs]:
    """Score every variant by what it does to the labels and the biomarkers."""
    section = context.section(Segment)
    named = model_of(context.protocol, section)
    bundle = load_bundle(named, section.device, protocol=context.protocol.name)
    label = labelling(context.protocol, section, bundle)
    biomarkers = context.section(Biomarkers)
    method = resolve(context.protocol.biomarkers.methods, biomarkers.method, "biomarkers")

    def load(subject: Subject) -> Inputs:
        if not reference_image(context, subject):
            raise NotApplicable(
                "no_reference_image", "no fully sampled image to compare reconstructions with"
            )
        if context.record("segment", subject).values.get("labels_by") == GIVEN:
            raise NotApplicable("labels_given", "the labels are the reference's own")
        return _read(context, subject)

    def work(subject: Subject, inputs: Inputs) -> Outcome:
        known = dict(inputs.labels)
        for name, image in inputs.images.items():
            if name not in known:
                array = label(image).labels
                known[name] = LabelMap(array=array, frames=tuple(range(array.shape[3])))
        measured = {
            name: measure(method, known[name], scan=image, options=biomarkers.model_dump())
            for name, image in inputs.images.items()
        }
        rows = [
            {
                "unit": subject.unit,
                "variant": name,
                "in_use": name == inputs.used,
                **agreement(context.protocol, known[name], known[_REFERENCE]),
                "dice_reference_labels": _with_labels(context.protocol, known[name], inputs),
                **errors(context.protocol, measured[name], measured[_REFERENCE]),
            }
            for name in sorted(inputs.images)
            if name != _REFERENCE
        ]
        return Outcome(rows=tuple(rows))

    def reads(subject: Subject) -> Mapping[str, str]:
        return {s: context.digest(s, subject) for s in ("ingest", "reconstruct", "segment")}

    return Task(
        stage="variants",
        version=context.version,
        options={
            **section.model_dump(exclude={"device", "batch_slices", "model"}),
            "model_digest": bundle.digest,
            "biomarkers": biomarkers.model_dump(),
            **protocol_key(context.protocol),
        },
        reads=reads,
        load=load,
        work=work,
        write=context.names.write,
        upstream=upstream_of("variants"),
    )


def _read(context: ShardContext, subject: Subject) -> Inputs:
    """Read the images, and those labels of them that the stage segment wrote."""
    from popscan.io.nifti import read_labels, read_scan

    used = str(context.record("reconstruct", subject).values["variant"])
    path = context.path("ingest", subject, reference_image(context, subject))
    images = {_REFERENCE: read_scan(path), **read_variants(context, subject)}
    files = {
        used: context.names.labels(subject),
        _REFERENCE: context.names.labels(subject, desc=OF_REFERENCE),
    }
    labels = {
        name: read_labels(context.path("segment", subject, file))
        for name, file in files.items()
        if context.has("segment", subject, file)
    }
    file = context.names.labels(subject, desc="reference")
    there = context.has("ingest", subject, file)
    return Inputs(
        images=images,
        labels=labels,
        reference_labels=read_labels(context.path("ingest", subject, file)) if there else None,
        used=used,
    )


def agreement(protocol: Protocol, labels: LabelMap, reference: LabelMap) -> dict[str, float]:
    """Return Dice per structure, mean over the frames of `reference`, and over the structures.

    A structure that both lack in all frames is NaN, and in no mean.
    """
    scores = {
        f"dice_{name}": _mean(
            [dice(labels.array[..., t], reference.array[..., t], code) for t in reference.frames]
        )
        for code, name in protocol.labels.names.items()
    }
    return {"dice_mean": _mean([*scores.values()]), **scores}


def errors(
    protocol: Protocol, values: Mapping[str, float], reference: Mapping[str, float]
) -> dict[str, float]:
    """Return the protocol's outcomes, and each less that of the reference."""
    out: dict[str, float] = {}
    for outcome in protocol.outcomes:
        value = float(values.get(outcome.name, np.nan))
        out[outcome.name] = value
        out[f"{outcome.name}_error"] = value - float(reference.get(outcome.name, np.nan))
    return out


def _with_labels(protocol: Protocol, labels: LabelMap, inputs: Inputs) -> float:
    reference = inputs.reference_labels
    return np.nan if reference is None else agreement(protocol, labels, reference)["dice_mean"]


def _mean(values: list[float]) -> float:
    known: NDArray[np.float64] = np.asarray(values, dtype=float)
    known = known[np.isfinite(known)]
    return float(known.mean()) if known.size else float("nan")
