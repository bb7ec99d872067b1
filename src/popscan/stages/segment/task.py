"""Task of the stage segment: labels and uncertainty of images."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from popscan.config import Segment
from popscan.methods import call_with, option_names, resolve
from popscan.protocol import Protocol
from popscan.protocols import protocol_key
from popscan.records import LabelMap, Outcome, Scan, Subject
from popscan.stages import upstream_of
from popscan.stages.reconstruct.task import reference_image
from popscan.stages.segment.bundles import load_bundle
from popscan.stages.segment.uncertainty import uncertainty_files
from popscan.study.context import ShardContext
from popscan.task import Task

if TYPE_CHECKING:
    from popscan.segment.bundle import Bundle
    from popscan.segment.inference import Segmentation
    from popscan.segment.labelled import Labelled
    from popscan.stages.segment.bundles import NoModel

#: Description in the name of the labels that the model gives the reference image.
OF_REFERENCE = "ofreference"


def segment_task(context: ShardContext) -> Task[tuple[dict[str, Scan], LabelMap | None]]:
    """Label every frame of the protocol's series, and of the reference image where there is one."""
    section = context.section(Segment)
    segment = resolve(context.protocol.segmentation.methods, section.method, "segment")
    takes_given = "given" in option_names(segment)
    bundle = load_bundle(section.model, section.device, protocol=context.protocol.name)
    label = labelling(context.protocol, section, bundle)

    def reference(subject: Subject) -> str:
        return reference_image(context, subject) if section.reference_images else ""

    def load(subject: Subject) -> tuple[dict[str, Scan], LabelMap | None]:
        from popscan.io.nifti import read_labels, read_scan

        image = context.path(context.image_stage(subject), subject, context.names.image(subject))
        scans = {context.names.labels(subject): read_scan(image)}
        if name := reference(subject):
            scan = read_scan(context.path("ingest", subject, name))
            scans[context.names.labels(subject, desc=OF_REFERENCE)] = scan
        name = context.names.labels(subject, desc="reference")
        if not takes_given or not context.has("ingest", subject, name):
            return scans, None
        return scans, read_labels(context.path("ingest", subject, name))

    def work(subject: Subject, inputs: tuple[dict[str, Scan], LabelMap | None]) -> Outcome:
        scans, given = inputs
        files: dict[str, object] = {}
        values = []
        for name, scan in scans.items():
            found = label(scan, given)
            labels = LabelMap(array=found.labels, frames=tuple(range(found.labels.shape[3])))
            files[name] = (labels, scan)
            known = bundle.recognise(subject.unit, scan.array)
            values.append({**found.values, **known.row()})
            if name == context.names.labels(subject):
                files |= uncertainty_files(
                    context.names, subject, found, scan, bundle=bundle, section=section
                )
        return Outcome(files=files, values=values[0])

    def reads(subject: Subject) -> Mapping[str, str]:
        digests = {"image": context.digest(context.image_stage(subject), subject)}
        if reference(subject) or takes_given:
            digests["reference"] = context.digest("ingest", subject)
        return digests

    return Task(
        stage="segment",
        version=context.version,
        # The device and the batch change the speed, not the labels.
        options={
            # Whether references are segmented too follows from what is read.
            **section.model_dump(exclude={"device", "batch_slices", "model", "reference_images"}),
            "model_digest": bundle.digest,
            **protocol_key(context.protocol),
        },
        reads=reads,
        load=load,
        work=work,
        write=context.names.write,
        upstream=upstream_of("segment"),
    )


def labelling(
    protocol: Protocol, section: Segment, bundle: Bundle | NoModel
) -> Callable[..., Segmentation | Labelled]:
    """Return the function ``(scan, given=None)`` that labels a scan as the config says."""
    segment = resolve(protocol.segmentation.methods, section.method, "segment")

    def label(scan: Scan, given: LabelMap | None = None) -> Segmentation | Labelled:
        made: Segmentation | Labelled = call_with(
            segment,
            scan,
            bundle=bundle,
            given=given,
            flips=section.flips,
            largest_component=section.largest_component,
            mend=section.mend,
            base=section.base,
            batch_slices=section.batch_slices,
            precision=section.precision,
            dropout_samples=section.dropout_samples,
            dropout_rate=section.dropout_rate,
            information=section.uncertainty_maps,
        )
        return made

    return label
