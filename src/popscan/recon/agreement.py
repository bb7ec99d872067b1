"""Whether lines agree better with a prediction of another phase than with that of their own."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from popscan.recon.predicted import Hybrid

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """How near lines are to their prediction in other phases; squares, relative to what is usual.

    Attributes
    ----------
    gain, distance : ndarray, shape (t, y, delay)
        How much nearer a line is to the prediction so many frames later than to that of its own
        frame; squared distance of the two predictions.
    residual : ndarray, shape (t, y)
        Squared difference of a line from the prediction of its own frame, for each sample.
    """

    gain: Floats
    distance: Floats
    residual: Floats

    def score(self, lines: NDArray[np.bool_], *, n_sigma: float) -> float:
        """Return how much better the best other phase explains some lines (t, y).

        Relative to the squared distance of the predictions: 1 where the other is right, -1 where
        the own one is; less `n_sigma` standard deviations of what the residual, as noise, does to
        it. -1 where predictions do not differ: nothing is known.
        """
        if not lines.any():
            return -1.0
        gain = self.gain[lines].sum(axis=0)[1:]
        far = self.distance[lines].sum(axis=0)[1:]
        known = far > 0
        if not known.any():
            return -1.0
        variance = float(self.residual[lines].mean())
        noise = n_sigma * 2 * np.sqrt(variance / far[known])
        return float(np.max(gain[known] / far[known] - noise))

    def delay(self, lines: NDArray[np.bool_]) -> int:
        """Return by how many frames the phase is later that explains some lines (t, y) best."""
        return int(np.argmax(self.gain[lines].sum(axis=0)))


def agreement_of(hybrid: Hybrid, predicted: Tensor) -> Agreement:
    """Compare the lines of a slice with predicted ones (t, coil, x, y).

    Parameters
    ----------
    hybrid
        The slice.
    predicted
        All its lines, as other lines predict them.
    """
    data = hybrid.data[0]
    n_t, n_coils, n_x, n_y = data.shape
    flat, model = (v.permute(3, 0, 1, 2).reshape(n_y, n_t, -1) for v in (data, predicted))
    with_line = (model.conj() @ flat.mT).real.numpy().astype(float)  # (y, phase, t)
    with_self = (model.conj() @ model.mT).real.numpy().astype(float)
    energy = np.einsum("ytt->ty", with_self)
    own = np.einsum("ytt->ty", with_line)
    frame = np.arange(n_t)
    later = (frame[:, np.newaxis] + frame) % n_t  # (t, delay)
    others = energy[later].transpose(0, 2, 1)  # (t, y, delay)
    near = with_line[:, later, frame[:, np.newaxis]].transpose(1, 0, 2)
    apart = with_self[:, later, frame[:, np.newaxis]].transpose(1, 0, 2)
    gain = energy[..., np.newaxis] - others + 2 * near - 2 * own[..., np.newaxis]
    distance = energy[..., np.newaxis] + others - 2 * apart
    distance = np.where(distance > 1e-6 * energy[..., np.newaxis], distance, 0)  # rounding
    squares = data.abs().square().sum(dim=(1, 2)).numpy().astype(float)
    residual = np.maximum(squares + energy - 2 * own, 0) / (n_coils * n_x)
    usual = _usual(residual, hybrid.mask)
    each = usual[:, np.newaxis]
    return Agreement(gain=gain / each, distance=distance / each, residual=residual / usual)


def _usual(residual: Floats, mask: NDArray[np.bool_]) -> Floats:
    """Usual residual (y) of the lines as far from the centre, by those (t, y) that are there."""
    n_y = mask.shape[1]
    far = np.abs(np.arange(n_y) - n_y // 2)
    there = mask.any(axis=0)
    out = np.ones(n_y)
    for y in np.flatnonzero(there):
        near = np.abs(far - far[y]) <= 2 + far[y] // 8
        out[y] = np.median(residual[:, near][mask[:, near]])
    return np.maximum(out, 1e-20 + 1e-9 * out[there].max(initial=0))
