"""Labelled long-axis planes that models are trained on: none of them was acquired."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from popscan.protocols.cine_lax.planes import PLANE_VIEWS
from popscan.protocols.cine_lax.simulate.scan import heart_of, simulate_subject
from popscan.protocols.cine_lax.training.greys import (
    coloured,
    drawn_greys,
    patient_greys,
    with_patient,
)
from popscan.protocols.cine_lax.training.painter import paint
from popscan.protocols.cine_lax.training.ventricles import (
    PIXEL_MM,
    SIDE,
    Stack,
    Ventricles,
    of_digital,
    of_stack,
    stack_of,
)
from popscan.protocols.cine_lax.turning import typical_affine
from popscan.protocols.cine_sax.simulate.population import sample_population
from popscan.records import LabelMap, Scan
from popscan.train.packs import Case

#: Seed of the split and of everything that is made.
SEED = 2026
N_PAINTED, N_DIGITAL = 150, 60
#: Planes are made of each patient so often: with the stack's intensities, and with drawn ones.
N_PATIENT, N_DRAWN = 2, 1
#: Where labelled planes are from, as the card lists scores.
PAINTED, STACK, DIGITAL = "painted", "cut out of a stack", "digital heart"
_CONDITIONS = {"dilated": 0.2, "hypertrophic": 0.2, "infarct": 0.15, "rv_dilated": 0.15}


def painted_case(index: int, *, seed: int = SEED) -> Case:
    """Return the planes of a digital heart with painted atria: both views at ED and ES."""
    rng = np.random.default_rng([seed, index, 1])
    anatomy, _ = heart_of(_row(index, seed=seed), seed=seed)

    def cut(view: str, phase: int) -> Ventricles:
        at = 0.0 if phase == 0 else anatomy.heart.es_phase * float(rng.uniform(0.6, 1.1))
        return of_digital(anatomy.heart.at(at), view, rng=rng)

    return _case(
        f"train-simulated-lax-{seed}-{index:03d}", cut, rng=rng, group="simulated", source=PAINTED
    )


def patient_cases(
    case: Case, *, seed: int = SEED, variants: int = N_PATIENT + N_DRAWN
) -> list[Case]:
    """Return long-axis planes of a patient's labelled short-axis stack, atria painted.

    Parameters
    ----------
    case
        Two labelled frames, ED and ES, of a short-axis stack, its slices from base to apex.
    seed
        Of where the planes lie and of what is painted.
    variants
        How often planes are made.

    Returns
    -------
    list of Case
        With the stack's own intensities first (pack ``patients``), then with drawn ones; empty
        where a ventricle has fewer than three slices.
    """
    scan, labels = case.scan, case.labels
    number = int.from_bytes(case.unit.encode()[-4:], "big")
    stacks = [
        stack_of(scan.array[..., t], labels.array[..., t], scan.spacing_mm) for t in labels.frames
    ]
    if any(stack is None for stack in stacks):
        return []
    out = []
    for variant in range(variants):
        rng = np.random.default_rng([seed, number, variant, 2])

        def cut(view: str, phase: int, rng: np.random.Generator = rng) -> Ventricles:
            stack = stacks[phase]
            assert isinstance(stack, Stack)
            return of_stack(stack, view, rng=rng)

        group = str(case.attributes.get("group", "unknown"))
        own = variant < N_PATIENT
        out.append(_case(case.unit, cut, rng=rng, group=group, source=STACK, own_greys=own))
    return out


def digital_case(index: int, *, seed: int = SEED + 10) -> Case:
    """Return the planes of a digital heart as its simulator images them, three frames."""
    rng = np.random.default_rng([seed, index, 3])
    spacing = float(rng.uniform(1.4, 2.2))
    side = 2 * round(float(rng.uniform(270, 340)) / spacing / 2)
    made = simulate_subject(
        _row(index, seed=seed), seed=seed, matrix=(side, side), spacing_mm=(spacing, spacing),
        frames=5, thickness_mm=float(rng.uniform(5, 8)), tilt_sd_deg=5.0, offset_sd_mm=3.0,
        fine=(2, 2), turn_deg={"4ch": float(rng.normal(0, 8)), "2ch": float(rng.uniform(-90, -45))},
    )  # fmt: skip
    chosen = [0, 2, 3]
    return Case(
        unit=f"train-simulated-lax-digital-{seed}-{index:03d}",
        scan=_two_frames(made.scan, made.scan.array[..., chosen]),
        labels=LabelMap(array=made.labels.array[..., chosen], frames=(0, 1, 2)),
        attributes={"group": "simulated", "source": DIGITAL},
    )


def _row(index: int, *, seed: int) -> Mapping[str, Any]:
    population = sample_population(index + 1, seed=seed, conditions=_CONDITIONS)
    return {str(k): v for k, v in population.iloc[index].items()}


def _two_frames(scan: Scan, array: NDArray[Any]) -> Scan:
    """Return a scan with some of its frames, as a plain stack of planes."""
    return Scan(
        array=array, affine=scan.affine, spacing_mm=scan.spacing_mm, frame_times_ms=None,
        view=scan.view, meta={"planes": scan.meta["planes"]},
    )  # fmt: skip


def _case(
    unit: str,
    cut: Callable[[str, int], Ventricles],
    *,
    rng: np.random.Generator,
    group: str,
    source: str,
    own_greys: bool = False,
) -> Case:
    """Return both views at two phases, painted; one set of greys each view, as of one scan."""
    image = np.zeros((SIDE, SIDE, len(PLANE_VIEWS), 2), np.float32)
    labels = np.zeros(image.shape, np.uint8)
    for z, view in enumerate(PLANE_VIEWS):
        grey = drawn_greys(rng)
        for phase in range(2):
            ventricles = cut(view, phase)
            labels[:, :, z, phase], stuff = paint(ventricles, rng=rng)
            patient = patient_greys(ventricles, rng=rng) if own_greys else None
            made = coloured(stuff, grey if patient is None else patient, rng=rng)
            if patient is not None:
                made = with_patient(ventricles, labels[:, :, z, phase], made, rng=rng)
            image[:, :, z, phase] = _to_unit(made)
    affines = [typical_affine(v, pixel_mm=PIXEL_MM, thickness_mm=6.0) for v in PLANE_VIEWS]
    planes = [
        {"view": view, "affine": affine.tolist(), "shape": [SIDE, SIDE], "n_frames": 2}
        for view, affine in zip(PLANE_VIEWS, affines, strict=True)
    ]
    return Case(
        unit=unit,
        scan=Scan(
            array=image, affine=affines[0], spacing_mm=(PIXEL_MM, PIXEL_MM, 6.0),
            frame_times_ms=None, view="lax", meta={"planes": planes},
        ),
        labels=LabelMap(array=labels, frames=(0, 1)),
        attributes={"group": group, "source": source},
    )  # fmt: skip


def _to_unit(image: NDArray[Any]) -> NDArray[np.float32]:
    """Return an image whose black and white are 0 and 1: planes of one case share one range."""
    low, high = np.percentile(image, (1, 99))
    scaled = (image - low) / max(float(high - low), 1e-6)
    return np.clip(scaled, -0.1, 1.5).astype(np.float32)
