"""Cuts through an average heart, for figures."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from popscan.atlas.template import Template
from popscan.protocols.cine_sax.labels import STRUCTURES

#: Where the short-axis cuts lie, from the base (0) to the apex (1) of the average LV.
_LEVELS = {"basal": 1 / 6, "mid": 1 / 2, "apical": 5 / 6}


def pictures(template: Template) -> dict[str, NDArray[np.float32]]:
    """Cut an average heart for the report.

    Parameters
    ----------
    template
        An average heart.

    Returns
    -------
    dict
        ``{cut}_{layer}`` -> 2D array for cuts ``basal``, ``mid``, ``apical`` (short axis: rows
        run to posterior, columns from the RV to the LV, as a short-axis image is shown) and
        ``long_axis`` (rows from base to apex, columns from the RV to the LV), and layers
        ``image`` (mean intensity, NaN where not imaged), ``sd``, ``rv``, ``myo``, ``lv``
        (probabilities, for contours). Pixels are square, `template.grid.spacing_mm` wide.
    """
    layers = {
        "image": template.image,
        "sd": template.image_sd,
        **dict(zip(STRUCTURES.values(), template.probabilities, strict=True)),
    }
    slices = short_axis_levels(template)
    middle = min(
        round(template.grid.centre_mm[1] / template.grid.spacing_mm), template.grid.shape[1] - 1
    )
    cuts = {}
    for cut, z in slices.items():
        for layer, array in layers.items():
            cuts[f"{cut}_{layer}"] = np.ascontiguousarray(array[:, :, z].T)
    for layer, array in layers.items():
        cuts[f"long_axis_{layer}"] = np.ascontiguousarray(array[:, middle].T)
    return cuts


def short_axis_levels(template: Template) -> dict[str, int]:
    """Return the slice of the basal, the mid-ventricular and the apical cut.

    In the middle of each third of the average LV (cavity and myocardium likelier than not); of
    the grid if there is no such voxel.
    """
    wall = template.probabilities[1:].sum(axis=0) > 0.5
    held = np.flatnonzero(wall.any(axis=(0, 1)))
    first, last = (held[0], held[-1]) if held.size else (0, wall.shape[2] - 1)
    return {cut: round(first + level * (last - first)) for cut, level in _LEVELS.items()}
