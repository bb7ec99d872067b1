"""Task of the stage score: segmentation and reconstruction against references."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from popscan.config import Biomarkers, Segment
from popscan.labelset import GIVEN
from popscan.methods import resolve
from popscan.protocol import Protocol
from popscan.protocol import load as load_place
from popscan.protocols import DEFAULT, get_protocol, protocol_key
from popscan.records import LabelMap, NotApplicable, Outcome, Scan, Subject
from popscan.stages import upstream_of
from popscan.stages.biomarkers.task import measure
from popscan.stages.reconstruct.images import read_variants, reference_image
from popscan.stages.segment.bundles import load_known, model_of
from popscan.stages.segment.task import OF_REFERENCE
from popscan.study.context import ShardContext
from popscan.task import Task


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """What the stage reads of a subject.

    Attributes
    ----------
    labels, reference
        The segmentation, and the labels that it is scored against.
    scan
        The image that was segmented.
    images
        Every variant's reconstruction and, as ``reference``, the reference image; empty for image
        studies.
    of_reference
        Labels that the model gave the reference image; None where it was not segmented.
    """

    labels: LabelMap
    reference: LabelMap
    scan: Scan
    images: Mapping[str, Scan]
    of_reference: LabelMap | None


def score_task(context: ShardContext) -> Task[Inputs]:
    """Score the segmentation and the reconstruction against references, where there are any."""
    section = context.section(Segment)
    named = model_of(context.protocol, section)
    bundle = load_known(named, protocol=context.protocol.name)

    def load(subject: Subject) -> Inputs:
        from popscan.io.nifti import read_labels, read_scan

        reference = context.names.labels(subject, desc="reference")
        if not context.has("ingest", subject, reference):
            found = context.record("ingest", subject).values
            raise NotApplicable(
                str(found.get("reference_problem") or "no_reference"),
                str(found.get("reference_message") or "the source has no reference labels"),
            )
        if context.record("segment", subject).values.get("labels_by") == GIVEN:
            raise NotApplicable("labels_given", "the labels are the reference's own")
        segmentation = read_labels(context.path("segment", subject, context.names.labels(subject)))
        stage = context.image_stage(subject)
        return Inputs(
            labels=segmentation,
            reference=read_labels(context.path("ingest", subject, reference)),
            scan=read_scan(context.path(stage, subject, context.names.image(subject))),
            images=_recon_images(context, subject),
            of_reference=_labels_of_reference(context, subject),
        )

    def work(subject: Subject, inputs: Inputs) -> Outcome:
        from popscan.qc import verdict
        from popscan.segment import score_segmentation

        scan = inputs.scan
        known = context.record("segment", subject).values.get("seen_in_training")
        seen = bundle.was_trained_on(subject.unit) if known is None else bool(known)
        reference, phases = name_phases(
            inputs.reference, scan.meta.get("frame_labels"), protocol=context.protocol
        )
        rows = score_segmentation(
            subject.unit,
            inputs.labels.array,
            reference,
            scan.spacing_mm,
            bundle=bundle,
            structures=context.protocol.labels.names,
            frame_labels=phases,
            seen=seen,
        )
        check = context.protocol.quality.reference
        checks = load_place(check)(scan, reference, inputs.labels.array) if check else []
        trust = {"reference_verdict": verdict(checks)}
        labelled = [{**row, **trust, "kind": "labels"} for row in rows]
        checked = [{**check.row(), "kind": "reference"} for check in checks]
        images = _score_images(subject, inputs.images, inputs.reference.array)
        measured = _reference_biomarkers(context, inputs)
        about = {"seen_in_training": seen, **trust, "kind": "biomarkers"}
        return Outcome(rows=(*labelled, *checked, *images, *({**about, **row} for row in measured)))

    def reads(subject: Subject) -> Mapping[str, str]:
        return {s: context.digest(s, subject) for s in ("ingest", "reconstruct", "segment")}

    return Task(
        stage="score",
        version=context.version,
        options={
            "model_digest": bundle.digest,
            "biomarkers": context.section(Biomarkers).model_dump(),
            **protocol_key(context.protocol),
        },
        reads=reads,
        load=load,
        work=work,
        write=context.names.write,
        upstream=upstream_of("score"),
    )


def name_phases(
    reference: LabelMap, frame_labels: Sequence[str] | None, *, protocol: Protocol | None = None
) -> tuple[LabelMap, Sequence[str] | None]:
    """Reduce a reference of many frames to those that the protocol has a name for.

    Parameters
    ----------
    reference
        Reference labels; its phases are found on itself.
    frame_labels
        Names of the scan's frames where the source gives them; the reference is kept then, and so
        it is with two labelled frames or fewer, or where the protocol has no phases.
    protocol
        The study's; by default the default protocol.
    """
    protocol = protocol or get_protocol(DEFAULT)
    if not protocol.phases or frame_labels is not None or len(reference.frames) <= 2:
        return reference, frame_labels
    phases = load_place(protocol.phases)(reference.array, frames=reference.frames)
    names = ["" for _ in range(reference.array.shape[3])]
    for phase, frame in reversed(phases.items()):
        names[frame] = phase
    return LabelMap(array=reference.array, frames=tuple(sorted(set(phases.values())))), names


def _recon_images(context: ShardContext, subject: Subject) -> dict[str, Scan]:
    """Read reference image and every variant's image; empty for image studies."""
    from popscan.io.nifti import read_scan

    reference = reference_image(context, subject)
    if not reference:
        return {}
    path = context.path("ingest", subject, reference)
    return {"reference": read_scan(path), **read_variants(context, subject)}


def _score_images(
    subject: Subject, images: Mapping[str, Scan], labels: NDArray[np.uint8]
) -> list[dict[str, object]]:
    from popscan.arrays.image_quality import score_image

    if not images:
        return []
    reference = images["reference"]
    roi = np.any(labels > 0, axis=3)
    rows: list[dict[str, object]] = []
    for variant, scan in sorted(images.items()):
        if variant == "reference":
            continue
        whole = score_image(scan, reference)
        rows.append(
            {
                "unit": subject.unit,
                "kind": "image",
                "variant": variant,
                **score_image(scan, reference, roi=roi),
                "nrmse_whole": whole["nrmse"],
                "psnr_whole_db": whole["psnr_db"],
                "ssim_whole": whole["ssim"],
                "hfen_whole": whole["hfen"],
            }
        )
    return rows


def _labels_of_reference(context: ShardContext, subject: Subject) -> LabelMap | None:
    """Labels that the model gave the reference image; None where it was not segmented."""
    from popscan.io.nifti import read_labels

    name = context.names.labels(subject, desc=OF_REFERENCE)
    if not context.has("segment", subject, name):
        return None
    return read_labels(context.path("segment", subject, name))


def _reference_biomarkers(context: ShardContext, inputs: Inputs) -> list[dict[str, object]]:
    """Biomarkers of the reference labels and of the segmented reference image, by `source`."""
    section = context.section(Biomarkers)
    method = resolve(context.protocol.biomarkers.methods, section.method, "biomarkers")
    sources = {"reference_labels": inputs.reference, "reference_image": inputs.of_reference}
    return [
        {
            "source": source,
            **measure(method, labels, scan=inputs.scan, options=section.model_dump()),
        }
        for source, labels in sources.items()
        if labels is not None
    ]
