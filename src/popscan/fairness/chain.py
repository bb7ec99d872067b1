"""Gaps of a chain of measurements in one go: sums of all draws, solved per draw."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from popscan.stats.means import Floats


@dataclass(frozen=True)
class Chain:
    """Gap after each step, and among those of the previous step who remain, per draw."""

    gaps: Floats  # (draws, steps)
    remaining: Floats  # (draws, steps): previous values among common units


def sums_table(values: Floats, x: Floats) -> Floats:
    """Columns whose sums give every gap: counts, totals, common counts, previous totals, products.

    Values and confounders are centred, which moves no gap and keeps digits.
    """
    present = np.isfinite(values)
    y = np.where(present, values - (values[present].mean() if present.any() else 0.0), 0.0)
    common = present[:, 1:] & present[:, :-1]
    parts = [present, y, common, y[:, :-1] * common]
    if x.shape[1]:
        complete = np.isfinite(x).all(axis=1) & present[:, -1]
        z = np.where(complete[:, None], x - np.nanmean(x, axis=0), 0.0)
        last = np.where(complete, y[:, -1], 0.0)
        parts += [
            complete[:, None], last[:, None], z, z * last[:, None],
            (z[:, :, None] * z[:, None, :]).reshape(len(z), -1),
        ]  # fmt: skip
    return np.concatenate([part.astype(np.float64) for part in parts], axis=1)


def chain_of(sums: Mapping[int, Floats], code: int, base: int, shape: tuple[int, int]) -> Chain:
    """Gaps after each step, and of the previous values among who remains."""
    k, p = shape
    cut = np.cumsum([k, k, k - 1, k - 1])
    n, total, shared, previous = np.split(sums[code][:, : cut[-1]], cut[:-1], axis=1)
    n0, total0, shared0, previous0 = np.split(sums[base][:, : cut[-1]], cut[:-1], axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        gaps = total / n - total0 / n0
        remaining = previous / shared - previous0 / shared0
        remaining = np.concatenate([np.full((len(gaps), 1), np.nan), remaining], axis=1)
        if p:
            raw, adjusted = _ancova({c: s[:, cut[-1] :] for c, s in sums.items()}, code, base, p)
            gaps = np.concatenate([gaps, adjusted[:, None]], axis=1)
            remaining = np.concatenate([remaining, raw[:, None]], axis=1)
    return Chain(gaps, remaining)


def _ancova(sums: Mapping[int, Floats], code: int, base: int, p: int) -> tuple[Floats, Floats]:
    """Raw and adjusted gap of the complete rows, slopes pooled within all groups."""
    draws = len(sums[code])
    xx, xy = np.zeros((draws, p, p)), np.zeros((draws, p))
    means: dict[int, tuple[Floats, Floats]] = {}
    for group, s in sums.items():
        n, y, sx = s[:, :1], s[:, 1:2], s[:, 2 : 2 + p]
        full = np.maximum(n, 1)
        sxy, sxx = s[:, 2 + p : 2 + 2 * p], s[:, 2 + 2 * p :].reshape(-1, p, p)
        xx = xx + sxx - sx[:, :, None] * sx[:, None, :] / full[:, :, None]
        xy = xy + sxy - sx * y / full
        means[group] = (sx / n, (y / n)[:, 0])
    slopes = np.einsum("bij,bj->bi", np.linalg.pinv(xx), xy)
    raw = means[code][1] - means[base][1]
    return raw, raw - ((means[code][0] - means[base][0]) * slopes).sum(axis=1)
