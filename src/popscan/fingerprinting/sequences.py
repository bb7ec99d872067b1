"""What a tissue's magnetisation gives through a sequence of varying pulses.

Pulses are instantaneous turns about one axis, so all configuration states stay real. What a slice
profile does is a weighted sum over flip angles (`Schedule.profile`).

Weigel M. Extended phase graphs: dephasing, RF pulses, and echoes - pure and simple. J Magn Reson
Imaging 41:266-295, 2015. Jiang Y, Ma D, Seiberlich N, Gulani V, Griswold MA. MR fingerprinting
using fast imaging with steady state precession (FISP) with spiral readout. Magn Reson Med
74:1621-1631, 2015.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from popscan.records import PopscanError

Array = NDArray[np.float64]
_Signal = TypeVar("_Signal", np.float32, np.complex64)
#: Longest sequence that is simulated.
MAX_FRAMES = 5000


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """Pulses and times of a sequence.

    Attributes
    ----------
    flip_deg : ndarray, shape (frames,)
        Flip angles.
    tr_ms : ndarray, shape (frames,)
        From each pulse to the next.
    te_ms
        From a pulse to its sample; shorter than each of `tr_ms`.
    inversion_ms
        From an inversion before the sequence to the first pulse; None for no inversion.
    profile : tuple of (float, float)
        The slice profile: share of the nominal flip angle, and weight; weights add up to 1.
    n_states
        Configuration states that are followed; what is dephased further is left out.
    """

    flip_deg: NDArray[np.float64]
    tr_ms: NDArray[np.float64]
    te_ms: float = 3.0
    inversion_ms: float | None = 20.0
    profile: tuple[tuple[float, float], ...] = ((1.0, 1.0),)
    n_states: int = 40

    def __post_init__(self) -> None:
        flips, times = np.asarray(self.flip_deg), np.asarray(self.tr_ms)
        if flips.ndim != 1 or not 0 < len(flips) <= MAX_FRAMES or times.shape != flips.shape:
            raise PopscanError(
                f"flip angles {flips.shape} and repetition times {times.shape}: one of each per "
                f"frame is expected, at most {MAX_FRAMES}"
            )
        if not (np.isfinite(flips).all() and np.isfinite(times).all()):
            raise PopscanError("flip angles and repetition times must be finite numbers")
        if not 0 <= self.te_ms < times.min():
            raise PopscanError(
                f"te_ms {self.te_ms:g}: 0 to below the shortest tr_ms ({times.min():g}) is expected"
            )
        if self.n_states < 2:
            raise PopscanError(f"n_states {self.n_states}: 2 or more are expected")
        if self.inversion_ms is not None and not self.inversion_ms >= 0:
            raise PopscanError(f"inversion_ms {self.inversion_ms:g}: 0 or more is expected")
        if not self.profile or not math.isclose(sum(w for _, w in self.profile), 1, abs_tol=1e-6):
            raise PopscanError("profile: weights that add up to 1 are expected")

    @property
    def n_frames(self) -> int:
        """Frames of a signal."""
        return len(self.flip_deg)

    @classmethod
    def lobes(
        cls,
        n_frames: int = 400,
        *,
        seed: int = 0,
        largest_deg: tuple[float, float] = (20.0, 70.0),
        length: int = 100,
        tr_ms: tuple[float, float] = (11.5, 14.5),
    ) -> Schedule:
        """Return a schedule like that of Jiang et al. (2015).

        Parameters
        ----------
        n_frames
            Pulses.
        seed
            Of the lobes' heights and of the repetition times.
        largest_deg
            Range of the largest flip angle of a lobe; lobes begin and end at 5 degrees.
        length
            Pulses of a lobe.
        tr_ms
            Range of repetition times, which vary smoothly.
        """
        rng = np.random.default_rng(seed)
        n_lobes = -(-n_frames // length)
        phase = np.sin(np.pi * (np.arange(n_lobes * length) % length) / length)
        heights = np.repeat(rng.uniform(*largest_deg, n_lobes), length)
        flips = (5.0 + (heights - 5.0) * phase)[:n_frames]
        knots = rng.uniform(*tr_ms, n_frames // 20 + 2)
        times = np.interp(np.arange(n_frames) / 20, np.arange(len(knots)), knots)
        return cls(flip_deg=flips, tr_ms=times)


def fisp_signals(
    schedule: Schedule, t1_ms: ArrayLike, t2_ms: ArrayLike, *, b1: ArrayLike = 1.0
) -> NDArray[np.float32]:
    """Return signals of a sequence that dephases by one full turn in each repetition (EPG).

    Parameters
    ----------
    schedule
        Pulses and times.
    t1_ms, t2_ms : array_like, shape (n,)
        Relaxation times, above 0.
    b1 : array_like, shape () or (n,)
        Real share of the nominal flip angles, above 0.

    Returns
    -------
    ndarray of float32, shape (n, frames)
        In units of the equilibrium magnetisation; (0, frames) for no tissue.

    Raises
    ------
    PopscanError
        For times or shares that are not above 0, or shapes that differ.
    """
    return _over_profile(partial(_fisp, schedule), schedule, t1_ms, t2_ms, b1)


def bssfp_signals(
    schedule: Schedule,
    t1_ms: ArrayLike,
    t2_ms: ArrayLike,
    *,
    off_resonance_hz: ArrayLike = 0.0,
    b1: ArrayLike = 1.0,
) -> NDArray[np.complex64]:
    """Return signals of a balanced sequence with alternating pulses (Bloch equations).

    Parameters
    ----------
    schedule
        Pulses and times; `n_states` is not used.
    t1_ms, t2_ms : array_like, shape (n,)
        Relaxation times, above 0.
    off_resonance_hz, b1 : array_like, shape () or (n,)
        Offset of the frequency, and real share of the flip angles, above 0.

    Returns
    -------
    ndarray of complex64, shape (n, frames)
        In units of the equilibrium magnetisation, demodulated by the alternation.

    Raises
    ------
    PopscanError
        As `fisp_signals`, or for an offset that is no finite number.
    """
    offsets = np.asarray(off_resonance_hz, dtype=np.float64)
    if not np.isfinite(offsets).all():
        raise PopscanError("off_resonance_hz: finite numbers are expected")
    return _over_profile(partial(_bssfp, schedule, offsets), schedule, t1_ms, t2_ms, b1)


def _over_profile(
    simulate: Callable[[Array, Array, Array], NDArray[_Signal]],
    schedule: Schedule,
    t1_ms: ArrayLike,
    t2_ms: ArrayLike,
    b1: ArrayLike,
) -> NDArray[_Signal]:
    """Return the weighted sum over the shares of the slice profile."""
    t1, t2 = _times("t1_ms", t1_ms), _times("t2_ms", t2_ms)
    if t1.shape != t2.shape or t1.ndim != 1:
        raise PopscanError(f"t1_ms {t1.shape} and t2_ms {t2.shape}: two of one length are expected")
    share = np.broadcast_to(_times("b1", b1), t1.shape)
    parts = [simulate(t1, t2, share * relative) * w for relative, w in schedule.profile]
    return np.sum(parts, axis=0, dtype=parts[0].dtype)


def _times(name: str, values: ArrayLike) -> NDArray[np.float64]:
    array = np.asarray(values, dtype=np.float64)
    if not (np.isfinite(array) & (array > 0)).all():
        raise PopscanError(f"{name}: finite numbers above 0 are expected")
    return array


def _fisp(
    schedule: Schedule,
    t1_ms: NDArray[np.float64],
    t2_ms: NDArray[np.float64],
    b1: NDArray[np.float64],
) -> NDArray[np.float32]:
    """EPG of one share of the slice profile: F+, F- and Z of (n, states), all real."""
    t1, t2 = torch.as_tensor(t1_ms)[:, None], torch.as_tensor(t2_ms)[:, None]
    n, states = len(t1), min(schedule.n_states, schedule.n_frames)
    plus, minus, along = (torch.zeros(n, states, dtype=torch.float64) for _ in range(3))
    along[:, 0] = _start(schedule, t1[:, 0])
    out = torch.empty(n, schedule.n_frames, dtype=torch.float64)
    te = schedule.te_ms
    flips = torch.as_tensor(np.deg2rad(b1))[:, None]
    for frame, (flip, tr) in enumerate(zip(schedule.flip_deg, schedule.tr_ms, strict=True)):
        angle = flips * flip
        cos, sin, half = angle.cos(), angle.sin(), (angle / 2).cos() ** 2
        plus, minus, along = (
            half * plus - (1 - half) * minus + sin * along,
            half * minus - (1 - half) * plus + sin * along,
            cos * along - sin * (plus + minus) / 2,
        )
        out[:, frame] = plus[:, 0] * torch.exp(-te / t2[:, 0])
        decay = torch.exp(-tr / t2)
        recovery = torch.exp(-tr / t1)
        plus, minus, along = plus * decay, minus * decay, along * recovery
        along[:, 0] += 1 - recovery[:, 0]
        plus, minus = _dephased(plus, minus)
    return out.numpy().astype(np.float32)


def _dephased(plus: Tensor, minus: Tensor) -> tuple[Tensor, Tensor]:
    """Shift the transverse states by one turn; what leaves the last state is lost."""
    before = torch.cat([minus[:, 1:], torch.zeros_like(minus[:, :1])], dim=1)
    return torch.cat([before[:, :1], plus[:, :-1]], dim=1), before


def _start(schedule: Schedule, t1: Tensor) -> Tensor:
    """Return the longitudinal magnetisation before the first pulse."""
    if schedule.inversion_ms is None:
        return torch.ones_like(t1)
    return 1 - 2 * torch.exp(-schedule.inversion_ms / t1)


def _bssfp(
    schedule: Schedule,
    off_resonance_hz: NDArray[np.float64],
    t1_ms: NDArray[np.float64],
    t2_ms: NDArray[np.float64],
    b1: NDArray[np.float64],
) -> NDArray[np.complex64]:
    offsets = np.broadcast_to(off_resonance_hz, t1_ms.shape)
    along = _start(schedule, torch.as_tensor(t1_ms)).numpy()
    across = np.zeros(len(t1_ms), dtype=np.complex128)
    out = np.empty((len(t1_ms), schedule.n_frames), dtype=np.complex64)
    te, sign = schedule.te_ms, 1.0
    for frame, (flip, tr) in enumerate(zip(schedule.flip_deg, schedule.tr_ms, strict=True)):
        angle = sign * np.deg2rad(flip) * b1
        cos, sin = np.cos(angle), np.sin(angle)
        x, along = cos * across.real + sin * along, cos * along - sin * across.real
        across = x + 1j * across.imag
        turned = np.exp(2j * np.pi * offsets * te / 1000 - te / t2_ms)
        out[:, frame] = sign * across * turned
        across = across * np.exp(2j * np.pi * offsets * tr / 1000 - tr / t2_ms)
        along = 1 + (along - 1) * np.exp(-tr / t1_ms)
        sign = -sign
    return out
