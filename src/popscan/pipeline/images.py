"""Tasks of the stages that turn images into images or labels: reconstruct, segment."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from popscan.pipeline.context import (
    ShardContext,
    cine_name,
    kspace_name,
    labels_name,
    write_output,
)
from popscan.pipeline.uncertainty import uncertainty_files
from popscan.records import LabelMap, NotApplicable, Outcome, PopscanError, Subject
from popscan.worker import Task

#: Description in the name of the labels that the model gives the reference image.
OF_REFERENCE = "ofreference"


def reconstruct_task(context: ShardContext) -> Task:
    """Reconstruct k-space with every variant; the one in use is written as the subject's cine."""
    section = context.section("reconstruct")

    def load(subject: Subject) -> Any:
        from popscan.io.kspace import read_kspace

        if not context.has("ingest", subject, kspace_name(subject)):
            raise NotApplicable("image_study", "the source gives images, not k-space")
        return read_kspace(context.path("ingest", subject, kspace_name(subject)))

    def work(subject: Subject, kspace: Any) -> Outcome:
        from popscan.recon import reconstruct

        files = {}
        for name, variant in section.variants.items():
            scan = reconstruct(kspace, method=variant.method, **variant.options)
            desc = "" if name == section.use else name
            files[cine_name(subject, desc=desc)] = scan
        return Outcome(files=files, values={"variant": section.use})

    return Task(
        stage="reconstruct",
        version=context.options["version"],
        options=section.model_dump(),
        reads=lambda subject: {"ingest": context.digest("ingest", subject)},
        load=load,
        work=work,
        write=write_output,
        upstream=("ingest",),
    )


def bundle_path(name: str) -> Path:
    """Folder of a model: `name` itself if it is a folder, else one shipped in resources/models.

    Raises
    ------
    PopscanError
        If there is neither; the message lists the shipped ones.
    """
    shipped = Path(__file__).resolve().parents[3] / "resources" / "models"
    for path in (Path(name), shipped / name):
        if (path / "model.yaml").is_file():
            return path
    known = sorted(p.parent.name for p in shipped.glob("*/model.yaml"))
    raise PopscanError(f"segment.model {name!r}: no bundle there; shipped bundles: {known}")


@cache
def load_bundle(name: str, device: str, *, networks: bool = True) -> Any:
    """Load a model bundle once per process, or what is known of it without its networks."""
    from popscan.segment import load_bundle as load

    return load(bundle_path(name), device=device, networks=networks)


def segment_task(context: ShardContext) -> Task:
    """Label every frame of the short-axis cine, and of the reference image where there is one."""
    section = context.section("segment")
    bundle = load_bundle(section.model, section.device)

    def has_reference(subject: Subject) -> bool:
        reconstructed = context.image_stage(subject) == "reconstruct"
        name = cine_name(subject, desc="reference")
        return section.reference_images and reconstructed and context.has("ingest", subject, name)

    def load(subject: Subject) -> Any:
        from popscan.io.nifti import read_scan

        image = context.path(context.image_stage(subject), subject, cine_name(subject))
        scans = {labels_name(subject): read_scan(image)}
        if has_reference(subject):
            reference = context.path("ingest", subject, cine_name(subject, desc="reference"))
            scans[labels_name(subject, desc=OF_REFERENCE)] = read_scan(reference)
        return scans

    def work(subject: Subject, scans: Any) -> Outcome:
        from popscan.segment import segment

        files: dict[str, Any] = {}
        values = []
        for name, scan in scans.items():
            found = segment(
                scan,
                bundle=bundle,
                flips=section.flips,
                largest_component=section.largest_component,
                mend=section.mend,
                batch_slices=section.batch_slices,
                precision=section.precision,
                dropout_samples=section.dropout_samples,
                dropout_rate=section.dropout_rate,
                information=section.uncertainty_maps,
            )
            labels = LabelMap(array=found.labels, frames=tuple(range(found.labels.shape[3])))
            files[name] = (labels, scan)
            values.append(found.values)
            if name == labels_name(subject):
                files |= uncertainty_files(subject, found, scan, bundle=bundle, section=section)
        return Outcome(files=files, values=values[0])

    def reads(subject: Subject) -> Mapping[str, Any]:
        digests = {"image": context.digest(context.image_stage(subject), subject)}
        if has_reference(subject):
            digests["reference"] = context.digest("ingest", subject)
        return digests

    return Task(
        stage="segment",
        version=context.options["version"],
        # The device and the batch change the speed, not the labels.
        options={
            # Whether references are segmented too is told by what is read.
            **section.model_dump(exclude={"device", "batch_slices", "model", "reference_images"}),
            "model_digest": bundle.digest,
        },
        reads=reads,
        load=load,
        work=work,
        write=write_output,
        upstream=("reconstruct",),
    )
