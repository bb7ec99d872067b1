"""How the shipped model that reconstructs is made: cines of patients, k-space simulated anew."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.signal.windows import tukey

from popscan.arrays.image_quality import fitted_gain
from popscan.protocols.cine_sax.training.motion import wrapped
from popscan.protocols.cine_sax.training.shipped import split_acdc
from popscan.protocols.cine_sax.training.simulated import simulated_case
from popscan.recon import reconstruct
from popscan.recon.learned import ARCHITECTURES, save_network
from popscan.recon.retrospective import simulated_kspace
from popscan.records import Scan
from popscan.train.loop import fit
from popscan.train.packs import Case
from popscan.train.recipe import Recipe, load_recipe
from popscan.train.sweeps import N_PHASES, build_sweeps, interpolated

#: Simulated hearts beside the patients.
N_SIMULATED = 8
#: Accelerations that the scores are of.
ACCELERATIONS = (4, 8)
#: Frames of a whole cycle, and which of them is end-systole; the first is end-diastole.
FRAMES, SYSTOLE = 10, 4
#: Share of a side that fades, both ends together.
_FADE = 0.25
#: Share of the cycle that the way back takes.
_RETURN = 0.4
SOURCE = (
    "k-space simulated from the images of {patients} ACDC patients and {simulated} simulated "
    "hearts; none came from a scanner"
)
CARD = """# Model card: {name}

Reconstructs undersampled Cartesian k-space of cines and of single frames (method `{method}`,
docs/reconstruction.md). For research, not for diagnosis.

- **In**: k-space of one coil or several with its coil maps; acceleration {low:g} to {high:g},
  random or evenly spaced lines.
- **Out**: the image series; {how}.
- **Network**: {architecture}, {parameters:,} parameters. Weights: safetensors, float16 on disk.
  Nothing in this folder can run code.
- **Trained on**: the {patients} training patients of cine_sax (ACDC, Bernard et al., IEEE TMI 2018,
  doi:10.1109/TMI.2018.2837502, one hospital, one manufacturer, CC BY-NC-SA 4.0; see the challenge's
  terms before using this model commercially) and {simulated} simulated hearts, {steps} steps,
  recipe {recipe}. **Simulation alone**: coils, phase, noise and lines were simulated on magnitude
  images, and the motion between end-diastole and end-systole was interpolated.
- **Measured on**: the {n_validation} validation patients of cine_sax, which took no part: middle
  slice, {frames} frames, 8 simulated coils, noise, phase, random lines. PSNR in the heart at
  acceleration 4 {psnr_heart_r4:.1f} dB (`cs_tv` {psnr_heart_r4_cs_tv:.1f}), at 8
  {psnr_heart_r8:.1f} dB (`cs_tv` {psnr_heart_r8_cs_tv:.1f}). Beside other methods, and what it
  does to ejection fractions: `benchmarks/recon.py`, `benchmarks/recon_ef.py`.
- **Limits**: no k-space of a scanner was seen: images from archives were interpolated, filtered,
  combined from coils and stripped of their phase, and methods look better on them (Shimron et al.,
  PNAS 2022). Beats that differ, breathing, scars, other views and contrasts were not in training.
  A network can draw what was not there: compare it with a method that cannot. ACDC records neither
  sex nor race nor age.
"""
_HOW = {
    "varnet": "acquired samples are approached, not put back",
    "kt_sense_net": "the solution that agrees with the data and the network's prior",
    "dautomap": "nothing holds it to the acquired samples",
    "dc_cnn": "of one coil the acquired samples are in it",
}


def train_recon(acdc: Sequence[Case], *, recipe: str | Recipe, work: Path, out: Path) -> Path:
    """Train a model that reconstructs again; 10 to 30 minutes on one core.

    Parameters
    ----------
    acdc
        The 70 patients, each with its ``group`` attribute and ``ED, ES`` as frame labels.
    recipe
        ``recon_cine``, ``recon_kt_net``, ``recon_dautomap``, or one of your own.
    work
        Folder for checkpoints; called again after an interruption, it goes on from there.
    out
        Folder of the model.

    Returns
    -------
    `out`.
    """
    chosen = load_recipe(recipe) if isinstance(recipe, str) else recipe
    train, validation = split_acdc(acdc)
    hearts = [simulated_case(index) for index in range(N_SIMULATED)]
    packs = {"acdc": build_sweeps(train), "simulated": build_sweeps(hearts)}
    network = fit(chosen, packs, work / chosen.name).averaged
    return export_recon(
        network, chosen, out=out, n_train=len(train), n_simulated=len(hearts), validation=validation
    )


def export_recon(
    network: torch.nn.Module,
    recipe: Recipe,
    *,
    out: Path,
    n_train: int,
    n_simulated: int,
    validation: Sequence[Case],
) -> Path:
    """Write a trained network as a model, with its scores on validation patients."""
    how = recipe.undersampling
    method = next(m for m, a in ARCHITECTURES.items() if a == recipe.architecture)
    about = {
        "architecture": recipe.architecture,
        "name": recipe.name,
        "arguments": recipe.architecture_arguments,
        "trained": {
            "accelerations": list(how.accelerations),
            "coils": list(how.coils),
            "frames": list(how.cycle),
            "single_coil": how.single_coil > 0,
            "single_frame": how.single_frame > 0,
            "noise": list(how.noise),
            "source": SOURCE.format(patients=n_train, simulated=n_simulated),
        },
        "training": {"steps": recipe.steps, "seed": recipe.seed, "patients": n_train},
        "validation": [case.unit for case in validation],
    }
    save_network(out, network, about=about, card="")
    scores = scores_of(validation, method=method, model=out)
    card = wrapped(CARD.format(
        name=recipe.name, method=method, how=_HOW[method], architecture=recipe.architecture,
        parameters=sum(p.numel() for p in network.parameters()), patients=n_train,
        simulated=n_simulated, steps=recipe.steps, recipe=recipe.name, frames=FRAMES,
        low=how.accelerations[0], high=how.accelerations[1], n_validation=len(validation), **scores,
    ))  # fmt: skip
    return save_network(out, network, about={**about, "scores": scores}, card=card)


def whole_cycle(case: Case, *, crop: int, slices: slice) -> tuple[Scan, NDArray[np.bool_]]:
    """Return a cine of `FRAMES` frames made of a patient's two labelled ones, and the heart in it.

    Parameters
    ----------
    case
        Two frames, end-diastole first, with labels.
    crop
        Side of the square around the heart, in pixels; images that are smaller stay as they are.
        It fades to its edges, so that it is a small field of view with air around, as coils and
        their maps need.
    slices
        Which.

    Returns
    -------
    scan
        Shape (crop, crop, slice, `FRAMES`).
    heart : ndarray of bool, shape (crop, crop, slice)
        Where a structure is labelled in either frame.
    """
    labelled = np.asarray(case.labels.array) > 0
    rows, columns = (
        around(np.asarray(labelled.any(axis=tuple(a for a in range(4) if a != axis))), crop)
        for axis in (0, 1)
    )
    array = np.asarray(case.scan.array, np.float32)[rows, columns, slices]
    array = array * faded(array.shape[:2])[:, :, None, None]
    when = np.arange(FRAMES) / FRAMES
    out = SYSTOLE / FRAMES
    part = np.where(when < out, when / out, 1 - np.clip((when - out) / _RETURN, 0, 1))
    place = (N_PHASES - 1) * (0.5 - 0.5 * np.cos(np.pi * part))
    low = np.minimum(place.astype(int), N_PHASES - 2)
    share = (place - low)[:, None, None].astype(np.float32)
    made = []
    for z in range(array.shape[2]):
        sweep = interpolated(array[:, :, z, 0], array[:, :, z, 1])
        made.append(np.moveaxis((1 - share) * sweep[low] + share * sweep[low + 1], 0, -1))
    x, y, z_mm = case.scan.spacing_mm
    z_mm *= slices.step or 1
    scan = Scan(
        array=np.stack(made, axis=2), affine=np.diag([x, y, z_mm, 1.0]), spacing_mm=(x, y, z_mm),
        view=case.scan.view,
    )  # fmt: skip
    return scan, np.asarray(labelled[rows, columns, slices].any(axis=-1))


def around(inside: NDArray[np.bool_], size: int) -> slice:
    """Return `size` places of an axis around those that are inside; all of a shorter axis."""
    there = np.flatnonzero(inside)
    first = int(there[[0, -1]].mean()) - size // 2 if there.size else 0
    first = max(0, min(first, len(inside) - size))
    return slice(first, first + size)


def faded(shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Return weights that fall to 0 at the edges of an image, over an eighth of each side."""
    one, two = (tukey(n, _FADE).astype(np.float32) for n in shape)
    return np.outer(one, two)


def scores_of(cases: Sequence[Case], *, method: str, model: Path) -> dict[str, float]:
    """Return mean PSNR in the heart by acceleration, and that of `cs_tv` on the same k-space."""
    found: dict[str, list[float]] = {}
    alone = method == "dautomap"
    for index, case in enumerate(cases):
        middle = case.scan.array.shape[2] // 2
        scan, heart = whole_cycle(case, crop=144, slices=slice(middle, middle + 1))
        for acceleration in ACCELERATIONS:
            kspace = simulated_kspace(
                scan, acceleration=acceleration, pattern="random", centre_lines=8,
                coils=1 if alone else 8, noise=0.0 if alone else 0.01, phase=not alone, seed=index,
            )  # fmt: skip
            runs: Mapping[str, tuple[str, dict[str, Any]]] = {
                f"psnr_heart_r{acceleration}": (method, {"model": str(model)}),
                f"psnr_heart_r{acceleration}_cs_tv": ("cs_tv", {}),
            }
            for name, (how, options) in runs.items():
                image = reconstruct(kspace, method=how, **options)
                found.setdefault(name, []).append(_psnr_db(image, scan, heart))
    return {name: round(float(np.mean(values)), 2) for name, values in found.items()}


def _psnr_db(image: Scan, truth: Scan, inside: NDArray[np.bool_]) -> float:
    """Return the PSNR where `inside`, relative to the brightest pixel of the truth there."""
    found = image.array * fitted_gain(image.array, truth.array)
    wrong = np.mean((found - truth.array)[inside] ** 2)
    return float(20 * np.log10(truth.array.max()) - 10 * np.log10(max(float(wrong), 1e-20)))
