"""How the shipped model of plausible deformations is made: from digital hearts alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from popscan.protocols.cine_sax.simulate.heart import Heart
from popscan.protocols.cine_sax.simulate.motion import material_points, positions_mm
from popscan.protocols.cine_sax.simulate.population import sample_population
from popscan.protocols.cine_sax.simulate.seeds import rng_for
from popscan.protocols.cine_sax.simulate.subject import anatomy_for
from popscan.protocols.cine_sax.training.motion import wrapped
from popscan.register import jacobian_determinant
from popscan.register.deformations import POINTS_MM, DeformationNetwork
from popscan.register.learned import save_pairs
from popscan.train.fields import FieldPack, FieldSampler
from popscan.train.loop import fit
from popscan.train.recipe import Recipe, load_recipe

Floats = NDArray[np.float64]

#: Points along each side of a slice, `POINTS_MM` apart.
_SIDE = 44
#: Seeds of the hearts that are trained on, and of those on which the loss is measured.
SEED, SEED_HELD_OUT = 51, 52
#: Lengths in mm within which motion fades outside the wall.
_FADES_MM = (6.0, 30.0)
#: Levels between base and apex at which the outlines of a heart are used.
_SHARES = (0.03, 0.95)
#: Least change of area of a field that is kept: outlines that leave the heart fold.
_LEAST_CHANGE = 0.3
CARD = """# Model card: {name}

An autoencoder of plausible deformations of the left-ventricular wall in short-axis slices: the
regularisation of the registration method `biomechanics` (docs/registration.md). For research, not
for diagnosis.

- **In**: gradients of a displacement within the slice, in patches of 64 x 64 mm, points every 4 mm.
- **Out**: the same gradients as it reconstructs them, from {codes} numbers.
- **Network**: variational autoencoder, {parameters:,} parameters. Weights: safetensors, float16 on
  disk. Nothing in this folder can run code.
- **Trained on**: simulation alone: {fields:,} displacements of {hearts} digital hearts (seed
  {seed}) between two phases, as a fixed slice shows them; {steps} steps, recipe {recipe}{after}.
  The wall keeps its volume there exactly, so that its area grows as the ventricle shortens. Blood
  moves with the inner outline and tissue outside less and less with distance; neither is
  physical. The right ventricle does not move by itself. No patient was seen.
- **Measured on**: digital hearts of other seeds and validation patients of cine_sax
  (docs/registration.md). Root mean square of the gradients of digital hearts with seed
  {other}: {rms:.3f} per mm; of what is not reconstructed: {missed:.3f}.
- **Limits**: other organs, views and motions through the plane were not simulated; hearts whose
  walls move apart from each other (dyssynchrony) were not either.
"""


def plane_displacement(
    heart: Heart, level_mm: float, phases: tuple[float, float], *, fade_mm: float
) -> Floats:
    """Return where the points of a fixed short-axis plane seem to go from one phase to another.

    Parameters
    ----------
    heart
        A digital heart.
    level_mm
        Of the plane, along the long axis from the base at end-diastole.
    phases
        Shares of the RR interval.
    fade_mm
        Length within which the motion fades outside the epicardium.

    Returns
    -------
    ndarray, shape (2, s, s)
        In mm. Points of the wall go to the point of the same plane with their depth and direction;
        within the cavity, motion grows linearly from the middle to the endocardium.
    """
    line = (np.arange(_SIDE) - (_SIDE - 1) / 2) * POINTS_MM
    u, v = np.meshgrid(line, line, indexing="ij")
    points = np.stack([u.ravel(), v.ravel(), np.full(u.size, level_mm)], axis=1)
    material = material_points(heart, points, phase=phases[0])
    # The base slopes: far from the wall the plane lies beyond it.
    material[:, 2] = np.clip(material[:, 2], *_SHARES)
    depth = material[:, 0].copy()
    ends = []
    for q in (0.0, 1.0):
        edge = np.column_stack([np.full_like(depth, q), material[:, 1:]])
        ends.append(positions_mm(heart, edge, phase=phases[0])[:, :2])
    wall = np.column_stack([np.clip(depth, 0, 1), material[:, 1:]])
    moved = _in_plane(heart, wall, phases) - positions_mm(heart, wall, phase=phases[0])
    middle = _ring(heart, material[:, 2].mean(), phases[0])
    after = _ring(heart, material[:, 2].mean(), phases[0], phases)
    shift, away = (after - middle)[:2], points[:, :2] - middle[:2]
    inner = np.linalg.norm(ends[0] - middle[:2], axis=1)
    share = np.clip(np.linalg.norm(away, axis=1) / np.maximum(inner, 1e-6), 0, 1)
    beyond = np.linalg.norm(points[:, :2] - ends[1], axis=1)
    fade = np.where(depth > 1, np.exp(-beyond / fade_mm), 1.0)[:, None]
    inside = shift + (moved[:, :2] - shift) * share[:, None]
    field = np.where((depth < 0)[:, None], inside, moved[:, :2] * fade)
    return field.T.reshape(2, _SIDE, _SIDE)


def _in_plane(heart: Heart, material: Floats, phases: tuple[float, float]) -> Floats:
    """Return points of the same depth, direction and level of the plane at the second phase."""
    before, after = (heart.at(phase) for phase in phases)
    level = material[:, 2] * before.epi_length_mm + before.base_mm
    there = material.copy()
    there[:, 2] = np.clip((level - after.base_mm) / after.epi_length_mm, *_SHARES)
    return positions_mm(heart, there, phase=phases[1])


def _ring(
    heart: Heart, share: float, phase: float, phases: tuple[float, float] | None = None
) -> Floats:
    """Return the middle of the endocardium at a level."""
    theta = np.linspace(0, 2 * np.pi, 36, endpoint=False)
    ring = np.column_stack([np.zeros(36), theta, np.full(36, share)])
    where = positions_mm(heart, ring, phase=phase) if phases is None else _in_plane(
        heart, ring, phases
    )  # fmt: skip
    return np.asarray(where.mean(axis=0))


def simulated_fields(
    n_hearts: int, *, seed: int, smoothing_mm: float = 3.0, per_heart: int = 16
) -> FieldPack:
    """Return displacements of digital hearts, at random levels and between random phases.

    They are smoothed as much as registration smooths. Half of them are between end-diastole and
    end-systole, in either order.
    """
    fields, units = [], []
    for row in sample_population(n_hearts, seed=seed).to_dict("records"):
        person: dict[str, Any] = {str(key): value for key, value in row.items()}
        who = str(person["participant_id"])
        heart = anatomy_for(person, rng=rng_for(seed, who, "anatomy")).heart
        rng = rng_for(seed, who, "deformations")
        for number in range(per_heart):
            two = (0.0, heart.es_phase) if number % 2 else tuple(rng.uniform(0, 1, 2))
            phases = two[::-1] if rng.random() < 0.5 else two
            lowest = max(heart.at(phase).base_mm for phase in phases)
            level = rng.uniform(lowest + 3, lowest + 0.8 * (heart.length_mm - lowest))
            fade = float(np.exp(rng.uniform(*np.log(_FADES_MM))))
            field = plane_displacement(heart, level, phases, fade_mm=fade)
            change = jacobian_determinant(np.moveaxis(field, 0, -1), spacing_mm=(POINTS_MM,) * 2)
            if change.min() > _LEAST_CHANGE:
                fields.append(ndimage.gaussian_filter(field, (0, *[smoothing_mm / POINTS_MM] * 2)))
                units.append(who)
    return FieldPack(
        fields=np.stack(fields).astype(np.float16), unit=tuple(units), spacing_mm=POINTS_MM
    )


def train_deformations(*, work: Path, out: Path, recipe: str | Recipe = "biomechanics") -> Path:
    """Train the shipped model of plausible deformations again; five minutes on one core.

    Parameters
    ----------
    work
        Folder for checkpoints; called again after an interruption, it goes on from there.
    out
        Folder of the model.
    recipe
        The shipped one, or one of your own.

    Returns
    -------
    `out`.
    """
    chosen = load_recipe(recipe) if isinstance(recipe, str) else recipe
    pack = simulated_fields(160, seed=SEED)
    init = None
    if chosen.init_from:
        first = load_recipe(chosen.init_from)
        sharp = simulated_fields(160, seed=SEED, smoothing_mm=0.0)
        init = fit(first, {"digital": sharp}, work / first.name).averaged.state_dict()
    found = fit(chosen, {"digital": pack}, work / chosen.name, init=init).averaged
    return export_deformations(cast("DeformationNetwork", found), chosen, pack=pack, out=out)


def export_deformations(
    network: DeformationNetwork, recipe: Recipe, *, pack: FieldPack, out: Path, n_held_out: int = 20
) -> Path:
    """Write a trained network as a model, with what it misses of other hearts' gradients."""
    sampler = FieldSampler(
        {"other": simulated_fields(n_held_out, seed=SEED_HELD_OUT)}, {}, how=recipe.augmentation
    )
    gradients = sampler.draw(1000, torch.Generator().manual_seed(0))
    with torch.no_grad():
        left = gradients - network.decode(network.encode(gradients)[0])
    rms, missed = (float(x.square().mean().sqrt()) for x in (gradients, left))
    hearts = len(set(pack.unit))
    about = {
        "name": recipe.name,
        "arguments": recipe.architecture_arguments,
        "training": {"steps": recipe.steps, "seed": recipe.seed, "hearts": hearts}
        | ({"begun_with": recipe.init_from} if recipe.init_from else {}),
        "scores": {"rms": round(rms, 4), "missed": round(missed, 4)},
    }
    card = wrapped(CARD.format(
        name=recipe.name, codes=recipe.architecture_arguments["codes"], hearts=hearts, seed=SEED,
        other=SEED_HELD_OUT, fields=len(pack.fields), steps=recipe.steps, recipe=recipe.name,
        after=f", begun with {recipe.init_from}" if recipe.init_from else "",
        parameters=sum(p.numel() for p in network.parameters()), rms=rms, missed=missed,
    ))  # fmt: skip
    return save_pairs(out, network, about=about, card=card, architecture=recipe.architecture)
