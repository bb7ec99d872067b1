"""Volumes of the brain and what is derived from them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from popscan.arrays import morphology
from popscan.columns import Column
from popscan.protocols.brain_t1.labels import GROUPS, LABELS

_COUNTED = "number of voxels times their volume; labels follow MUSE (Doshi et al. 2016, "
_MUSE = _COUNTED + "doi:10.1016/j.neuroimage.2015.11.073)"
_OWN = "own definition"

_GREY_GROUPS = ("hippocampus", "amygdala", "thalamus", "caudate", "putamen", "pallidum")
_CORTEX = tuple(g.name for g in GROUPS if g.name.endswith("_grey") and g.paired)
#: Sums: column -> groups that it adds up, and what it is called.
SUMS: Mapping[str, tuple[tuple[str, ...], str]] = {
    "cortical_grey_ml": (_CORTEX, "Grey matter of the cerebral cortex"),
    "deep_grey_ml": (_GREY_GROUPS, "Hippocampus, amygdala, thalamus, caudate, putamen, pallidum"),
    "grey_ml": (
        (*_CORTEX, *_GREY_GROUPS, "cerebellum_grey", "ventral_dc"),
        "Grey matter: cortex, deep grey matter, cerebellar cortex, ventral diencephalon",
    ),
    "white_ml": (
        ("cerebral_white", "corpus_callosum", "cerebellum_white"),
        "White matter: cerebral, corpus callosum, cerebellar",
    ),
    "ventricles_ml": (("lateral_ventricle", "ventricles_3_4"), "All ventricles"),
}
#: Tissue, that is all but ventricles and the fluid around the brain.
_NO_TISSUE = ("lateral_ventricle", "ventricles_3_4", "csf")
_TISSUE = tuple(g.name for g in GROUPS if g.name not in _NO_TISSUE)
_PAIRED = tuple(g for g in GROUPS if g.paired)
#: Columns that are also given as a share of the intracranial volume.
SHARES = (
    "brain_ml", "grey_ml", "white_ml", "ventricles_ml", "cortical_grey_ml", "hippocampus_ml",
)  # fmt: skip

#: Columns that are of one side, or of left against right.
SIDED = tuple(
    name
    for group in _PAIRED
    for name in (
        f"{group.name}_left_ml", f"{group.name}_right_ml", f"{group.name}_asymmetry_pct",
    )
)  # fmt: skip


def _share(column: str) -> str:
    return f"{column.removesuffix('_ml')}_icv_pct"


def _dictionary() -> dict[str, Column]:
    columns = {
        "icv_ml": Column(
            "mL",
            "Intracranial volume: brain, ventricles and the fluid around the brain, holes filled",
            _MUSE,
        ),
        "brain_ml": Column("mL", "Brain: all labelled tissue, without ventricles and fluid", _MUSE),
    }
    for name, (groups, title) in SUMS.items():
        columns[name] = Column("mL", title, f"sum of {', '.join(groups)}")
    for name in LABELS.names.values():
        title = LABELS.titles[name]
        columns[f"{name}_ml"] = Column("mL", f"Volume: {title[0].lower()}{title[1:]}", _MUSE)
    for group in _PAIRED:
        title = f"{group.title}, both sides"
        columns[f"{group.name}_ml"] = Column("mL", f"Volume: {title}", "left plus right")
    for name in SHARES:
        columns[_share(name)] = Column(
            "%", f"{name} as a share of icv_ml", "proportion method; no correction of the slope"
        )
    for group in _PAIRED:
        columns[f"{group.name}_asymmetry_pct"] = Column(
            "%",
            f"Asymmetry of the {group.title}: 100 (left - right) over the mean of both",
            _OWN,
        )
    columns["labelled_voxels"] = Column("voxels", "Voxels with a label", _OWN)
    return columns


DICTIONARY: Mapping[str, Column] = _dictionary()


def _icv_ml(labelled: NDArray[np.bool_], spacing_mm: tuple[float, float, float]) -> float:
    """Return the volume of all that is labelled, with what it encloses; NaN for nothing."""
    if not labelled.any():
        return math.nan
    filled = ndimage.binary_fill_holes(labelled)
    return float(np.count_nonzero(filled)) * math.prod(spacing_mm) / 1000.0


def measure(
    labels: ArrayLike, *, spacing_mm: Sequence[float], orientation_known: bool = True
) -> dict[str, float]:
    """Measure one subject: every column of `DICTIONARY`, in its order.

    Parameters
    ----------
    labels : array_like, shape (x, y, z, t)
        Codes of `popscan.protocols.brain_t1.labels.LABELS`; the first frame counts.
    spacing_mm
        Distance of voxel centres along x, y, z.
    orientation_known
        Whether the header says which side is which; if not, what is of one side is NaN.

    Returns
    -------
    dict
        Column -> value. A structure that is not there has 0 mL; ratios with nothing to relate to
        are NaN.

    Raises
    ------
    PopscanError
        If shape, codes or spacing are not what they must be.
    """
    array = morphology.check_labels(labels, largest=LABELS.largest)[..., 0]
    spacing = morphology.check_spacing(spacing_mm)
    counts = np.bincount(array.ravel(), minlength=256)
    voxel_ml = math.prod(spacing) / 1000.0
    by_structure = {name: float(counts[code]) * voxel_ml for code, name in LABELS.names.items()}
    sides = {
        group.name: (by_structure[f"{group.name}_left"], by_structure[f"{group.name}_right"])
        for group in _PAIRED
    }
    by_group = {
        group.name: sum(sides[group.name]) if group.paired else by_structure[group.name]
        for group in GROUPS
    }
    values = {f"{name}_ml": value for name, value in (by_structure | by_group).items()}
    values |= {name: sum(by_group[g] for g in groups) for name, (groups, _) in SUMS.items()}
    values["brain_ml"] = sum(by_group[g] for g in _TISSUE)
    values["icv_ml"] = _icv_ml(array > 0, spacing)
    values |= {_share(name): 100.0 * _ratio(values[name], values["icv_ml"]) for name in SHARES}
    for name, (left, right) in sides.items():
        values[f"{name}_asymmetry_pct"] = 200.0 * _ratio(left - right, left + right)
    values["labelled_voxels"] = float(np.count_nonzero(array))
    if not orientation_known:
        values |= dict.fromkeys(SIDED, math.nan)
    return {name: values[name] for name in DICTIONARY}


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole > 0 else math.nan
