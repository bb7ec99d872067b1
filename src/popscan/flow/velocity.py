"""From stored phase to velocity."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
from numpy.typing import ArrayLike, NDArray

from popscan.arrays.phase import MILLIRADIANS, RADIANS, half_turn
from popscan.flow.checks import require_venc
from popscan.records import SubjectError

Floats = NDArray[np.float64]

#: What half a turn may be stored as: radians, milliradians, and 13 signed bits (Siemens).
_HALF_TURNS = (RADIANS, MILLIRADIANS, 4096.0)
#: Angles: kind -> what half a turn is stored as.
_ANGLES: Mapping[str, float] = MappingProxyType(
    {
        "radians": RADIANS, "milliradians": MILLIRADIANS, "degrees": 180.0, "half_turns": 1.0,
        "4096ths": 4096.0, "2048ths": 2048.0,
    }
)  # fmt: skip
#: Velocities: kind -> the unit in cm/s.
_VELOCITIES: Mapping[str, float] = MappingProxyType({"cm_s": 1.0, "mm_s": 0.1, "m_s": 100.0})
#: What phase images may hold.
KINDS = (*_ANGLES, *_VELOCITIES)
#: Noise in the air reaches at least this share of half a turn, and no value exceeds it by more.
_FILLED, _BEYOND = 0.98, 1.002
#: Kinds whose half turns differ by less give the same velocities.
_ALIKE = 0.005
#: Values that fill the turn of another kind, and less than this share of that which is stated, are
#: of the other.
_STATED_SHARE = 0.6
#: They fill it where so many, and this share of what is not 0, lie at either end: noise does, a
#: vessel's fastest pixels do not.
_AT_END, _AT_END_SHARE = 5, 5e-4


def phase_radians(stored: ArrayLike, *, half: float | None = None) -> Floats:
    """Return phase in radians from stored values.

    Parameters
    ----------
    stored
        Phase, scaled as the file says.
    half
        What half a turn is stored as, where the file says it; otherwise it has to be pi, 1000 pi or
        4096, and follows from the range where one of them alone can be: values up to 1500 could be
        milliradians or 4096ths, unless noise in the air fills the turn. Phase is signed: values
        from 0 up (a middle that was not taken off) are refused.

    Raises
    ------
    SubjectError
        ``bad_phase`` where the range fits none of them, or several.
    """
    values = np.asarray(stored, dtype=float)
    found = half_turn(values, _HALF_TURNS if half is None else (half,))
    if found is not None and values.min() < 0:
        return values * (math.pi / found)
    raise SubjectError(
        "bad_phase",
        f"phase from {values.min(initial=0.0):.4g} to {values.max(initial=0.0):.4g}: not a turn in "
        "radians, milliradians or 4096ths alone; what half a turn is stored as has to be given",
    )


def velocity_cm_s(phase_rad: ArrayLike, *, venc_cm_s: float) -> Floats:
    """Return velocity through the plane; pi is the velocity encoding.

    Raises
    ------
    SubjectError
        ``bad_venc``.
    """
    require_venc(venc_cm_s)
    return np.asarray(phase_rad, dtype=float) * (venc_cm_s / math.pi)


def stored_velocity(
    stored: ArrayLike, *, venc_cm_s: float, kind: str = "auto"
) -> tuple[Floats, str]:
    """Return velocity through the plane from stored values, and what they were stored as.

    Scanners and converters store an angle (radians, milliradians, degrees, half turns, or 4096ths
    or 2048ths of these) or the velocity itself (cm/s, mm/s, m/s). Unless `kind` says it, the range
    must: noise in the air reaches the end of the turn, and one kind alone may end there.

    Parameters
    ----------
    stored
        Signed values, scaled as the file says.
    venc_cm_s
        Velocity encoding: the velocity of half a turn.
    kind
        One of `KINDS`, or ``auto``.

    Returns
    -------
    velocity : ndarray
        In cm/s.
    kind : str
        One of `KINDS`.

    Raises
    ------
    SubjectError
        ``bad_venc``; ``bad_phase`` for values from 0 up (a middle that was not taken off), values
        beyond half a turn of `kind`, or that pile up at both ends of another kind's turn, far
        within that of `kind`, and a range that fits no kind, or several.
    """
    require_venc(venc_cm_s)
    values = np.asarray(stored, dtype=float)
    low, high = float(values.min(initial=0.0)), float(values.max(initial=0.0))
    span = f"phase from {low:.4g} to {high:.4g} by an encoding of {venc_cm_s:g} cm/s"
    if not low < 0:
        raise SubjectError("bad_phase", f"{span}: signed values expected")
    halves = {**_ANGLES, **{name: venc_cm_s / unit for name, unit in _VELOCITIES.items()}}
    largest = max(-low, high)
    fitting = [name for name, half in halves.items() if _FILLED * half <= largest <= _BEYOND * half]
    if kind != "auto":
        if largest > _BEYOND * halves[kind]:
            raise SubjectError(
                "bad_phase", f"{span}: beyond {halves[kind]:.4g}, the end of a turn in {kind}"
            )
        filled = [name for name in fitting if _fills(values, halves[name])]
        if filled and largest < _STATED_SHARE * halves[kind]:
            raise SubjectError(
                "bad_phase",
                f"{span}: stated to be {kind}, but it ends at {largest / halves[kind]:.2g} of such "
                f"a half turn, where one in {' or '.join(filled)} does",
            )
        return values * (venc_cm_s / halves[kind]), kind
    if fitting:
        first = halves[fitting[0]]
        if all(abs(halves[name] / first - 1.0) < _ALIKE for name in fitting):
            return values * (venc_cm_s / first), fitting[0]
    why = f"{' and '.join(fitting)} all end there" if fitting else "no kind of phase ends there"
    raise SubjectError("bad_phase", f"{span}: {why}; set source.flow.phase")


def _fills(values: Floats, half: float) -> bool:
    """Whether values pile up at both ends of a turn, as those of air do."""
    least = max(_AT_END, _AT_END_SHARE * np.count_nonzero(values))
    ends = (values >= _FILLED * half, values <= -_FILLED * half)
    return all(np.count_nonzero(end) >= least for end in ends)
