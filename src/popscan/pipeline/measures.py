"""Tasks of the stages that turn labels into numbers: score, qc, biomarkers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from popscan.pipeline.context import SAX, ShardContext, cine_name, labels_name, write_output
from popscan.pipeline.images import OF_REFERENCE, load_bundle
from popscan.pipeline.uncertainty import interval_values, read_samples
from popscan.protocol import load as load_place
from popscan.protocols.cine_sax.volumes import phase_frames
from popscan.records import LabelMap, NotApplicable, Outcome, Scan, Status, Subject
from popscan.worker import Task


def score_task(context: ShardContext) -> Task:
    """Score the segmentation and the reconstruction against references, where there are any."""
    section = context.section("segment")
    bundle = load_bundle(section.model, "cpu", networks=False)

    def load(subject: Subject) -> dict[str, Any]:
        from popscan.io.nifti import read_labels, read_scan

        reference = labels_name(subject, desc="reference")
        if not context.has("ingest", subject, reference):
            found = context.record("ingest", subject).values
            raise NotApplicable(
                str(found.get("reference_problem") or "no_reference"),
                str(found.get("reference_message") or "the source has no reference labels"),
            )
        segmentation = read_labels(context.path("segment", subject, labels_name(subject)))
        stage = context.image_stage(subject)
        return {
            "labels": segmentation,
            "reference": read_labels(context.path("ingest", subject, reference)),
            "scan": read_scan(context.path(stage, subject, cine_name(subject))),
            "images": _recon_images(context, subject),
            "of_reference": _labels_of_reference(context, subject),
        }

    def work(subject: Subject, inputs: dict[str, Any]) -> Outcome:
        from popscan.qc import verdict
        from popscan.segment import score_segmentation

        scan: Scan = inputs["scan"]
        reference, phases = name_phases(inputs["reference"], scan.meta.get("frame_labels"))
        rows = score_segmentation(
            subject.unit,
            inputs["labels"].array,
            reference,
            scan.spacing_mm,
            bundle=bundle,
            structures=context.protocol.labels.names,
            frame_labels=phases,
        )
        check = context.protocol.quality.reference
        checks = load_place(check)(scan, reference, inputs["labels"].array) if check else []
        trust = {"reference_verdict": verdict(checks)}
        labelled = [{**row, **trust, "kind": "labels"} for row in rows]
        checked = [{**check.row(), "kind": "reference"} for check in checks]
        images = _score_images(subject, inputs["images"], inputs["reference"].array)
        measured = _reference_biomarkers(context, inputs)
        told = {"seen_in_training": bundle.was_trained_on(subject.unit), "kind": "biomarkers"}
        return Outcome(rows=(*labelled, *checked, *images, *({**told, **row} for row in measured)))

    def reads(subject: Subject) -> Mapping[str, Any]:
        return {s: context.digest(s, subject) for s in ("ingest", "reconstruct", "segment")}

    return Task(
        stage="score",
        version=context.options["version"],
        options={
            "model_digest": bundle.digest,
            "biomarkers": context.section("biomarkers").model_dump(),
        },
        reads=reads,
        load=load,
        work=work,
        write=write_output,
        upstream=("segment",),
    )


def name_phases(
    reference: LabelMap, frame_labels: Sequence[str] | None
) -> tuple[LabelMap, Sequence[str] | None]:
    """Reduce a reference of the whole cycle to end-diastole and end-systole.

    Parameters
    ----------
    reference
        Reference labels; ED and ES are the frames with the largest and smallest LV cavity.
    frame_labels
        Names of the scan's frames where the source tells them; the reference is kept then, and so
        it is with two labelled frames or fewer.
    """
    if frame_labels is not None or len(reference.frames) <= 2:
        return reference, frame_labels
    phases = phase_frames(reference.array, reference.frames)
    names = ["" for _ in range(reference.array.shape[3])]
    names[phases["ES"]], names[phases["ED"]] = "ES", "ED"
    return LabelMap(array=reference.array, frames=tuple(sorted(set(phases.values())))), names


def _recon_images(context: ShardContext, subject: Subject) -> dict[str, Scan]:
    """Read reference image and every variant's image; empty for image studies."""
    from popscan.io.nifti import read_scan

    reference = cine_name(subject, desc="reference")
    record = context.record("reconstruct", subject)
    if record.status is not Status.OK or not context.has("ingest", subject, reference):
        return {}
    images = {"reference": read_scan(context.path("ingest", subject, reference))}
    for name in record.files:
        file = name.rsplit("/", 1)[-1]
        if file.endswith("_cine.nii.gz"):
            desc = file.partition("_desc-")[2].partition("_")[0]
            variant = desc or str(record.values["variant"])
            images[variant] = read_scan(context.path("reconstruct", subject, file))
    return images


def _score_images(subject: Subject, images: dict[str, Scan], labels: Any) -> list[dict[str, Any]]:
    from popscan.arrays.image_quality import score_image

    if not images:
        return []
    reference = images.pop("reference")
    roi = (labels > 0).any(axis=3)
    return [
        {
            "unit": subject.unit,
            "kind": "image",
            "variant": variant,
            **score_image(scan, reference, roi=roi),
        }
        for variant, scan in sorted(images.items())
    ]


def _labels_of_reference(context: ShardContext, subject: Subject) -> LabelMap | None:
    """Labels that the model gave the reference image; None where it was not segmented."""
    from popscan.io.nifti import read_labels

    name = labels_name(subject, desc=OF_REFERENCE)
    if not context.has("segment", subject, name):
        return None
    return read_labels(context.path("segment", subject, name))


def _reference_biomarkers(context: ShardContext, inputs: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Biomarkers of the reference labels and of the segmented reference image, by `source`."""
    from popscan.methods import resolve

    scan: Scan = inputs["scan"]
    method = resolve(
        context.protocol.biomarkers.methods, context.section("biomarkers").method, "biomarkers"
    )
    sources = {"reference_labels": inputs["reference"], "reference_image": inputs["of_reference"]}
    return [
        {
            "source": source,
            **method(
                labels.array,
                spacing_mm=scan.spacing_mm,
                frame_times_ms=scan.frame_times_ms,
                rr_ms=_number(scan.meta.get("rr_ms")),
                frame_labels=scan.meta.get("frame_labels"),
                frames=labels.frames,
                cycle_ms=context.section("biomarkers").cycle_ms,
            ),
        }
        for source, labels in sources.items()
        if labels is not None
    ]


def qc_task(context: ShardContext) -> Task:
    """Check image and segmentation; a verdict of fail excludes the subject from analysis."""
    section = context.section("qc")
    quality = context.protocol.quality

    def work(subject: Subject, inputs: tuple[Scan, Any]) -> Outcome:
        from popscan.qc import run_checks, verdict

        scan, labels = inputs
        told = context.record("segment", subject).values
        shared = load_place(quality.context)(scan, labels.array, told=told)
        checks = run_checks(load_place(quality.checks), shared, thresholds=section.thresholds)
        overall = verdict(checks)
        failed = [c.name for c in checks if c.verdict == "fail"]
        review = [c.name for c in checks if c.verdict == "review"]
        return Outcome(
            rows=tuple(c.row() for c in checks),
            values={"verdict": overall, "failed": " ".join(failed), "review": " ".join(review)},
            status=Status.EXCLUDED if overall == "fail" else Status.OK,
            reason="qc_fail" if overall == "fail" else "",
            message=f"QC: {', '.join(failed)}" if failed else "",
        )

    return Task(
        stage="qc",
        version=context.options["version"],
        options={"thresholds": section.thresholds},
        reads=lambda subject: _read_digests(context, subject),
        load=lambda subject: _scan_and_labels(context, subject),
        work=work,
        write=write_output,
        upstream=("segment",),
    )


def biomarkers_task(context: ShardContext) -> Task:
    """Measure volumes, mass, function and wall thickness; whatever QC says of the subject."""
    from popscan.methods import resolve

    section = context.section("biomarkers")
    method = resolve(context.protocol.biomarkers.methods, section.method, "biomarkers")

    def load(subject: Subject) -> tuple[Scan, Any, Any]:
        return (*_scan_and_labels(context, subject), read_samples(context, subject))

    def work(subject: Subject, inputs: tuple[Scan, Any, Any]) -> Outcome:
        scan, labels, samples = inputs
        values = method(
            labels.array,
            spacing_mm=scan.spacing_mm,
            frame_times_ms=scan.frame_times_ms,
            rr_ms=_number(scan.meta.get("rr_ms")),
            frame_labels=scan.meta.get("frame_labels"),
            cycle_ms=section.cycle_ms,
            **body_size(context, subject),
        )
        return Outcome(values={**values, **interval_values(values, samples, section=section)})

    def reads(subject: Subject) -> Mapping[str, Any]:
        return {**_read_digests(context, subject), **body_size(context, subject)}

    return Task(
        stage="biomarkers",
        version=context.options["version"],
        options=section.model_dump(),
        reads=reads,
        load=load,
        work=work,
        write=write_output,
        upstream=("segment",),
    )


def body_size(context: ShardContext, subject: Subject) -> dict[str, float]:
    """Height and weight of the cohort table, else of the source; NaN if absent or impossible."""
    told = context.facts(subject)
    limits = context.section("cohort").plausible
    return {
        name: _plausible(told.get(name), limits.get(name)) for name in ("height_cm", "weight_kg")
    }


def _plausible(value: Any, limits: Sequence[float] | None) -> float:
    """Return a number, or NaN where it cannot be right."""
    number = _number(value)
    inside = limits is None or limits[0] <= number <= limits[1]
    return number if inside else math.nan


def _number(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        return math.nan


def _read_digests(context: ShardContext, subject: Subject) -> dict[str, str]:
    image = context.image_stage(subject)
    return {stage: context.digest(stage, subject) for stage in ("segment", image)}


def _scan_and_labels(context: ShardContext, subject: Subject) -> tuple[Scan, Any]:
    from popscan.io.nifti import read_labels, read_scan

    scan = read_scan(context.path(context.image_stage(subject), subject, cine_name(subject, SAX)))
    return scan, read_labels(context.path("segment", subject, labels_name(subject)))
