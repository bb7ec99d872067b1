"""Reconstruction by a trained cascade of networks and data consistency."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from popscan.methods import Count
from popscan.recon.cascade import REACHES, bright
from popscan.recon.dynamic import shared_images
from popscan.recon.encoding import Encoding
from popscan.recon.learned import load_cascade, with_model
from popscan.recon.maps import MapMethod
from popscan.recon.prepared import Slice, pick_device, solved
from popscan.records import KSpace, Scan

#: Frames at once: more fall out of a processor's cache.
_FRAMES = 8


def dc_cnn(
    kspace: KSpace,
    *,
    model: str,
    precision: Literal["float32", "bfloat16"] = "float32",
    maps: MapMethod = "espirit",
    calibration_width: Count = 20,
    prewhiten: bool = False,
    device: str = "cpu",
) -> Scan:
    """Remove aliasing by networks that alternate with data consistency.

    Schlemper et al., IEEE Trans Med Imaging 37:491-503, 2018; see `popscan.recon.cascade`. Of one
    coil the acquired samples are in the result exactly; of several, each consistency is a
    gradient step.

    Parameters
    ----------
    kspace
        What was acquired; single frames or a series, one coil or several.
    model
        Folder of a model bundle, or its name in resources/models.
    precision
        What the convolutions compute in; bfloat16 is faster where a processor has it.
    maps, calibration_width, prewhiten
        As for `popscan.recon.sense.cg_sense`.
    device
        ``cpu``, ``cuda`` or ``auto``.

    Returns
    -------
    Scan
        Magnitudes, float32, shape (x, y, z, t).

    Raises
    ------
    PopscanError
        For a model that cannot be used.
    SubjectError
        For a k-space that cannot be used (see `popscan.recon.acquired.acquired`) and
        ``no_calibration_lines``.
    """
    place = pick_device(device)
    network = load_cascade(model, str(place))

    def solve(one: Slice) -> Tensor:
        own = one.encoding.adjoint(one.data)[0]
        shared = torch.stack([shared_images(one, reach=reach)[0] for reach in REACHES], dim=1)
        scale = bright(shared[:, -1].reshape(1, -1))
        parts = []
        for first in range(0, len(own), _FRAMES):
            rows = slice(first, first + _FRAMES)
            encoding = one.encoding.with_mask(one.mask[:, rows])
            start = own[rows] / scale

            def consistent(
                image: Tensor, encoding: Encoding = encoding, start: Tensor = start
            ) -> Tensor:
                return image - encoding.normal(image[None])[0] + start

            with torch.autocast(place.type, dtype=torch.bfloat16, enabled=precision == "bfloat16"):
                parts.append(network(start, shared[rows] / scale, consistent))
        return (torch.cat(parts) * scale)[None]

    scan = solved(
        kspace, solve, info={"method": "dc_cnn", "precision": precision}, maps=maps,
        calibration_width=calibration_width, prewhiten=prewhiten, device=device,
    )  # fmt: skip
    return with_model(scan, kspace, model, "dc_cnn")
