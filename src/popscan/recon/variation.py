"""Compressed sensing with total variation in space and time: edges are few, aliasing is not.

Block KT, Uecker M, Frahm J. Undersampled radial MRI with multiple coils. Magn Reson Med
57:1086-1098, 2007; in time: Feng L et al. Golden-angle radial sparse parallel MRI. Magn Reson Med
72:707-717, 2014.
"""

from __future__ import annotations

import torch
from torch import Tensor

from popscan.methods import Count, NotNegative
from popscan.recon.encoding import Encoding
from popscan.recon.fista import fista
from popscan.recon.holes import filled_start
from popscan.recon.maps import MapMethod
from popscan.recon.prepared import Slice, solved
from popscan.records import KSpace, Scan

#: Largest eigenvalue of ``D^T D`` for each axis that differences are taken along.
_NORM_OF_AXIS = 4.0


def cs_tv(
    kspace: KSpace,
    *,
    lam: NotNegative = 0.002,
    lam_time: NotNegative = 0.01,
    n_iterations: Count = 20,
    n_inner: Count = 3,
    maps: MapMethod = "espirit",
    calibration_width: Count = 20,
    prewhiten: bool = False,
    device: str = "cpu",
) -> Scan:
    """Minimise ``|E x - y|^2 / 2 + lam |D_xy x|_1 + lam_time |D_t x|_1``.

    Parameters
    ----------
    kspace
        What was acquired; random sampling that differs from frame to frame suits it best.
    lam, lam_time
        Weights of the (isotropic) differences between neighbouring pixels, and of those between
        neighbouring frames (the last is next to the first), relative to the slice's brightest
        tissue. Single frames have no differences in time.
    n_iterations
        Steps of FISTA.
    n_inner
        Steps in each that solve for the differences (Chambolle's dual, going on from the last).
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
    SubjectError
        For a k-space that cannot be used (see `popscan.recon.acquired.acquired`) and
        ``no_calibration_lines``.
    """

    def solve(one: Slice) -> Tensor:
        return variation_solved(
            one.data, one.mask, one.encoding, over_time=one.over_time, lam=lam, lam_time=lam_time,
            n_iterations=n_iterations, n_inner=n_inner,
        )  # fmt: skip

    info = {
        "method": "cs_tv", "lam": lam, "lam_time": lam_time, "n_iterations": n_iterations,
    }  # fmt: skip
    return solved(kspace, solve, info=info, maps=maps, calibration_width=calibration_width,
                  prewhiten=prewhiten, device=device)  # fmt: skip


def variation_solved(
    data: Tensor,
    mask: Tensor,
    encoding: Encoding,
    *,
    over_time: Tensor | None = None,
    lam: float,
    lam_time: float,
    n_iterations: int,
    n_inner: int,
) -> Tensor:
    """Return the images (z, t, x, y) that `cs_tv` finds.

    Parameters
    ----------
    data, mask, encoding, over_time
        As `popscan.recon.prepared.Slice` has them.
    lam, lam_time, n_iterations, n_inner
        As for `cs_tv`.
    """
    dynamic = data.shape[1] > 1 and lam_time > 0
    prox = VariationProx(lam, lam_time if dynamic else 0.0, n_inner=n_inner)
    start = filled_start(data, mask, encoding, over_time=over_time) if dynamic else None
    right = encoding.adjoint(data)
    return fista(encoding.normal, right, prox, n_iterations=n_iterations, start=start)


class VariationProx:
    """Proximal map of total variation; each call goes on from the dual variables of the last.

    Chambolle A. An algorithm for total variation minimization and applications. J Math Imaging
    Vis 20:89-97, 2004.

    Parameters
    ----------
    lam, lam_time
        As for `cs_tv`; a weight of 0 leaves its differences out.
    n_inner
        Dual steps in each call.
    """

    def __init__(self, lam: float, lam_time: float, *, n_inner: int) -> None:
        self.lam, self.lam_time, self.n_inner = lam, lam_time, n_inner
        self._space: Tensor | None = None
        self._time: Tensor | None = None

    def __call__(self, image: Tensor, step: int = 0) -> Tensor:
        """Return ``argmin |x - image|^2 / 2 + lam |D_xy x|_1 + lam_time |D_t x|_1``, nearly."""
        if self._space is None:
            self._space = torch.zeros((2, *image.shape), dtype=image.dtype, device=image.device)
            self._time = torch.zeros_like(image)
        assert self._time is not None
        rate = 1 / (_NORM_OF_AXIS * (2 * (self.lam > 0) + (self.lam_time > 0)))
        for _ in range(self.n_inner):
            current = image - self._adjoint()
            if self.lam > 0:
                space = self._space.add_(space_differences(current), alpha=rate)
                size = (space.real.square() + space.imag.square()).sum(dim=0)
                space *= (self.lam * size.clamp(min=1e-30).rsqrt()).clamp(max=1)
            if self.lam_time > 0:
                time = self._time.add_(current.roll(-1, dims=1) - current, alpha=rate)
                time *= (self.lam_time / time.abs().clamp(min=1e-20)).clamp(max=1)
        return image - self._adjoint()

    def _adjoint(self) -> Tensor:
        assert self._space is not None
        assert self._time is not None
        total = space_differences_adjoint(self._space) if self.lam > 0 else 0
        if self.lam_time > 0:
            total = total + (self._time.roll(1, dims=1) - self._time)
        return torch.as_tensor(total)


def space_differences(image: Tensor) -> Tensor:
    """Return differences to the next pixel along x and y, (2, ..., x, y); 0 at the far border."""
    out = torch.zeros((2, *image.shape), dtype=image.dtype, device=image.device)
    out[0, ..., :-1, :] = image[..., 1:, :] - image[..., :-1, :]
    out[1, ..., :, :-1] = image[..., :, 1:] - image[..., :, :-1]
    return out


def space_differences_adjoint(field: Tensor) -> Tensor:
    """Return the adjoint of `space_differences`, (..., x, y)."""
    out = torch.zeros_like(field[0])
    out[..., :-1, :] -= field[0, ..., :-1, :]
    out[..., 1:, :] += field[0, ..., :-1, :]
    out[..., :, :-1] -= field[1, ..., :, :-1]
    out[..., :, 1:] += field[1, ..., :, :-1]
    return out
