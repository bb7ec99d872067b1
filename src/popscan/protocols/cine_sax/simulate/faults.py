"""Known biases and known faults: what is done to the data of some participants on purpose."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, StrictFloat, StrictInt, ValidationError

from popscan.arrays.fourier import centred_fft
from popscan.protocols.cine_sax.labels import Label
from popscan.records import PopscanError

#: What each fault does; the column ``fault`` of the population holds these names or is empty.
FAULTS: Mapping[str, str] = {
    "motion": "breathing during the acquisition and mistriggered lines: ghosts and blur",
    "missing_slices": "the three slices at the base, or the four at the apex, were never acquired",
    "wrong_metadata": "the in-plane spacing is recorded half or twice as large as it is",
    "missing_frames": "only the first 45% of the heart beat was acquired",
    "truncated": "the field of view lies beside the heart and cuts it",
    "corrupt_values": "part of the data is not a number",
    "late_beats": "two of eight beats of each slice were triggered late: their lines show a later "
    "phase",
    "breath": "in the last beats of each slice the body had moved by 8 mm",
}

#: What each kind of bias does at strength 1.
BIASES: Mapping[str, str] = {
    "image_quality": "noise four times as large",
    "contrast": "60% of the contrast between blood and myocardium is lost",
    "fat_layer": "25 mm more fat under the skin, so the coils lie further away",
    "label_noise": "reference contours are off by 3 mm (standard deviation); the truth is not",
}


class Bias(BaseModel):
    """One group whose data are made worse.

    Attributes
    ----------
    attribute, group
        Column and value of the population that mark the group, e.g. ``race`` and ``Black``.
    kind
        One of `BIASES`.
    strength
        0 (none) to 1 (as described in `BIASES`).
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    attribute: str
    group: str
    kind: str
    strength: StrictFloat | StrictInt = Field(ge=0, le=1)


def parse_bias(bias: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None) -> tuple[Bias, ...]:
    """Check one bias, several, or none.

    Raises
    ------
    PopscanError
        For an unknown key or kind, or a strength outside 0..1.
    """
    if not bias:
        return ()
    several = [bias] if isinstance(bias, Mapping) else list(bias)
    try:
        parsed = tuple(Bias.model_validate(dict(one)) for one in several)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise PopscanError(f"simulated bias: {where}: {first['msg']}") from error
    for one in parsed:
        if one.kind not in BIASES:
            raise PopscanError(f"simulated bias: unknown kind {one.kind!r}: {sorted(BIASES)}")
    return parsed


def apply_bias(
    people: pd.DataFrame, biases: Sequence[Bias], *, groups: Mapping[str, Sequence[str]]
) -> pd.DataFrame:
    """Write the biases into the hidden columns that the scan reads.

    Parameters
    ----------
    people
        Population with ``truth_noise_factor``, ``truth_contrast_loss``, ``truth_extra_fat_mm``,
        ``truth_label_noise_mm``.
    biases
        As parsed by `parse_bias`; several on one group add up.
    groups
        Attribute -> groups that it can have, in populations of any size.

    Returns
    -------
    DataFrame
        A copy.

    Raises
    ------
    PopscanError
        If a bias names a column or a group that there is not.
    """
    out = people.copy()
    for bias in biases:
        if bias.attribute not in out:
            raise PopscanError(f"simulated bias: the population has no column {bias.attribute!r}")
        if bias.group not in groups.get(bias.attribute, (bias.group,)):
            raise PopscanError(
                f"simulated bias: {bias.attribute} has no group {bias.group!r}; there are "
                f"{', '.join(groups[bias.attribute])}"
            )
        hit = out[bias.attribute].astype(str) == bias.group
        if bias.kind == "image_quality":
            out.loc[hit, "truth_noise_factor"] *= 1 + 3 * bias.strength
        elif bias.kind == "contrast":
            kept = (1 - out.loc[hit, "truth_contrast_loss"]) * (1 - 0.6 * bias.strength)
            out.loc[hit, "truth_contrast_loss"] = 1 - kept
        elif bias.kind == "fat_layer":
            out.loc[hit, "truth_extra_fat_mm"] += 25 * bias.strength
        else:
            out.loc[hit, "truth_label_noise_mm"] += 3 * bias.strength
    return out


def check_faults(faults: Mapping[str, float] | None) -> dict[str, float]:
    """Return the faults' rates in a fixed order.

    Raises
    ------
    PopscanError
        For an unknown fault, or rates that are negative or add up to more than 1.
    """
    rates = {name: float(rate) for name, rate in (faults or {}).items()}
    unknown = sorted(set(rates) - set(FAULTS))
    if unknown:
        raise PopscanError(f"simulated faults: unknown {unknown}: known are {sorted(FAULTS)}")
    if any(rate < 0 for rate in rates.values()) or sum(rates.values()) > 1 + 1e-9:
        raise PopscanError("simulated faults: rates must be at least 0 and add up to at most 1")
    return {name: rates[name] for name in FAULTS if name in rates}


def corrupt_motion(
    spectrum: NDArray[np.complex64],
    *,
    spacing_mm: float,
    rng: np.random.Generator,
    amplitude_mm: float = 7.0,
    mistriggered: float = 0.2,
) -> NDArray[np.complex64]:
    """Displace and mistrigger phase-encoding lines of the object, before it is received.

    All coils then see one and the same wrong object, so that nothing in their k-space contradicts
    it: lines acquired by coils that stay where they are do (the faults ``late_beats``, ``breath``).

    Parameters
    ----------
    spectrum : ndarray, shape (t, z, kx, ky)
        Centred k-space of the object.
    spacing_mm
        Voxel size along y.
    rng
        Source of breathing phase and triggers.
    amplitude_mm
        Half the range of the breathing along y.
    mistriggered
        Share of lines taken from another frame.

    Returns
    -------
    ndarray
        The corrupted spectrum.
    """
    frames, slices, _, lines = spectrum.shape
    k = (np.arange(lines) - lines // 2) / lines
    out = spectrum.copy()
    for z in range(slices):
        late = rng.random(lines) < mistriggered
        for t in range(frames):
            other = (t + rng.integers(1, max(frames, 2), lines)) % frames
            out[t, z][:, late] = spectrum[other[late], z, :, late].T
        breath = rng.uniform(0, 2 * np.pi) + np.cumsum(rng.uniform(0.25, 0.6, lines))
        shift = amplitude_mm * np.sin(breath) / spacing_mm
        out[:, z] *= np.exp(-2j * np.pi * k * shift).astype(np.complex64)
    return out


def blur_labels(
    labels: NDArray[np.uint8],
    *,
    spacing_mm: tuple[float, float],
    noise_mm: float,
    rng: np.random.Generator,
) -> NDArray[np.uint8]:
    """Redraw labels as an imprecise observer would.

    A habit (contours too wide or too tight, one draw per scan) and a smooth error of each slice
    and frame share the variance.

    Parameters
    ----------
    labels : ndarray of uint8, shape (t, z, x, y)
        True labels.
    spacing_mm
        In-plane voxel size.
    noise_mm
        Standard deviation of a contour's displacement; 0 changes nothing.
    rng
        The observer.

    Returns
    -------
    ndarray of uint8
        Labels, same shape.
    """
    if noise_mm <= 0:
        return labels
    frames, slices, nx, ny = labels.shape
    x, y = np.meshgrid(np.arange(nx), np.arange(ny), indexing="ij")
    out = np.zeros_like(labels)
    habit = rng.normal(0, noise_mm / np.sqrt(2))
    for t in range(frames):
        for z in range(slices):
            here = labels[t, z] == Label.LV
            if not labels[t, z].any():
                continue
            cx, cy = (float(axis[here].mean()) if here.any() else 0.0 for axis in (x, y))
            far = np.maximum(np.hypot((x - cx) * spacing_mm[0], (y - cy) * spacing_mm[1]), 4.0)
            scale = habit / far if here.any() else 0.0
            wave = _waves(rng, nx, ny) * noise_mm / np.sqrt(2)
            at_x = np.rint(x - scale * (x - cx) - wave[0] / spacing_mm[0]).astype(int)
            at_y = np.rint(y - scale * (y - cy) - wave[1] / spacing_mm[1]).astype(int)
            out[t, z] = labels[t, z][at_x.clip(0, nx - 1), at_y.clip(0, ny - 1)]
    return out


def _waves(rng: np.random.Generator, nx: int, ny: int) -> NDArray[np.float64]:
    """Two smooth random fields of unit variance, of about ten voxels' wavelength."""
    keep = 8
    spectrum = np.zeros((2, nx, ny), complex)
    low = (
        slice(None),
        slice(nx // 2 - keep, nx // 2 + keep),
        slice(ny // 2 - keep, ny // 2 + keep),
    )
    spectrum[low] = rng.standard_normal((2, 2 * keep, 2 * keep))
    field = np.real(centred_fft(spectrum, axes=(1, 2)))
    return field / np.maximum(field.std(axis=(1, 2), keepdims=True), 1e-9)
