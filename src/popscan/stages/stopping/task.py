"""Task of the stage stopping: spokes are added until a subject's images suffice."""

from __future__ import annotations

import zlib
from collections.abc import Mapping

import numpy as np

from popscan.config import Biomarkers, Qc, Segment
from popscan.protocols import protocol_key
from popscan.records import KSpace, NotApplicable, Outcome, Scan, Subject
from popscan.stages import upstream_of
from popscan.stages.reconstruct.task import oriented
from popscan.stages.segment.bundles import load_networks
from popscan.stages.stopping.options import Options
from popscan.stages.variants.sufficient import Judged, Limits, judge
from popscan.stages.variants.task import agreement, errors
from popscan.study.context import ShardContext
from popscan.task import Task

#: Percentile of the magnitudes that noise is relative to.
_BRIGHT_PCT = 99.0


def stopping_task(context: ShardContext) -> Task[KSpace | Scan]:
    """Find how long a radial scan of a subject must be, and what ending it there costs."""
    options = context.own("stopping", Options)
    segment, biomarkers = context.section(Segment), context.section(Biomarkers)
    bundle = load_networks(segment.model, segment.device)
    limits = Limits(
        verdict=options.verdict,
        unchecked=tuple(options.unchecked),
        expected_dice=options.expected_dice,
        widths=options.widths,
    )

    def load(subject: Subject) -> KSpace | Scan:
        from popscan.io.kspace import read_kspace
        from popscan.io.nifti import read_scan

        names = context.names
        if context.has("ingest", subject, names.kspace(subject)):
            kspace = read_kspace(context.path("ingest", subject, names.kspace(subject)))
            if kspace.trajectory is not None:
                return kspace
        for name in (names.image(subject, desc="reference"), names.image(subject)):
            if context.has("ingest", subject, name):
                return read_scan(context.path("ingest", subject, name))
        raise NotApplicable(
            "no_full_scan", "neither spokes nor a fully sampled image to take them from"
        )

    def work(subject: Subject, loaded: KSpace | Scan) -> Outcome:
        from popscan.recon import reconstruct
        from popscan.recon.stopping import acquire_until

        kspace = loaded
        if isinstance(kspace, Scan):
            seed = zlib.crc32(subject.unit.encode())
            kspace = simulated_spokes(kspace, options=options, seed=seed)
        looks = spokes_at(kspace, options)

        def seen(scan: Scan) -> tuple[bool, Judged]:
            return judge(
                oriented(context.protocol, scan), protocol=context.protocol, bundle=bundle,
                segment=segment, biomarkers=biomarkers, limits=limits,
                thresholds=context.section(Qc).thresholds,
            )  # fmt: skip

        counts = list(looks)
        done = acquire_until(kspace, looks=counts, judge=seen, **options.options)
        end = full = done[-1]
        judged = end.judged
        whole = judged
        if full.n_spokes < counts[-1]:
            _, whole = seen(reconstruct(kspace, method="cg_nufft", **options.options))
        before = done[-2] if len(done) > 1 else end
        return Outcome(
            values={
                "scan_seconds": looks[end.n_spokes],
                "full_seconds": looks[counts[-1]],
                "n_spokes": end.n_spokes,
                "passed": end.passed,
                "not_reached": " ".join((before if end.passed else end).judged.reasons),
                "simulated_spokes": isinstance(loaded, Scan),
                "dice_mean": agreement(context.protocol, judged.labels, whole.labels)["dice_mean"],
                **errors(context.protocol, judged.biomarkers, whole.biomarkers),
            }
        )

    return Task(
        stage="stopping",
        version=context.version,
        options={
            **options.model_dump(exclude={"enabled"}),
            "segment": segment.model_dump(exclude={"device", "batch_slices", "model"}),
            "model_digest": bundle.digest,
            "biomarkers": biomarkers.model_dump(),
            "thresholds": context.section(Qc).thresholds,
            **protocol_key(context.protocol),
        },
        reads=lambda subject: {"ingest": context.digest("ingest", subject)},
        load=load,
        work=work,
        write=context.names.write,
        upstream=upstream_of("stopping"),
    )


def simulated_spokes(scan: Scan, *, options: Options, seed: int) -> KSpace:
    """Scan images by simulated coils along golden-angle spokes.

    Parameters
    ----------
    scan
        Fully sampled magnitudes.
    options
        Of the stage.
    seed
        Of coils, phase and noise.
    """
    from popscan.recon.radial import golden_angle_kspace
    from popscan.recon.retrospective import simulated_kspace

    full = simulated_kspace(
        scan, acceleration=1.0, coils=options.coils, noise=0.0, centre_lines=1, seed=seed
    )
    n_phases = max(options.n_phases, scan.array.shape[3])
    n_spokes = _spokes(options.looks_s[-1], n_phases=n_phases, tr_ms=options.tr_ms)
    bright = float(np.percentile(scan.array, _BRIGHT_PCT))
    return golden_angle_kspace(
        full, n_spokes=n_spokes, n_phases=n_phases, per_beat=options.per_beat,
        noise=options.noise * bright, seed=seed,
    )  # fmt: skip


def spokes_at(kspace: KSpace, options: Options) -> Mapping[int, float]:
    """Return spokes per frame -> seconds per slice, of every look that the scan lasts for.

    The scan's own end is the last look, where it is shorter than the last one wanted.
    """
    n_spokes, n_frames = kspace.mask.shape
    n_phases = n_frames
    if kspace.meta.get("simulated_phases"):
        n_phases = int(kspace.meta["simulated_phases"])
    looks = {
        count: float(seconds)
        for seconds in options.looks_s
        if 1 <= (count := _spokes(seconds, n_phases=n_phases, tr_ms=options.tr_ms)) <= n_spokes
    }
    if not looks or (max(looks) < n_spokes and len(looks) < len(options.looks_s)):
        looks[n_spokes] = round(n_spokes * n_phases * options.tr_ms / 1000.0, 3)
    return looks


def _spokes(seconds: float, *, n_phases: int, tr_ms: float) -> int:
    return int(seconds * 1000.0 / (n_phases * tr_ms))
