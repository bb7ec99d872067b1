"""Images that reconstruct and ingest left of a subject, for stages that compare them."""

from __future__ import annotations

from popscan.records import Scan, Status, Subject
from popscan.study.context import ShardContext


def reference_image(context: ShardContext, subject: Subject) -> str:
    """Return the file of ingest that reconstructions are compared with; empty where none is."""
    record = context.record("reconstruct", subject)
    if record.status is not Status.OK:
        return ""
    if record.values.get("simulated_from_images"):
        return context.names.image(subject)
    name = context.names.image(subject, desc="reference")
    return name if context.has("ingest", subject, name) else ""


def read_variants(context: ShardContext, subject: Subject) -> dict[str, Scan]:
    """Read the image of every variant, by its name."""
    from popscan.io.nifti import read_scan

    record, images = context.record("reconstruct", subject), {}
    for output in record.outputs:
        name = output.rsplit("/", 1)[-1]
        desc = context.names.variant(name)
        if desc is not None:
            variant = desc or str(record.values["variant"])
            images[variant] = read_scan(context.path("reconstruct", subject, name))
    return images
