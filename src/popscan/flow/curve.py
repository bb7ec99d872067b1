"""Flow over the cycle and what follows: forward, backward, net, regurgitant fraction, peaks."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from popscan.flow.checks import checked_vessel, require_cycle

Floats = NDArray[np.float64]

#: The peak is the mean of so many of the fastest voxels of a frame: one voxel is mostly noise.
_PEAK_VOXELS = 4


@dataclass(frozen=True, kw_only=True)
class FlowNumbers:
    """Flow of one vessel over one cycle; NaN where it cannot be had.

    Attributes
    ----------
    curve_ml_s : ndarray, shape (t,)
        Flow, forward positive.
    forward_ml, backward_ml, net_ml
        Volumes of a cycle; `backward_ml` is positive.
    backward_pct
        Backward over forward: the regurgitant fraction behind a valve.
    peak_cm_s
        Largest velocity forward, mean of the four fastest voxels of a frame.
    peak_mean_cm_s
        Largest mean velocity of a frame.
    peak_frame
        Frame of the largest flow.
    area_cm2
        Mean area of the vessel.
    net_se_ml
        Standard error of `net_ml` from noise and the background's offset; the outline of the
        region is not in it.
    turned
        Whether the images have forward as negative.
    """

    curve_ml_s: Floats
    forward_ml: float
    backward_ml: float
    net_ml: float
    backward_pct: float
    peak_cm_s: float
    peak_mean_cm_s: float
    peak_frame: int
    area_cm2: float
    net_se_ml: float
    turned: bool


def flow_curve(velocity: ArrayLike, region: ArrayLike, *, pixel_cm2: float) -> Floats:
    """Return the flow of every frame in mL/s: velocity times area.

    Parameters
    ----------
    velocity : array_like, shape (x, y, t)
        In cm/s.
    region : array_like of bool, shape (x, y, t) or (x, y)
        The vessel.
    pixel_cm2
        Area of a pixel.

    Raises
    ------
    SubjectError
        Those of `popscan.flow.checks.checked_vessel`.
    """
    v, inside = checked_vessel(velocity, region)
    return np.where(inside, v, 0.0).sum(axis=(0, 1)) * pixel_cm2


def measure_flow(
    velocity: ArrayLike,
    region: ArrayLike,
    *,
    pixel_cm2: float,
    cycle_s: float,
    offset_se: ArrayLike | None = None,
    noise_cm_s: float = math.nan,
) -> FlowNumbers:
    """Measure a vessel over one cycle of equally long frames.

    Forward is the direction of the frame in which most flows.

    Parameters
    ----------
    velocity, region, pixel_cm2
        As `flow_curve`.
    cycle_s
        Length of the cycle; NaN leaves volumes undefined.
    offset_se : array_like, shape (x, y), optional
        Standard error of the background's offset, the same in every frame.
    noise_cm_s
        Noise of one velocity, independent between frames.

    Returns
    -------
    FlowNumbers
        Without a number for a region that is empty in all frames.

    Raises
    ------
    SubjectError
        Those of `popscan.flow.checks`.
    """
    v, inside = checked_vessel(velocity, region)
    require_cycle(inside, pixel_cm2=pixel_cm2, cycle_s=cycle_s)
    if not inside.any():
        return _nothing(v.shape[2])
    curve = flow_curve(v, inside, pixel_cm2=pixel_cm2)
    turned = bool(curve[int(np.abs(curve).argmax())] < 0)
    if turned:
        v, curve = -v, -curve
    step = cycle_s / len(curve)
    forward = float(np.maximum(curve, 0.0).sum()) * step
    backward = float(np.maximum(-curve, 0.0).sum()) * step
    counts = inside.sum(axis=(0, 1))
    means = np.where(counts > 0, curve / np.maximum(counts * pixel_cm2, 1e-12), np.nan)
    return FlowNumbers(
        curve_ml_s=curve, forward_ml=forward, backward_ml=backward, net_ml=forward - backward,
        backward_pct=regurgitant_pct(backward, forward),
        peak_cm_s=max(_fastest(v[..., t][inside[..., t]]) for t in range(len(curve))),
        peak_mean_cm_s=float(np.nanmax(means)),
        peak_frame=int(curve.argmax()), area_cm2=float(counts.mean()) * pixel_cm2,
        net_se_ml=_net_se(inside, offset_se, noise_cm_s, pixel_cm2=pixel_cm2, step=step),
        turned=turned,
    )  # fmt: skip


def regurgitant_pct(backward_ml: float, forward_ml: float) -> float:
    """Return what flows back of what flowed forward; NaN for nothing forward.

    Examples
    --------
    >>> regurgitant_pct(20.0, 80.0)
    25.0
    """
    return 100.0 * backward_ml / forward_ml if forward_ml > 0 else math.nan


def _nothing(n_frames: int) -> FlowNumbers:
    lost = math.nan
    return FlowNumbers(
        curve_ml_s=np.full(n_frames, lost), forward_ml=lost, backward_ml=lost, net_ml=lost,
        backward_pct=lost, peak_cm_s=lost, peak_mean_cm_s=lost, peak_frame=0, area_cm2=0.0,
        net_se_ml=lost, turned=False,
    )  # fmt: skip


def _fastest(values: Floats) -> float:
    return float(np.sort(values)[-_PEAK_VOXELS:].mean())


def _net_se(
    inside: NDArray[np.bool_],
    offset_se: ArrayLike | None,
    noise_cm_s: float,
    *,
    pixel_cm2: float,
    step: float,
) -> float:
    if offset_se is None:
        return math.nan
    # The offset is wrong by the same in all voxels of a vessel and all frames: it adds up.
    shared = float((inside * np.asarray(offset_se, dtype=float)[..., None]).sum())
    noise = noise_cm_s * math.sqrt(float(inside.sum())) if math.isfinite(noise_cm_s) else 0.0
    return math.hypot(shared, noise) * pixel_cm2 * step
