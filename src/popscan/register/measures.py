"""How good a registration is: the measures of Learn2Reg, one row per pair, one table.

Hering A et al. Learn2Reg: comprehensive multi-task medical image registration challenge. IEEE Trans
Med Imaging 42:697-712, 2023. Accuracy (Dice, surface distance, landmarks), robustness (the worst
30% of pairs), plausibility (spread of the local change of volume, folding) and time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from popscan.arrays.metrics import dice, hausdorff95_mm, surface_distances_mm
from popscan.columns import Column
from popscan.records import SubjectError
from popscan.register.warp import Warp

#: Share of the pairs, those with the lowest Dice, that robustness is about.
WORST_SHARE = 0.3
_SMALLEST_CHANGE = 1e-9

COLUMNS = {
    "dice": Column("", "Mean Dice of the structures after registration"),
    "hd95_mm": Column("mm", "Mean of the structures' 95th percentile surface distance"),
    "tre_mm": Column("mm", "Mean distance of landmarks after registration"),
    "sd_log_jacobian": Column("", "Standard deviation of the logarithm of local volume change"),
    "folding_share": Column("", "Share of voxels where the transform folds"),
    "seconds": Column("s", "Time per pair"),
}


def measure_pairs(
    warp: Warp,
    *,
    fixed_labels: NDArray[np.integer],
    moving_labels: NDArray[np.integer],
    structures: Mapping[int, str],
    fixed_points_mm: ArrayLike | None = None,
    moving_points_mm: ArrayLike | None = None,
    seconds: float | Sequence[float] = float("nan"),
) -> pd.DataFrame:
    """Measure registrations by labels and landmarks that they did not see.

    Parameters
    ----------
    warp
        Transforms of n pairs.
    fixed_labels, moving_labels : ndarray, shape (n, x, y) or (n, x, y, z)
        Codes of structures.
    structures
        Code -> name, of those that count.
    fixed_points_mm, moving_points_mm : array_like, shape (n, k, axes), optional
        The same landmarks in both images, in mm; NaN where one is not known.
    seconds
        Time per pair, one for all or one each.

    Returns
    -------
    DataFrame
        One row per pair: `COLUMNS`, and ``dice_NAME`` and ``hd95_NAME_mm`` per structure. NaN for
        a structure that neither image (for distances: that one image) has; means are over the
        others.

    Raises
    ------
    SubjectError
        ``shape_mismatch`` for labels of another grid.
    """
    fixed = np.asarray(fixed_labels)
    warped = warp.labels(np.asarray(moving_labels))
    if fixed.shape != warped.shape:
        raise SubjectError(
            "shape_mismatch",
            f"fixed labels of shape {fixed.shape} and moving labels of shape {warped.shape}",
        )
    errors = _landmark_errors(warp, fixed_points_mm, moving_points_mm)
    times = np.broadcast_to(np.asarray(seconds, dtype=np.float64), (len(warp),))
    rows: list[dict[str, float]] = []
    for one, other, change, tre, time in zip(
        fixed, warped, warp.jacobian(), errors, times, strict=True
    ):
        row = _agreement(one, other, warp.spacing_mm, structures)
        logarithm = np.log(np.maximum(change, _SMALLEST_CHANGE))
        rows.append(
            {
                **row,
                "tre_mm": tre,
                "sd_log_jacobian": float(logarithm.std()),
                "folding_share": float((change <= 0).mean()),
                "seconds": float(time),
            }
        )
    return pd.DataFrame(rows)


def summarise(rows: pd.DataFrame, *, by: Sequence[str] = ("method",)) -> pd.DataFrame:
    """Average the rows of `measure_pairs`, per method.

    Returns
    -------
    DataFrame
        One row per group in order of appearance: ``n_pairs``, means of all measures, the largest
        folding share (``worst_folding_share``), and ``robust_dice`` and ``robust_hd95_mm``, the
        means over the worst 30% of pairs (at least one) by either. Empty without rows.
    """
    summaries: list[dict[str, object]] = []
    for names, group in rows.groupby(list(by), sort=False):
        numbers = group.select_dtypes("number")
        summaries.append(
            {
                **dict(zip(by, names, strict=True)),
                "n_pairs": len(group),
                **{str(name): float(mean) for name, mean in numbers.mean().items()},
                "robust_dice": _worst_mean(group["dice"].to_numpy()),
                "robust_hd95_mm": -_worst_mean(-group["hd95_mm"].to_numpy()),
                "worst_folding_share": float(group["folding_share"].max()),
            }
        )
    return pd.DataFrame(summaries)


def _agreement(
    one: NDArray[np.integer],
    other: NDArray[np.integer],
    spacing_mm: Sequence[float],
    structures: Mapping[int, str],
) -> dict[str, float]:
    overlaps = {name: dice(one, other, code) for code, name in structures.items()}
    distances = {
        name: hausdorff95_mm(
            surface_distances_mm(one == code, other == code, spacing_mm=spacing_mm)
        )
        for code, name in structures.items()
    }
    return {
        "dice": _mean(list(overlaps.values())),
        "hd95_mm": _mean(list(distances.values())),
        **{f"dice_{name}": value for name, value in overlaps.items()},
        **{f"hd95_{name}_mm": value for name, value in distances.items()},
    }


def _landmark_errors(
    warp: Warp, fixed_mm: ArrayLike | None, moving_mm: ArrayLike | None
) -> NDArray[np.float64]:
    if fixed_mm is None or moving_mm is None:
        return np.full(len(warp), np.nan)
    fixed, moving = (np.asarray(points, dtype=np.float64) for points in (fixed_mm, moving_mm))
    if fixed.shape != moving.shape:
        raise SubjectError(
            "shape_mismatch",
            f"landmarks of shape {fixed.shape} in the fixed and {moving.shape} in the moving "
            "images: expected the same ones",
        )
    known = np.isfinite(fixed + moving).all(axis=-1).astype(bool)
    distances = np.linalg.norm(warp.points(np.nan_to_num(fixed)) - moving, axis=-1)
    return np.array([_mean(list(d[k])) for d, k in zip(distances, known, strict=True)])


def _mean(values: Sequence[float]) -> float:
    held = [value for value in values if np.isfinite(value)]
    return float(np.mean(held)) if held else float("nan")


def _worst_mean(values: NDArray[np.floating]) -> float:
    """Mean of the lowest 30% (at least one); NaN without values."""
    held = np.sort(values[np.isfinite(values)])
    return _mean(list(held[: max(1, round(WORST_SHARE * len(held)))]))
