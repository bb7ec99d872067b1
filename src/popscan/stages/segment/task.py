"""Task of the stage segment: labels and uncertainty of images."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING
from typing import Protocol as Interface

from popscan.config import Segment
from popscan.methods import call_with, option_names, resolve
from popscan.protocol import Protocol
from popscan.protocols import protocol_key
from popscan.records import LabelMap, Outcome, PopscanError, Scan, Subject
from popscan.stages import upstream_of
from popscan.stages.reconstruct.images import reference_image
from popscan.stages.segment.bundles import (
    NoModel,
    load_bundle,
    model_of,
    needs_bundle,
    no_bundle,
)
from popscan.stages.segment.uncertainty import uncertainty_files
from popscan.study.context import ShardContext
from popscan.task import Ending, Task

if TYPE_CHECKING:
    from popscan.segment.bundle import Bundle
    from popscan.segment.labelled import Labelled
    from popscan.segment.result import Segmentation

#: Description in the name of the labels that the model gives the reference image.
OF_REFERENCE = "ofreference"
#: Subjects whose slices share batches on a GPU: their scans are in its memory at once.
_ON_A_GPU = 4
#: Options that change the speed, not the labels; and whether references are segmented too follows
#: from what is read.
_NOT_KEYS = {
    "device", "batch_slices", "batch_subjects", "model", "reference_images",
}  # fmt: skip


class Together(Interface):
    """What labels scans of several subjects at once (`Segmentations.together` of a protocol)."""

    def prepare(self, scan: Scan) -> object:
        """Return a scan that is ready for the networks."""

    def label(self, ready: Sequence[object]) -> Sequence[Callable[[], Segmentation]]:
        """Send prepared scans through the networks; return what finishes each."""


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """What the stage reads of a subject.

    Attributes
    ----------
    scans
        Name of the labels to be written -> the image.
    given
        Labels that came with the images, where the method takes them.
    ready
        The same images, prepared for the networks; empty where scans are labelled one by one.
    """

    scans: Mapping[str, Scan]
    given: LabelMap | None = None
    ready: Mapping[str, object] | None = None


def segment_task(context: ShardContext) -> Task[Loaded]:
    """Label every frame of the protocol's series, and of the reference image where there is one."""
    section = context.section(Segment)
    offered = context.protocol.segmentation
    taken = option_names(resolve(offered.methods, section.method, "segment"))
    takes_given = "given" in taken
    unused = set() if "samples" in taken else {"samples"}
    named = model_of(context.protocol, section)
    bundle = load_bundle(named, section.device, protocol=context.protocol.name)
    if isinstance(bundle, NoModel) and needs_bundle(context.protocol, section.method):
        raise PopscanError(no_bundle(section.method))
    label_alone = labelling(context.protocol, section, bundle)
    size = _subjects_at_once(section, bundle) if section.method in offered.together else 1
    joined: Together | None = None
    if size > 1:
        where = resolve(offered.together, section.method, "segment")
        joined = call_with(where, **_options(section, bundle))

    def reference(subject: Subject) -> str:
        return reference_image(context, subject) if section.reference_images else ""

    def load(subject: Subject) -> Loaded:
        from popscan.io.nifti import read_labels, read_scan

        image = context.path(context.image_stage(subject), subject, context.names.image(subject))
        scans = {context.names.labels(subject): read_scan(image)}
        if name := reference(subject):
            scan = read_scan(context.path("ingest", subject, name))
            scans[context.names.labels(subject, desc=OF_REFERENCE)] = scan
        name = context.names.labels(subject, desc="reference")
        given = None
        if takes_given and context.has("ingest", subject, name):
            given = read_labels(context.path("ingest", subject, name))
        ready = {name: joined.prepare(scan) for name, scan in scans.items()} if joined else None
        return Loaded(scans=scans, given=given, ready=ready)

    def outcome(
        subject: Subject, loaded: Loaded, label: Callable[[str], Segmentation | Labelled]
    ) -> Outcome:
        """Return the outcome of a subject whose scans are labelled by the names of their labels."""
        files: dict[str, object] = {}
        values = []
        for name, scan in loaded.scans.items():
            found = label(name)
            labels = LabelMap(array=found.labels, frames=tuple(range(found.labels.shape[3])))
            files[name] = (labels, scan)
            known = bundle.recognise(subject.unit, scan.array)
            values.append({**found.values, **known.row()})
            if name == context.names.labels(subject):
                files |= uncertainty_files(
                    context.names, subject, found, scan, bundle=bundle, section=section
                )
        return Outcome(files=files, values=values[0])

    def work(subject: Subject, loaded: Loaded) -> Outcome:
        def label(name: str) -> Segmentation | Labelled:
            return label_alone(loaded.scans[name], loaded.given)

        return outcome(subject, loaded, label)

    def work_together(subjects: Sequence[tuple[Subject, Loaded]]) -> list[Ending]:
        assert joined is not None
        ready = [(loaded.ready or {}).items() for _, loaded in subjects]
        finish = iter(joined.label([scan for items in ready for _, scan in items]))
        endings: list[Ending] = []
        for (subject, loaded), items in zip(subjects, ready, strict=True):
            own = {name: next(finish) for name, _ in items}
            endings.append(partial(outcome, subject, loaded, partial(_finished, own)))
        return endings

    def reads(subject: Subject) -> Mapping[str, str]:
        digests = {"image": context.digest(context.image_stage(subject), subject)}
        if reference(subject) or takes_given:
            digests["reference"] = context.digest("ingest", subject)
        return digests

    return Task(
        stage="segment",
        version=context.version,
        options={
            **section.model_dump(exclude=_NOT_KEYS | unused),
            "model_digest": bundle.digest,
            **protocol_key(context.protocol),
        },
        reads=reads,
        load=load,
        work=work,
        together=size,
        work_together=work_together if joined else None,
        write=context.names.write,
        upstream=upstream_of("segment"),
    )


def labelling(
    protocol: Protocol, section: Segment, bundle: Bundle | NoModel
) -> Callable[..., Segmentation | Labelled]:
    """Return the function ``(scan, given=None)`` that labels a scan as the config says."""
    segment = resolve(protocol.segmentation.methods, section.method, "segment")
    options = _options(section, bundle)

    def label(scan: Scan, given: LabelMap | None = None) -> Segmentation | Labelled:
        made: Segmentation | Labelled = call_with(segment, scan, given=given, **options)
        return made

    return label


def _options(section: Segment, bundle: Bundle | NoModel) -> dict[str, object]:
    """Return what there is for methods of segmentation: of it each takes what it names."""
    return {
        "bundle": bundle,
        "flips": section.flips,
        "largest_component": section.largest_component,
        "mend": section.mend,
        "base": section.base,
        "batch_slices": section.batch_slices,
        "precision": section.precision,
        "dropout_samples": section.dropout_samples,
        "dropout_rate": section.dropout_rate,
        "samples": section.samples,
        "information": section.uncertainty_maps,
    }


def _finished(finish: Mapping[str, Callable[[], Segmentation]], name: str) -> Segmentation:
    return finish[name]()


def _subjects_at_once(section: Segment, bundle: Bundle | NoModel) -> int:
    """Return how many subjects' slices share batches."""
    if section.batch_subjects:
        return section.batch_subjects
    return 1 if isinstance(bundle, NoModel) or bundle.device.type == "cpu" else _ON_A_GPU
