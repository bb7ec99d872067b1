"""Subjects that a person should look at, with their pictures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from popscan.protocol import Protocol
from popscan.protocol import load as load_place
from popscan.records import Status, Subject, SubjectError
from popscan.registry import read_registry
from popscan.report.context import FlaggedSubject
from popscan.stages.atlas.subject_report import UnusualPlaces
from popscan.stages.motion.report import subject_figures
from popscan.store import Store
from popscan.study.context import ShardContext
from popscan.study.phases import phases_of
from popscan.study.reading import scan_and_labels
from popscan.study.tables import read_table

#: Most frames of a loop; of longer series every second, third, ... is shown.
MAX_FRAMES = 40


def units_to_look_at(root: Path, *, limit: int) -> list[str]:
    """Return those whom `flagged_subjects` yields first, as many as have a page."""
    ledger, qc = read_table(root, "ledger"), read_table(root, "qc")
    parts = [ledger.loc[ledger["status"] == str(Status.FAILED), "unit"]] if len(ledger) else []
    if "verdict" in qc:
        parts += [qc.loc[qc["verdict"] == verdict, "unit"] for verdict in ("fail", "review")]
    return list(dict.fromkeys(str(unit) for part in parts for unit in part))[:limit]


def flagged_subjects(
    store: Store, protocol: Protocol, config: Mapping[str, object]
) -> Iterator[FlaggedSubject]:
    """Yield whoever failed a stage or did not pass QC, the gravest first; pictures one by one."""
    places = UnusualPlaces(store.root, config)
    qc = read_table(store.root, "qc")
    ledger = read_table(store.root, "ledger")
    failed = ledger[ledger["status"] == str(Status.FAILED)]
    for row in failed.to_dict("records"):
        why = f"{row['stage']}: {row['reason']}: {row['message']}"
        yield FlaggedSubject(unit=row["unit"], verdict="failed", reasons=[why])
    figures = subject_figures(store.root, protocol)
    registry = read_registry(store.root / "plan" / "registry.tsv")
    contexts: dict[str, ShardContext] = {}
    for verdict in ("fail", "review"):
        for row in qc[qc["verdict"] == verdict].to_dict("records") if len(qc) else ():
            reasons = f"{row['failed']} {row['review']}".split()
            unit = str(row["unit"])
            shard = registry[unit]
            if shard not in contexts:
                options = {"protocol": protocol.name}
                contexts = {shard: ShardContext(store=store, shard=shard, options=options)}
            plain = FlaggedSubject(
                unit=unit,
                verdict=verdict,
                reasons=reasons,
                figures=[
                    *([figures[unit]] if unit in figures else []),
                    *places.of(unit, shard),
                ],
            )
            try:
                yield with_pictures(contexts[shard], plain)
            except SubjectError as error:
                yield replace(plain, reasons=[*reasons, f"no picture: {error}"])


def with_pictures(context: ShardContext, flagged: FlaggedSubject) -> FlaggedSubject:
    """Return a subject with its images, labels and volume curves.

    Raises
    ------
    SubjectError
        If the subject did not get as far, or files are lost or changed.
    """
    protocol = context.protocol
    sub, _, ses = flagged.unit.partition("_ses-")
    scan, labels = scan_and_labels(context, Subject(sub=sub, ses=f"ses-{ses}" if ses else ""))
    phases = phases_of(scan, labels, protocol)
    frames = list(phases.values())
    every = slice(None, None, -(-scan.array.shape[3] // MAX_FRAMES))
    curves = {}
    if protocol.biomarkers.curves:
        curves = load_place(protocol.biomarkers.curves)(labels.array, spacing_mm=scan.spacing_mm)
    return replace(
        flagged,
        image=np.asarray(scan.array[..., frames], dtype=np.float32),
        labels=labels.array[..., frames],
        frame_names=tuple(phases),
        outlines=protocol.labels.outlines,
        legend=protocol.words.legend,
        structures=protocol.labels.structures,
        spacing_mm=scan.spacing_mm,
        volume_curve_ml={
            name: curves[f"{name}_ml"] for name in protocol.labels.codes if f"{name}_ml" in curves
        },
        frame_times_ms=scan.frame_times_ms,
        loop=np.asarray(scan.array[..., every], dtype=np.float32),
        loop_labels=labels.array[..., every],
    )
