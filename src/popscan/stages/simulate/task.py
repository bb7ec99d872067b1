"""Task of the stage simulate: subjects of the digital population, rendered."""

from __future__ import annotations

from typing import Any

from popscan.records import Outcome, Subject
from popscan.study.context import ShardContext, cine_name, kspace_name, labels_name, write_output
from popscan.worker import Task


def simulate_task(context: ShardContext) -> Task:
    """Render subjects of the digital population: k-space or images, true labels, true numbers."""
    options = context.section("simulate")

    def work(subject: Subject, _: None) -> Outcome:
        from popscan.simulate.scan import simulate_subject

        made = simulate_subject(
            subject.row,
            seed=context.seed,
            kspace=options.kspace,
            matrix=(options.matrix, options.matrix),
            spacing_mm=(options.spacing_mm, options.spacing_mm),
            frames=options.n_frames,
            coils=options.n_coils,
            acceleration=options.acceleration,
        )
        files: dict[str, Any] = {labels_name(subject, desc="reference"): (made.labels, made.scan)}
        if made.kspace is not None:
            files[kspace_name(subject)] = made.kspace
            files[cine_name(subject, desc="reference")] = made.scan
        else:
            files[cine_name(subject)] = made.scan
        return Outcome(files=files, values=dict(made.truth))

    return Task(
        stage="simulate",
        version=context.options["version"],
        options={
            "simulate": options.model_dump(exclude={"n_subjects", "allocation", "bias", "faults"}),
            "seed": context.seed,
        },
        reads=lambda subject: {"row": dict(subject.row)},
        load=lambda subject: None,
        work=work,
        write=write_output,
    )
