"""Wall thickness of digital hearts against their circles, beside rays and nearest points.

    python benchmarks/wall.py --subjects 12 --seed 1

Hearts of the digital population are made round (no modes, no bend), so that the thickness of every
slice is the difference of two radii, known in closed form, and that at right angles to the wall in
space follows from their slope. Labels are what fills each voxel's centre. Printed per level: the
error in mm (mean ± SD over slices) along field lines (popscan), from endocardial to nearest
epicardial outline points as in ukbb_cardiac, and along rays from the cavity's centre; and by how
much thickness in the slice exceeds that in space.
"""

from __future__ import annotations

import argparse
from dataclasses import replace

import numpy as np
import pandas as pd
from scipy.spatial import cKDTree
from skimage.measure import find_contours

from biomarkers import random_hearts, show
from popscan.arrays.laplace import layer_thickness
from popscan.protocols.cine_sax.aha import aha_segments
from popscan.protocols.cine_sax.biomarkers.wall import mean_thickness_mm
from popscan.protocols.cine_sax.labels import Label
from popscan.protocols.cine_sax.simulate.anatomy import heart_tissue
from popscan.protocols.cine_sax.simulate.heart import Heart, profile
from popscan.protocols.cine_sax.simulate.tissue import LABEL_OF


def radii(heart: Heart, phase: float, depth_mm: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Inner and outer radius at depths below the base at end-diastole."""
    state = heart.at(phase)
    kind = {"belly": heart.belly, "taper": heart.taper}
    level = depth_mm - state.base_mm
    inner = state.endo_area_mm2 * profile(level / state.endo_length_mm, **kind)
    outer = state.epi_area_mm2 * profile(level / state.epi_length_mm, **kind)
    return np.sqrt(inner / np.pi), np.sqrt(outer / np.pi)


def in_space(heart: Heart, phase: float, depth_mm: float) -> float:
    """Distance from the endocardial point of a level to the nearest epicardial one, in space."""
    levels = np.linspace(0, heart.length_mm + heart.apex_wall_mm, 4000)
    inner, _ = radii(heart, phase, np.array([depth_mm]))
    _, outer = radii(heart, phase, levels)
    known = outer > 0
    return float(np.hypot(outer[known] - inner[0], levels[known] - depth_mm).min())


def outlines(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Outlines of cavity and epicardium in voxels."""
    cavity, whole = labels == Label.LV, (labels == Label.LV) | (labels == Label.MYO)
    return tuple(max(find_contours(m.astype(float), 0.5), key=len) for m in (cavity, whole))


def nearest(labels: np.ndarray, spacing: float) -> float:
    """Mean distance from endocardial to nearest epicardial outline points."""
    inner, outer = outlines(labels)
    return float(cKDTree(outer * spacing).query(inner * spacing)[0].mean())


def rays(labels: np.ndarray, spacing: float) -> float:
    """Mean length of rays from the cavity's centre within the wall."""
    centre = np.argwhere(labels == Label.LV).mean(axis=0)
    steps = np.arange(0, 60 / spacing, 0.1)
    lengths = []
    for angle in np.linspace(0, 2 * np.pi, 120, endpoint=False):
        at = np.rint(centre + steps[:, None] * [np.cos(angle), np.sin(angle)]).astype(int)
        at = np.clip(at, 0, np.array(labels.shape) - 1)
        lengths.append((labels[at[:, 0], at[:, 1]] == Label.MYO).sum() * 0.1 * spacing)
    return float(np.mean(lengths))


def rows(heart: Heart, phase: float, *, spacing: float, distance: float) -> list[dict]:
    """One row per slice with segments."""
    axis = (np.arange(72) - 44) * spacing
    depth = np.arange(-1, 13) * distance + 1.0
    points = np.meshgrid(axis, axis, depth, indexing="ij")
    labels = LABEL_OF[heart_tissue(heart.at(phase), *(p.astype(np.float32) for p in points))]
    spacing_mm = (spacing, spacing, distance)
    levels = aha_segments(labels, spacing_mm=spacing_mm).levels
    inner, outer = radii(heart, phase, depth)
    found = []
    for z, level in enumerate(levels):
        one = labels[:, :, z]
        if level not in ("basal", "mid", "apical") or (one == Label.LV).sum() < 12:
            continue
        truth = outer[z] - inner[z]
        layer = layer_thickness(one == Label.LV, one == Label.MYO, spacing_mm=spacing_mm)
        found.append(
            {
                "level": level,
                "field lines": mean_thickness_mm(layer.thickness_mm) - truth,
                "nearest points": nearest(one, spacing) - truth,
                "rays": rays(one, spacing) - truth,
                "truth": truth,
                "slice over space, %": 100 * (truth / in_space(heart, phase, depth[z]) - 1),
            }
        )
    return found


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--subjects", type=int, default=12)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--spacing", type=float, default=1.8)
    options = parser.parse_args()
    for name, phase in (("end-diastole", 0.0), ("end-systole", None)):
        found = []
        for heart, _ in random_hearts(options.subjects, seed=options.seed):
            even = replace(
                heart, shape_modes=(), wall_modes=(), bend_mm=(0.0, 0.0), slope=(0.0, 0.0)
            )
            at = heart.es_phase if phase is None else phase
            found += rows(even, at, spacing=options.spacing, distance=10.0)
        groups = pd.DataFrame(found).groupby("level", sort=False)
        table = groups.mean().round(2).astype(str) + " ± " + groups.std().round(2).astype(str)
        table.insert(0, "slices", groups.size())
        show(f"Error in mm at {name}, {options.spacing} mm voxels", table)


if __name__ == "__main__":
    main()
