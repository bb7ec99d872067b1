"""Scan one participant of the digital population in long-axis planes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from popscan.columns import Column
from popscan.protocols.cine_lax.planes import PLANE_VIEWS, pack
from popscan.protocols.cine_lax.simulate.atria import Atria, atria_for
from popscan.protocols.cine_lax.simulate.plan import plan_plane
from popscan.protocols.cine_lax.simulate.tissue import LABEL_OF, tissue_at, with_atria
from popscan.protocols.cine_sax.simulate.acquisition import scanner_image
from popscan.protocols.cine_sax.simulate.coils import coil_maps
from popscan.protocols.cine_sax.simulate.faults import corrupt_motion
from popscan.protocols.cine_sax.simulate.heart import HeartState
from popscan.protocols.cine_sax.simulate.render import render
from popscan.protocols.cine_sax.simulate.scan import (
    checked_fault,
    scan_meta,
    scanner_of,
    signals_of,
)
from popscan.protocols.cine_sax.simulate.seeds import rng_for
from popscan.protocols.cine_sax.simulate.session import SimulatedSubject, damage, truth_of
from popscan.protocols.cine_sax.simulate.subject import Anatomy, anatomy_for, number
from popscan.records import LabelMap, PopscanError, Scan


def heart_of(row: Mapping[str, Any], *, seed: int) -> tuple[Anatomy, Atria]:
    """Return a participant's body, the same as in the short axis, and the atria of its heart."""
    who = str(row["participant_id"])
    anatomy = anatomy_for(row, rng=rng_for(seed, who, "anatomy"))
    bsa_m2 = float(np.sqrt(number(row, "height_cm") * number(row, "weight_kg") / 3600))
    systole = anatomy.heart.at(anatomy.heart.es_phase)
    return anatomy, atria_for(bsa_m2=bsa_m2, state=systole, rng=rng_for(seed, who, "atria"))


def simulate_subject(
    row: Mapping[str, Any],
    *,
    seed: int,
    kspace: bool = False,
    views: Sequence[str] = PLANE_VIEWS,
    matrix: tuple[int, int] = (128, 128),
    spacing_mm: tuple[float, float] = (2.2, 2.2),
    frames: int = 16,
    thickness_mm: float = 6.0,
    coils: int = 8,
    turn_deg: Mapping[str, float] | None = None,
    offset_sd_mm: float = 1.5,
    tilt_sd_deg: float = 3.0,
    breath_hold_sd_mm: float = 1.0,
    fine: tuple[int, int] = (2, 3),
) -> SimulatedSubject:
    """Simulate one participant's two- and four-chamber cines.

    The heart is the one that `popscan.protocols.cine_sax.simulate.scan.simulate_subject` images in
    the short axis for the same row and seed.

    Parameters
    ----------
    row
        A row of `sample_population` (values may be text).
    seed
        Seed of the study.
    kspace
        There is none: refused.
    views
        Views to image.
    matrix, spacing_mm, frames, coils, fine
        As in the short axis.
    thickness_mm
        Thickness of a plane.
    turn_deg, offset_sd_mm, tilt_sd_deg, breath_hold_sd_mm
        Where the planes lie: see `plan_plane`.

    Returns
    -------
    SimulatedSubject
        One packed scan (`popscan.protocols.cine_lax.planes`), labels, truth; with the row's
        ``fault`` applied where it is one of the acquisition.

    Raises
    ------
    PopscanError
        If the row or an option cannot be used.
    """
    if kspace:
        raise PopscanError("simulate.kspace: long-axis planes are images; false is expected")
    who, scanner, fault = str(row["participant_id"]), scanner_of(row), checked_fault(row)
    anatomy, atria = heart_of(row, seed=seed)
    scans: dict[str, Scan] = {}
    labels: dict[str, LabelMap] = {}
    for view in views:

        def stream(purpose: str, view: str = view) -> np.random.Generator:
            return rng_for(seed, who, view, purpose)

        def classify(state: HeartState, u: Any, v: Any, w: Any) -> Any:
            return tissue_at(state, atria, u, v, w)

        grid = plan_plane(
            anatomy,
            view,
            matrix=matrix,
            spacing_mm=spacing_mm,
            thickness_mm=thickness_mm,
            turn_deg=None if turn_deg is None else turn_deg.get(view),
            offset_sd_mm=offset_sd_mm,
            tilt_sd_deg=tilt_sd_deg,
            breath_hold_sd_mm=breath_hold_sd_mm,
            fine=fine,
            rng=stream("plan"),
        )
        signals = signals_of(scanner, contrast_loss=number(row, "truth_contrast_loss", 0.0))
        spectrum, drawn = render(
            anatomy,
            grid,
            scanner=scanner,
            signals=with_atria(signals),
            phases=np.arange(frames) / frames,
            classify=classify,
            label_of=LABEL_OF,
            rng=stream("texture"),
        )
        if fault == "motion":
            spectrum = corrupt_motion(spectrum, spacing_mm=spacing_mm[1], rng=stream("motion"))
        noise = scanner.noise * scanner.gain * number(row, "truth_noise_factor", 1.0)
        image = scanner_image(
            spectrum,
            coil_maps(anatomy.torso, grid.centres_mm(), coils=coils),
            scanner=scanner,
            noise=noise,
            rng=stream("image noise"),
        )
        scans[view] = Scan(
            array=image,
            affine=grid.affine,
            spacing_mm=(float(spacing_mm[0]), float(spacing_mm[1]), float(thickness_mm)),
            frame_times_ms=np.arange(frames) * anatomy.rr_ms / frames,
            view=view,
            meta=scan_meta(scanner, rr_ms=anatomy.rr_ms, slice_thickness_mm=thickness_mm),
        )
        codes = np.ascontiguousarray(drawn.transpose(2, 3, 1, 0))
        labels[view] = LabelMap(array=codes, frames=tuple(range(frames)))
    packed, packed_labels = pack(scans, labels)
    assert packed_labels is not None
    made = SimulatedSubject(
        scan=packed, kspace=None, labels=packed_labels, truth=truth(anatomy, atria)
    )
    strikes = fault in ("missing_frames", "corrupt_values")
    return damage(made, fault=fault, rng=rng_for(seed, who, "lax fault")) if strikes else made


def truth(anatomy: Anatomy, atria: Atria) -> dict[str, float]:
    """Exact values of a heart with its atria, in the names of the biomarkers."""
    heart = anatomy.heart
    diastole, systole = heart.at(0.0), heart.at(heart.es_phase)
    ventricles = truth_of(anatomy)
    values = {
        key: ventricles[key] for key in ("lvedv_ml", "lvesv_ml", "lvsv_ml", "lvef_pct", "hr_bpm")
    }
    for side, atrium in (("la", atria.left), ("ra", atria.right)):
        stroke = atrium.max_ml - atrium.min_ml
        values |= {
            f"{side}v_max_ml": atrium.max_ml, f"{side}v_min_ml": atrium.min_ml,
            f"{side}sv_ml": stroke, f"{side}ef_pct": 100 * stroke / atrium.max_ml,
        }  # fmt: skip
    whole, short = diastole.endo_length_mm, systole.endo_length_mm
    return {
        **values,
        "mapse_mm": heart.shortening_mm,
        "lv_length_ed_mm": whole,
        "lv_length_es_mm": short,
        "long_axis_shortening_pct": 100 * (whole - short) / whole,
    }


#: Columns of the truth that are no biomarkers.
TRUTH: Mapping[str, Column] = {"hr_bpm": Column("1/min", "heart rate of the digital heart")}
