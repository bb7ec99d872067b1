"""Task of the stage reconstruct: k-space to images."""

from __future__ import annotations

from popscan.config import Reconstruct
from popscan.records import KSpace, NotApplicable, Outcome, Subject
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
