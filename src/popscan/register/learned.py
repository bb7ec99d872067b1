"""Registration of slices by trained networks, in one pass or a few steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from pydantic import BaseModel, ConfigDict, Field

from popscan.modelfolder import (
    MODEL,
    ModelFacts,
    find_model,
    folder_digest,
    read_facts,
    read_weights,
    write_model,
)
from popscan.records import PopscanError, SubjectError
from popscan.register.architectures import build_registration
from popscan.register.flows import Tensor
from popscan.register.network import CONTROL_MM, PIXEL_MM, STIFFNESS
from popscan.register.pairs import check_pairs
from popscan.register.slices import of_slices, to_slices
from popscan.register.svf import seen
from popscan.register.velocities import Grid, unfolded
from popscan.register.warp import Warp

if TYPE_CHECKING:
    from popscan.register.architectures import Registers

_OF = "registration"
_Channels = Annotated[int, Field(ge=1, le=512, strict=True)]
#: Widths of grey values (1st to 99th percentile) for which the unrolled steps were learned.
_RANGE = (0.25, 1.75)
#: Pairs at once: more fall out of a processor's cache.
_PAIRS = 8


class PairArguments(BaseModel):
    """Arguments of `popscan.register.network.PairNetwork`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    channels: Annotated[list[_Channels], Field(min_length=3, max_length=8)]


class UnrolledArguments(BaseModel):
    """Arguments of `popscan.register.unrolled.UnrolledNetwork`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    levels_mm: Annotated[list[Annotated[float, Field(ge=0.1, le=100)]], Field(max_length=8)]
    n_steps: Annotated[list[Annotated[int, Field(ge=1, le=64, strict=True)]], Field(max_length=8)]
    channels: Annotated[list[_Channels], Field(min_length=2, max_length=2)]
    distance: str = "mixed"


class DeformationArguments(BaseModel):
    """Arguments of `popscan.register.deformations.DeformationNetwork`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    channels: Annotated[list[_Channels], Field(min_length=2, max_length=2)]
    codes: _Channels


class PairFacts(ModelFacts):
    """What ``model.yaml`` must say; other keys are notes."""

    kind: Literal["registration"]
    architecture: Literal["pairs", "gradirn", "vr_net", "deformations"]
    arguments: PairArguments | UnrolledArguments | DeformationArguments


def model_digest(name: str) -> str:
    """Return the SHA-256 over ``model.yaml`` and the weights: what a result depends on."""
    return folder_digest(find_model(name, of=_OF))


@cache
def load_pairs(name: str, architecture: str = "pairs", device: str = "cpu") -> torch.nn.Module:
    """Load a model once per process, in evaluation mode.

    Raises
    ------
    PopscanError
        If a file is absent, altered, or does not describe such a network with weights that fit.
    """
    folder = find_model(name, of=_OF)
    facts = read_facts(folder, PairFacts)
    if facts.architecture != architecture:
        raise PopscanError(
            f"{folder / MODEL}: architecture {architecture} is expected, found {facts.architecture}"
        )
    build = partial(build_registration, architecture, 0, **facts.arguments.model_dump())
    return read_weights(folder, build, facts=facts, what="network of pairs").to(device)


def save_pairs(
    folder: Path,
    network: torch.nn.Module,
    *,
    about: Mapping[str, Any],
    card: str,
    architecture: str = "pairs",
) -> Path:
    """Write a model, its weights in half precision.

    Parameters
    ----------
    folder
        Made if absent; its three files are replaced.
    network
        What was trained.
    about
        ``name``, ``arguments`` and notes for ``model.yaml``.
    card
        Text of ``card.md``.
    architecture
        A key of `popscan.register.architectures.ARCHITECTURES`.
    """
    head = {"kind": "registration", "architecture": architecture} | dict(about)
    return write_model(folder, network, head=head, card=card)


def voxelmorph(
    fixed: ArrayLike,
    moving: ArrayLike,
    *,
    spacing_mm: Sequence[float],
    model: str,
    stiffness: float | ArrayLike = 0.08,
    device: str = "cpu",
) -> Warp:
    """Register slices by one pass of a network that was trained on pairs like them.

    See `popscan.register.network`. The result is the exponential of a stationary velocity, as of
    `popscan.register.svf.svf`: exchanging the images inverts it, equal images give no motion, and
    a field that folds is smoothed until it does not. The network knows slices: of volumes every
    slice is registered by itself, and nothing moves through the plane.

    Parameters
    ----------
    fixed, moving
        As for every method: `popscan.register.METHODS`. Intensities of about 0 to 1.
    spacing_mm
        Voxel distances, one per axis.
    model
        Name of a model in resources/models, or a folder.
    stiffness : float or array_like, shape (n, x, y), (n, x, y, z)
        How much bending the velocity costs against the difference of the images, as of `svf`, the
        same everywhere or not; within `popscan.register.network.STIFFNESS`.
    device
        ``cpu``, ``cuda``.

    Returns
    -------
    Warp
        With its inverse, and the velocity in mm on its own grid.

    Raises
    ------
    SubjectError
        As `popscan.register.check_pairs`; ``shape_mismatch`` for a stiffness of another grid.
    PopscanError
        For a model that cannot be used, or a stiffness that it was not shown.
    """
    network = load_pairs(model, "pairs", device)
    return _by_network(
        network, fixed, moving, spacing_mm=spacing_mm, stiffness=stiffness, device=device
    )


def gradirn(
    fixed: ArrayLike,
    moving: ArrayLike,
    *,
    spacing_mm: Sequence[float],
    model: str,
    stiffness: float | ArrayLike = 0.08,
    device: str = "cpu",
) -> Warp:
    """Register slices by a few steps down a distance's gradient, each regularised by a network.

    See `popscan.register.unrolled`. Arguments, result and errors are those of `voxelmorph`, and
    SubjectError ``bad_intensities`` where a pair's grey values are far from 0 to 1.
    """
    network = load_pairs(model, "gradirn", device)
    _check_range(fixed, moving)
    return _by_network(
        network, fixed, moving, spacing_mm=spacing_mm, stiffness=stiffness, device=device
    )


def vr_net(
    fixed: ArrayLike,
    moving: ArrayLike,
    *,
    spacing_mm: Sequence[float],
    model: str,
    stiffness: float | ArrayLike = 0.08,
    device: str = "cpu",
) -> Warp:
    """Register slices by a few steps of variable splitting, each denoised by a network.

    See `popscan.register.unrolled`. Arguments, result and errors are those of `voxelmorph`, and
    SubjectError ``bad_intensities`` where a pair's grey values are far from 0 to 1.
    """
    network = load_pairs(model, "vr_net", device)
    _check_range(fixed, moving)
    return _by_network(
        network, fixed, moving, spacing_mm=spacing_mm, stiffness=stiffness, device=device
    )


def _check_range(fixed: ArrayLike, moving: ArrayLike) -> None:
    """Refuse grey values on which the steps are not those that were learned."""
    both = np.concatenate([np.ravel(np.asarray(a, dtype=np.float32)) for a in (fixed, moving)])
    if not np.isfinite(both).all():
        return  # `check_pairs` says it
    low, high = np.percentile(both, (1.0, 99.0)) if both.size else (0.0, 0.0)
    if high > low and not _RANGE[0] <= high - low <= _RANGE[1]:
        raise SubjectError(
            "bad_intensities",
            f"grey values from {low:g} to {high:g} (1st to 99th percentile); about 0 to 1 expected",
        )


def _by_network(
    network: torch.nn.Module,
    fixed: ArrayLike,
    moving: ArrayLike,
    *,
    spacing_mm: Sequence[float],
    stiffness: float | ArrayLike,
    device: str,
) -> Warp:
    """Register slice by slice by any network of `popscan.register.architectures`."""
    registers = cast("Registers", network)
    flat = len(spacing_mm) == 2
    pairs = check_pairs(
        fixed, moving, spacing_mm=spacing_mm, least_voxels=None if flat else (2, 2, 1)
    )
    n, depth = len(pairs.fixed), 1 if flat else pairs.shape[2]
    whole = _stiffness(stiffness, pairs.fixed.shape)
    arrays = [a if flat else to_slices(a) for a in (pairs.fixed, pairs.moving, whole)]
    full = Grid(shape=pairs.shape[:2], spacing_mm=pairs.spacing_mm[:2])
    known, control = Grid.of(full, PIXEL_MM), Grid.of(full, CONTROL_MM)
    parts = []
    with torch.no_grad():
        for first in range(0, n * depth, _PAIRS):
            rows = [_known(a[first : first + _PAIRS], full, known, device) for a in arrays]
            stiff = rows[2].clamp(*STIFFNESS)
            parts.append(registers.between(rows[0], rows[1], stiffness=stiff, control=control))
        warp = unfolded(torch.cat(parts).clone(), control, full)
    return warp if flat else of_slices(warp, n, pairs.spacing_mm[2])


def _stiffness(stiffness: float | ArrayLike, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Return the stiffness of every voxel."""
    values = np.asarray(stiffness, dtype=np.float32)
    low, high = STIFFNESS
    if not bool(((values >= low) & (values <= high)).all()):
        raise PopscanError(
            f"stiffness from {low:g} to {high:g} is what the network was shown; found "
            f"{values.min():g} to {values.max():g}"
        )
    if values.ndim and values.shape != shape:
        raise SubjectError(
            "shape_mismatch", f"a stiffness of shape {values.shape} goes with images of {shape}"
        )
    return np.broadcast_to(values, shape).copy()


def _known(array: NDArray[np.float32], full: Grid, known: Grid, device: str) -> Tensor:
    """Return slices as (n, 1, x, y) at the pixel side that the networks know."""
    images = torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32))[:, None].to(device)
    return seen(images, full, known)
