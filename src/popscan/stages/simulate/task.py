"""Task of the stage simulate: subjects of the digital population, rendered."""

from __future__ import annotations

from popscan.config import Simulate
from popscan.methods import call_with
from popscan.protocol import load as load_place
from popscan.protocols import protocol_key
from popscan.records import Outcome, PopscanError, Subject
from popscan.study.context import ShardContext
from popscan.task import Task


def simulate_task(context: ShardContext) -> Task[None]:
    """Render subjects of the digital population: k-space or images, true labels, true numbers."""
    options = context.section(Simulate)
    simulation = context.protocol.simulation
    if simulation is None:
        raise PopscanError(f"protocol {context.protocol.name} has no digital population")

    def work(subject: Subject, _: None) -> Outcome:
        made = call_with(
            load_place(simulation.subject),
            subject.row,
            seed=context.seed,
            kspace=options.kspace,
            matrix=(options.matrix, options.matrix),
            spacing_mm=(options.spacing_mm, options.spacing_mm),
            frames=options.n_frames,
            coils=options.n_coils,
            acceleration=options.acceleration,
        )
        truth = context.names.labels(subject, desc="reference")
        files: dict[str, object] = {truth: (made.labels, made.scan)}
        if made.kspace is not None:
            files[context.names.kspace(subject)] = made.kspace
            files[context.names.image(subject, desc="reference")] = made.scan
        else:
            files[context.names.image(subject)] = made.scan
        return Outcome(files=files, values=dict(made.truth))

    return Task(
        stage="simulate",
        version=context.version,
        options={
            "simulate": options.model_dump(exclude={"n_subjects", "allocation", "bias", "faults"}),
            "seed": context.seed,
            **protocol_key(context.protocol),
        },
        reads=lambda subject: {"row": dict(subject.row)},
        load=lambda subject: None,
        work=work,
        write=context.names.write,
    )
