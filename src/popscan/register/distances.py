"""Distances between images, as a table: differentiable in torch, batched over pairs."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from popscan.arrays.skeleton import skeleton
from popscan.records import PopscanError
from popscan.register.flows import Tensor, box_mean

#: ``(fixed, warped, *, spacing_mm) -> (n,)``, images (n, channels, x, y[, z]): smaller is closer.
Distance = Callable[..., Tensor]

_EPSILON = 1e-5
#: Difference of intensities below which `mixed` turns from absolute to squared.
_ROUNDING = 0.1


def mse(fixed: Tensor, warped: Tensor, *, spacing_mm: Sequence[float]) -> Tensor:
    """Return the mean squared difference: images of one scanner and sequence."""
    return _mean((fixed - warped) ** 2)


def lncc(
    fixed: Tensor, warped: Tensor, *, spacing_mm: Sequence[float], radius_mm: float = 9.0
) -> Tensor:
    """Return 1 minus the mean squared correlation over boxes around each voxel.

    Avants BB et al. Symmetric diffeomorphic image registration with cross-correlation. Med Image
    Anal 12:26-41, 2008. Any local gain and offset cost nothing, a reversed contrast neither; where
    an image is flat nothing correlates. Axes coarser than the radius are not averaged along.
    """
    radii = [max(1, round(radius_mm / s)) if s <= radius_mm else 0 for s in spacing_mm]
    n_channels = fixed.shape[1]
    stacked = torch.cat([fixed, warped, fixed * fixed, warped * warped, fixed * warped], dim=1)
    f, w, ff, ww, fw = box_mean(stacked, radii).split(n_channels, dim=1)
    covariance = fw - f * w
    variances = (ff - f * f).clamp(min=0) * (ww - w * w).clamp(min=0)
    return 1 - _mean(covariance**2 / (variances + _EPSILON))


def mixed(
    fixed: Tensor,
    warped: Tensor,
    *,
    spacing_mm: Sequence[float],
    radius_mm: float = 7.0,
    local_weight: float = 0.2,
) -> Tensor:
    """Return the mean absolute difference, rounded off below 0.1, plus a share of `lncc`.

    Differences lead where contrast is plain, correlation where scans differ in brightness:
    both at once did better between subjects than either alone (docs/registration.md).
    Intensities of about 0 to 1.
    """
    absolute = _mean(((fixed - warped) ** 2 + _ROUNDING**2).sqrt())
    return absolute + local_weight * lncc(fixed, warped, spacing_mm=spacing_mm, radius_mm=radius_mm)


def mi(fixed: Tensor, warped: Tensor, *, spacing_mm: Sequence[float], n_bins: int = 32) -> Tensor:
    """Return minus the mutual information in nats: any relation of grey values.

    Wells WM et al. Multi-modal volume registration by maximization of mutual information. Med Image
    Anal 1:35-51, 1996. Grey values count for the two nearest of `n_bins` levels between an image's
    extremes.
    """
    joint, one, other = _entropies(fixed, warped, n_bins)
    return joint - one - other


def nmi(fixed: Tensor, warped: Tensor, *, spacing_mm: Sequence[float], n_bins: int = 32) -> Tensor:
    """Return 2 minus the normalised mutual information: 0 where each grey value says the other.

    Studholme C, Hill DLG, Hawkes DJ. An overlap invariant entropy measure of 3D medical image
    alignment. Pattern Recognition 32:71-86, 1999. A constant image is 1 from any other.
    """
    joint, one, other = _entropies(fixed, warped, n_bins)
    return torch.where(
        torch.minimum(one, other) > _EPSILON, 2 - (one + other) / joint.clamp(min=_EPSILON), 1.0
    )


def ngf(fixed: Tensor, warped: Tensor, *, spacing_mm: Sequence[float]) -> Tensor:
    """Return 1 minus the mean squared cosine between gradients: edges in one place and direction.

    Haber E, Modersitzki J. Intensity gradient based registration and fusion of multi-modal images.
    MICCAI 2006. A reversed contrast costs nothing. The edge parameter is an image's own mean
    gradient: where both are flat, they agree.
    """
    one, other = _gradients(fixed, spacing_mm), _gradients(warped, spacing_mm)
    floors = [_edge(gradient) for gradient in (one, other)]
    product = (one * other).sum(dim=1).abs() + floors[0] * floors[1]
    norms = [(g**2).sum(dim=1) + e**2 for g, e in zip((one, other), floors, strict=True)]
    return 1 - _mean(product**2 / (norms[0] * norms[1]))


def skeletons(fixed: Tensor, warped: Tensor, *, spacing_mm: Sequence[float]) -> Tensor:
    """Return 1 minus the Dice of centrelines, of memberships 0 to 1: vessels and other thin things.

    Shit S et al. clDice, a novel topology-preserving loss function for tubular structure
    segmentation. CVPR 2021, with `popscan.arrays.skeleton.skeleton` for the skeleton: the harmonic
    mean of how much of each one's skeleton lies in the other. Without a skeleton in either image
    the distance is 0, in one alone 1; channels are averaged.
    """
    lines = [skeleton(image) for image in (fixed, warped)]
    inside = [
        ((line * other).flatten(2).sum(dim=2), line.flatten(2).sum(dim=2))
        for line, other in zip(lines, (warped, fixed), strict=True)
    ]
    one, other = (share / length.clamp(min=1.0) for share, length in inside)
    empty = (inside[0][1] + inside[1][1]) == 0
    dice = 2 * one * other / (one + other).clamp(min=_EPSILON)
    return 1 - torch.where(empty, 1.0, dice).mean(dim=1)


DISTANCES: dict[str, Distance] = {
    "mse": mse,
    "lncc": lncc,
    "mixed": mixed,
    "mi": mi,
    "nmi": nmi,
    "ngf": ngf,
    "skeletons": skeletons,
}


def distance(name: str) -> Distance:
    """Return a distance by its name.

    Raises
    ------
    PopscanError
        If there is none; the message lists those there are.
    """
    if name not in DISTANCES:
        known = ", ".join(sorted(DISTANCES))
        raise PopscanError(f"register: there is no distance {name!r}; known distances: {known}")
    return DISTANCES[name]


def _mean(values: Tensor) -> Tensor:
    return values.flatten(1).mean(dim=1)


def _gradients(images: Tensor, spacing_mm: Sequence[float]) -> Tensor:
    """Central differences per mm, (n, axes, x, y[, z]), of the first channel."""
    axes = [axis for axis, n in enumerate(images.shape[2:]) if n > 1]
    slopes = [
        torch.gradient(images[:, 0], spacing=float(spacing_mm[axis]), dim=1 + axis)[0]
        for axis in axes
    ]
    return torch.stack(slopes, dim=1)


def _edge(gradient: Tensor) -> Tensor:
    """Mean length of an image's gradient; tiny for a constant image, and not moved along."""
    lengths = (gradient.detach() ** 2).sum(dim=1).sqrt()
    return (_mean(lengths) + _EPSILON).reshape(-1, *[1] * (gradient.ndim - 2))


def _entropies(fixed: Tensor, warped: Tensor, n_bins: int) -> tuple[Tensor, Tensor, Tensor]:
    """Joint and single entropies in nats, (n,) each."""
    one, other = _memberships(fixed, n_bins), _memberships(warped, n_bins)
    joint = one.transpose(1, 2) @ other / one.shape[1]
    return (
        _entropy(joint.flatten(1)),
        _entropy(joint.sum(dim=2)),
        _entropy(joint.sum(dim=1)),
    )


def _memberships(images: Tensor, n_bins: int) -> Tensor:
    """Share of each voxel in each level, (n, voxels, bins): 1 in all, over two neighbours."""
    values = images[:, 0].flatten(1)
    low, high = (e.detach()[:, None] for e in (values.amin(dim=1), values.amax(dim=1)))
    place = (values - low) / (high - low).clamp(min=_EPSILON) * (n_bins - 1)
    levels = torch.arange(n_bins, device=images.device, dtype=images.dtype)
    return (1 - (place[..., None] - levels).abs()).clamp(min=0)


def _entropy(shares: Tensor) -> Tensor:
    return -torch.special.xlogy(shares, shares.clamp(min=1e-12)).sum(dim=1)
