"""Task of the stage reconstruct: k-space to images."""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from popscan.config import Reconstruct
from popscan.config.reconstruct import LineRejection
from popscan.protocol import Protocol
from popscan.protocol import load as load_place
from popscan.records import KSpace, NotApplicable, Outcome, Scan, Subject, SubjectError
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
        from popscan.recon import LEARNED, reconstruct
        from popscan.recon.retrospective import cropped, simulated_kspace

        values: dict[str, object] = {"variant": section.use}
        kspace, like = loaded, None
        if isinstance(loaded, Scan):
            assert retrospective is not None
            seed = zlib.crc32(subject.unit.encode())
            kspace, like = simulated_kspace(loaded, **dict(retrospective), seed=seed), loaded
            values["simulated_from_images"] = True
        assert isinstance(kspace, KSpace)
        found: Mapping[str, object] = {}
        if section.line_rejection is not None:
            kspace, found = rejected(kspace, section.line_rejection)
            values |= {k: v for k, v in found.items() if not isinstance(v, list)}
        files, unlike = {}, {}
        for name, variant in section.variants.items():
            scan = reconstruct(
                kspace, method=variant.method, device=section.device, **variant.options
            )
            scan = cropped(scan, like) if like else oriented(context.protocol, scan)
            if found:
                scan = replace(scan, meta={**scan.meta, "line_rejection": dict(found)})
            if name == section.use:
                values |= by_model(scan)
            if variant.method in LEARNED:
                unlike[name] = list(scan.meta["reconstruction"]["unlike_training"])
            desc = "" if name == section.use else name
            files[context.names.image(subject, desc=desc)] = scan
        if unlike:
            values["unlike_training_by_variant"] = json.dumps(unlike)
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


def rejected(kspace: KSpace, rules: LineRejection) -> tuple[KSpace, dict[str, object]]:
    """Find lines of the wrong phase, and leave them out where the rules say so.

    Returns
    -------
    kspace
        Without the lines found, with ``leave_out``.
    found
        ``lines_found_pct``, of all acquired lines, and ``lines_found_worst_pct``, of those of the
        worst slice, both NaN where nothing could be judged; ``slices_in_doubt``, whose shots
        contradict each other while which are wrong is not clear; ``lines_left_out``, how many; by
        ``lines_judged_by`` (``shots``, ``lines``) or why not; ``lines_found_by_frame``.

    Raises
    ------
    SubjectError
        ``too_many_lines_left_out``.
    """
    from popscan.recon.rejection import inconsistent_lines, without

    found = inconsistent_lines(kspace, threshold=rules.threshold)
    leave = rules.action == "leave_out"
    n_found = int(found.lines.sum())
    judged = found.share[np.isfinite(found.share)]
    worst = 100 * float(judged.max()) if judged.size else math.nan
    n_judged = int(found.acquired[np.isfinite(found.share)].sum())
    about: dict[str, object] = {
        "lines_found_pct": 100 * n_found / max(n_judged, 1) if judged.size else math.nan,
        "lines_found_worst_pct": worst,
        "slices_in_doubt": int(found.doubtful.sum()),
        "lines_left_out": n_found if leave else 0,
        "lines_judged_by": found.basis or found.why,
    }
    if leave and n_found and worst >= rules.fail_above_pct:
        raise SubjectError(
            "too_many_lines_left_out",
            f"{worst:.0f}% of the lines of slice {int(np.nanargmax(found.share)) + 1} contradict "
            f"the others; below {rules.fail_above_pct:g}% are left out",
        )
    about["lines_found_by_frame"] = [int(n) for n in found.lines.sum(axis=(0, 1))]
    return (without(kspace, found) if leave else kspace), about


def by_model(scan: Scan) -> dict[str, object]:
    """Return by which model an image was reconstructed; nothing without one."""
    done = scan.meta["reconstruction"]
    if "model" not in done:
        return {}
    return {"model": done["model"], "unlike_training": "; ".join(done["unlike_training"])}


def task_options(section: Reconstruct) -> dict[str, object]:
    """Return what results depend on: the section, and the digests of the models it names."""
    from popscan.recon import models_of

    plain = section.model_dump(exclude={"device"})
    if section.retrospective is None:
        del plain["retrospective"]  # as before there was any
    if section.line_rejection is None:
        del plain["line_rejection"]
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
