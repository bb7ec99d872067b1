"""Task of the stage reconstruct: k-space to images."""

from __future__ import annotations

import zlib

import numpy as np

from popscan.config import Reconstruct
from popscan.protocol import Protocol
from popscan.protocol import load as load_place
from popscan.records import KSpace, NotApplicable, Outcome, Scan, Subject
from popscan.stages import upstream_of
from popscan.study.context import ShardContext
from popscan.task import Task


def reconstruct_task(context: ShardContext) -> Task[KSpace | Scan]:
    """Reconstruct k-space with every variant; the one in use is written as the subject's image."""
    section = context.section(Reconstruct)
    retrospective = section.retrospective

    def load(subject: Subject) -> KSpace | Scan:
        from popscan.io.kspace import read_kspace
        from popscan.io.nifti import read_scan

        if context.has("ingest", subject, context.names.kspace(subject)):
            return read_kspace(context.path("ingest", subject, context.names.kspace(subject)))
        if retrospective is None:
            raise NotApplicable("image_study", "the source gives images, not k-space")
        return read_scan(context.path("ingest", subject, context.names.image(subject)))

    def work(subject: Subject, loaded: KSpace | Scan) -> Outcome:
        from popscan.recon import reconstruct
        from popscan.recon.retrospective import cropped, simulated_kspace

        values: dict[str, object] = {"variant": section.use}
        kspace, like = loaded, None
        if isinstance(loaded, Scan):
            assert retrospective is not None
            seed = zlib.crc32(subject.unit.encode())
            kspace, like = simulated_kspace(loaded, **dict(retrospective), seed=seed), loaded
            values["simulated_from_images"] = True
        assert isinstance(kspace, KSpace)
        files = {}
        for name, variant in section.variants.items():
            scan = reconstruct(
                kspace, method=variant.method, device=section.device, **variant.options
            )
            scan = cropped(scan, like) if like else oriented(context.protocol, scan)
            desc = "" if name == section.use else name
            files[context.names.image(subject, desc=desc)] = scan
        return Outcome(files=files, values=values)

    return Task(
        stage="reconstruct",
        version=context.version,
        options=task_options(section),
        reads=lambda subject: {"ingest": context.digest("ingest", subject)},
        load=load,
        work=work,
        write=context.names.write,
        upstream=upstream_of("reconstruct"),
    )


def task_options(section: Reconstruct) -> dict[str, object]:
    """Return what results depend on: the section, and the digests of the models it names."""
    from popscan.recon import models_of

    plain = section.model_dump(exclude={"device"})
    if section.retrospective is None:
        del plain["retrospective"]  # as before there was any
    digests = {
        name: found
        for name, variant in section.variants.items()
        if (found := models_of(variant.method, variant.options))
    }
    return {**plain, "models": digests} if digests else plain


def oriented(protocol: Protocol, scan: Scan) -> Scan:
    """Bring an image into the protocol's orientation; readouts point where the scanner's did."""
    if not protocol.orientation:
        return scan
    turned: Scan = load_place(protocol.orientation)(scan, None)[0]
    return scan if np.array_equal(turned.affine, scan.affine) else turned
