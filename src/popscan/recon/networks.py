"""Reconstruction by networks that are given the whole k-space of a slice."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor

from popscan.methods import Count
from popscan.recon.dynamic import require_series
from popscan.recon.learned import load_network, load_series_network, with_model
from popscan.recon.maps import MapMethod
from popscan.recon.prepared import Slice, pick_device, solved
from popscan.records import KSpace, Scan, SubjectError

if TYPE_CHECKING:
    from popscan.recon.domain import DomainTransform


def varnet(
    kspace: KSpace,
    *,
    model: str,
    maps: MapMethod = "espirit",
    calibration_width: Count = 20,
    prewhiten: bool = False,
    device: str = "cpu",
) -> Scan:
    """Take gradient steps towards the data, each with a learned regulariser.

    Hammernik et al., Magn Reson Med 79:3055-3071, 2018; see `popscan.recon.unrolled`: series
    and single frames start from compressed sensing (total variation). Acquired samples are
    approached and not put back: they are noisy.

    Parameters
    ----------
    kspace
        What was acquired; single frames or a series, one coil or several.
    model
        Folder of a model bundle, or its name in resources/models.
    maps, calibration_width, prewhiten
        As for `popscan.recon.sense.cg_sense`.
    device
        ``cpu``, ``cuda`` or ``auto``.

    Returns
    -------
    Scan
        Magnitudes, float32, shape (x, y, z, t). ``meta["reconstruction"]["unlike_training"]`` says
        how the k-space differs from what the model was trained on.

    Raises
    ------
    PopscanError
        For a model that cannot be used.
    SubjectError
        For a k-space that cannot be used (see `popscan.recon.acquired.acquired`) and
        ``no_calibration_lines``.
    """
    return _by_series(kspace, "varnet", model=model, maps=maps, prewhiten=prewhiten,
                      calibration_width=calibration_width, device=device)  # fmt: skip


def kt_sense_net(
    kspace: KSpace,
    *,
    model: str,
    maps: MapMethod = "espirit",
    calibration_width: Count = 20,
    prewhiten: bool = False,
    device: str = "cpu",
) -> Scan:
    """Do as `kt_sense` does, with a prior that a network gives of the aliased x-f images.

    See `popscan.recon.kt_network`: the network says what signal to expect in each pixel and
    temporal frequency and how far it may be from that; conjugate gradients find the series that
    agrees with it and with the data of all coils.

    Parameters
    ----------
    kspace
        What was acquired; frames should differ in their samples.
    model
        Folder of a model bundle, or its name in resources/models.
    maps, calibration_width, prewhiten
        As for `popscan.recon.sense.cg_sense`.
    device
        ``cpu``, ``cuda`` or ``auto``.

    Returns
    -------
    Scan
        As of `varnet`.

    Raises
    ------
    PopscanError
        For a model that cannot be used.
    SubjectError
        For a k-space that cannot be used (see `popscan.recon.acquired.acquired`),
        ``single_frame`` and ``no_calibration_lines``.
    """
    require_series(kspace, "kt_sense_net")
    return _by_series(kspace, "kt_sense_net", model=model, maps=maps, prewhiten=prewhiten,
                      calibration_width=calibration_width, device=device)  # fmt: skip


def _by_series(kspace: KSpace, method: str, *, model: str, device: str, **options: Any) -> Scan:
    network = load_series_network(model, method, str(pick_device(device)))

    def solve(one: Slice) -> Tensor:
        found: Tensor = network(one.data, one.mask, one.encoding, one.over_time)
        return found

    scan = solved(kspace, solve, info={"method": method}, device=device, **options)
    return with_model(scan, kspace, model, method)


def dautomap(kspace: KSpace, *, model: str, device: str = "cpu") -> Scan:
    """Transform k-space to the image by learned matrices, one along each axis; one coil.

    Schlemper et al., arXiv:1909.10995, 2019; see `popscan.recon.domain`. Each frame alone. What was
    acquired is not put back, so nothing holds the result to the data.

    Parameters
    ----------
    kspace
        What was acquired by one coil; at most the matrix that the model was trained for.
    model
        Folder of a model bundle, or its name in resources/models.
    device
        ``cpu``, ``cuda`` or ``auto``.

    Returns
    -------
    Scan
        As of `varnet`.

    Raises
    ------
    PopscanError
        For a model that cannot be used.
    SubjectError
        For a k-space that cannot be used (see `popscan.recon.acquired.acquired`),
        ``several_coils`` and ``matrix_too_large``.
    """
    network = cast("DomainTransform", load_network(model, "dautomap", str(pick_device(device))))
    sides = tuple(int(n) for n in network.sides)
    if kspace.data.ndim == 5 and any(
        n > most for n, most in zip(kspace.data.shape[1:3], sides, strict=True)
    ):
        raise SubjectError(
            "matrix_too_large",
            f"k-space of {kspace.data.shape[1]} x {kspace.data.shape[2]} samples: the model's "
            f"transform takes {sides[0]} x {sides[1]}",
        )

    def solve(one: Slice) -> Tensor:
        if one.data.shape[2] > 1:
            raise SubjectError(
                "several_coils", f"{one.data.shape[2]} coils: method dautomap is for one coil"
            )
        frames = one.data.split(1, dim=1)
        return torch.cat([network(frame, one.mask, one.encoding) for frame in frames], dim=1)

    scan = solved(kspace, solve, info={"method": "dautomap"}, device=device)
    return with_model(scan, kspace, model, "dautomap")
