"""Task of the stage reconstruct: k-space to images."""

from __future__ import annotations

import numpy as np

from popscan.config import Reconstruct
from popscan.protocol import Protocol
from popscan.protocol import load as load_place
from popscan.records import KSpace, NotApplicable, Outcome, Scan, Subject
from popscan.stages import upstream_of
from popscan.study.context import ShardContext
from popscan.worker import Task


def reconstruct_task(context: ShardContext) -> Task:
    """Reconstruct k-space with every variant; the one in use is written as the subject's image."""
    section = context.section(Reconstruct)

    def load(subject: Subject) -> KSpace:
        from popscan.io.kspace import read_kspace

        if not context.has("ingest", subject, context.names.kspace(subject)):
            raise NotApplicable("image_study", "the source gives images, not k-space")
        return read_kspace(context.path("ingest", subject, context.names.kspace(subject)))

    def work(subject: Subject, kspace: KSpace) -> Outcome:
        from popscan.recon import reconstruct

        files = {}
        for name, variant in section.variants.items():
            scan = reconstruct(kspace, method=variant.method, **variant.options)
            scan = oriented(context.protocol, scan)
            desc = "" if name == section.use else name
            files[context.names.image(subject, desc=desc)] = scan
        return Outcome(files=files, values={"variant": section.use})

    return Task(
        stage="reconstruct",
        version=context.options["version"],
        options=section.model_dump(),
        reads=lambda subject: {"ingest": context.digest("ingest", subject)},
        load=load,
        work=work,
        write=context.names.write,
        upstream=upstream_of("reconstruct"),
    )


def oriented(protocol: Protocol, scan: Scan) -> Scan:
    """Bring an image into the protocol's orientation; readouts point where the scanner's did."""
    if not protocol.orientation:
        return scan
    turned: Scan = load_place(protocol.orientation)(scan, None)[0]
    return scan if np.array_equal(turned.affine, scan.affine) else turned
