"""Skeletons of soft masks in two and three dimensions, through which gradients pass.

After Menten MJ et al. A skeletonization algorithm for gradient-based optimization. ICCV 2023: a
mask is made binary, and its border is peeled off in subfields of points that do not touch each
other, until only points are left whose removal would split, close or open something, and ends.
A point may go if what is around it, and what is not, is in one piece (Bertrand G, Malandain G.
Pattern Recognition Letters 15:169-175, 1994). Here each neighbourhood is one integer, whose pieces
are counted by shifts of its bits; so whatever the shape, its pieces, holes and cavities stay.
"""

from __future__ import annotations

import itertools
from typing import Any

import torch
from torch.nn import functional

Tensor = torch.Tensor

#: Offsets of the 3 x 3 x 3 points around a voxel; bit k of a neighbourhood is point k.
_OFFSETS = tuple(itertools.product((0, 1, 2), repeat=3))


def _bits(keep: set[int], *, flat: bool) -> int:
    """Return the points that differ from the centre along so many axes; `flat`: in its plane."""
    return sum(
        1 << k
        for k, offset in enumerate(_OFFSETS)
        if sum(o != 1 for o in offset) in keep and (not flat or offset[2] == 1)
    )


_AROUND = {flat: _bits({1, 2, 3}, flat=flat) for flat in (False, True)}
#: Neighbours that share a face, and those among which these are joined when they are outside.
_FACES = {flat: _bits({1}, flat=flat) for flat in (False, True)}
_OUTSIDE = {flat: _bits({1, 2}, flat=flat) for flat in (False, True)}
#: Per axis: how far a step shifts bits, and the points from which a step up stays inside.
_STEPS = tuple(
    (
        3 ** (2 - axis),
        sum(1 << k for k, o in enumerate(_OFFSETS) if o[axis] < 2),
        sum(1 << k for k, o in enumerate(_OFFSETS) if o[axis] > 0),
    )
    for axis in range(3)
)


def _spread(points: Tensor, *, corners: bool) -> Tensor:
    """Add all points that touch, by faces alone or by edges and corners as well."""
    out = points
    for shift, below, above in _STEPS:
        from_where = out if corners else points
        out = out | ((from_where & below) << shift) | ((from_where & above) >> shift)
    return out


def _filled(seeds: Tensor, within: Tensor, *, corners: bool) -> Tensor:
    """Return all points of `within` that are connected with the seeds."""
    while True:
        more = _spread(seeds, corners=corners) & within
        if torch.equal(more, seeds):
            return seeds
        seeds = more


def _removable(codes: Tensor, *, flat: bool) -> Tensor:
    """Return which neighbourhoods have a centre whose removal leaves the topology as it is."""
    inside = codes & _AROUND[flat]
    one_piece = _filled(inside & -inside, inside, corners=True) == inside
    outside = ~codes & _OUTSIDE[flat]
    faces = outside & _FACES[flat]
    reached = _filled(faces & -faces, outside, corners=False)
    return one_piece & (inside != 0) & (faces != 0) & ((faces & ~reached) == 0)


def _codes(mask: Tensor, start: tuple[int, ...]) -> Tensor:
    """Return the neighbourhoods, as integers, of every other point of masks (n, x, y, z)."""
    sizes = mask.shape[1:]
    padded = functional.pad(mask, (1, 1) * 3)
    code = torch.zeros((), dtype=torch.int32, device=mask.device)
    for k, offset in enumerate(_OFFSETS):
        slices = tuple(slice(s + o, n + o, 2) for s, o, n in zip(start, offset, sizes, strict=True))
        code = code | (padded[(slice(None), *slices)].int() << k)
    return code


def _n_around(mask: Tensor, *, faces: bool) -> Tensor:
    """Count the neighbours (those that share a face alone) of masks (n, x, y, z)."""
    padded = functional.pad(mask.float(), (1, 1) * 3)[:, None]
    kernel = torch.tensor(
        [1.0 if (1 <= sum(i != 1 for i in o) <= (1 if faces else 3)) else 0.0 for o in _OFFSETS],
        device=mask.device,
    )
    return functional.conv3d(padded, kernel.reshape(1, 1, 3, 3, 3))[:, 0]


class _Peeled(torch.autograd.Function):
    """Peeling of binary masks (n, x, y, z), with a slope.

    A step is ``x (1 - r)``, r = 1 where a point may go. The slope is that of the step that decided
    about a point (in which it went, or its last): along the point itself, and along each neighbour
    by what r would have been with it and without it. What follows from that in later steps does
    not count: the product of all steps' slopes has no bound (1e11 for an ellipsoid's shell of 80
    voxels). Where the border and ends are is not differentiated.
    """

    @staticmethod
    def forward(ctx: Any, values: Tensor, flat: bool, n_iterations: int) -> Tensor:
        """Return the skeleton of `values`, 0 and 1."""
        mask = values > 0.5
        first, decided = mask.clone(), torch.zeros_like(mask, dtype=torch.int32)
        n_faces = 4 if flat else 6
        starts = list(itertools.product((0, 1), (0, 1), (0,) if flat else (0, 1)))
        for _ in range(n_iterations):
            tried = mask & (_n_around(mask, faces=True) < n_faces)
            tried &= _n_around(mask, faces=False) > 1
            before = mask.clone()
            for start in starts:
                part = (slice(None), *(slice(s, None, 2) for s in start))
                which = torch.nonzero(tried[part], as_tuple=True)
                codes = _codes(mask, start)[which]
                where = (which[0], *(2 * w + s for w, s in zip(which[1:], start, strict=True)))
                mask[where] = ~_removable(codes, flat=flat)
                decided[where] = codes
            if torch.equal(before, mask):
                break
        ctx.save_for_backward(decided, mask | ~first)
        ctx.flat = flat
        return mask.to(values.dtype)

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor, None, None]:
        """Return the slope along the values."""
        decided, own = ctx.saved_tensors
        padded = functional.pad(slopes[0] * own, (1, 1) * 3)
        n, *places = where = torch.nonzero(decided, as_tuple=True)
        codes, slope = decided[where], slopes[0][where]
        for k, offset in enumerate(_OFFSETS):
            if not (1 << k) & _AROUND[ctx.flat]:
                continue
            with_it, without = (
                _removable(c, flat=ctx.flat).to(slope.dtype)
                for c in (codes | (1 << k), codes & ~(1 << k))
            )
            spot = (n, *(p + o for p, o in zip(places, offset, strict=True)))
            padded.index_put_(spot, slope * (without - with_it), accumulate=True)
        return padded[:, 1:-1, 1:-1, 1:-1], None, None


def skeleton(
    memberships: Tensor,
    *,
    n_iterations: int = 1000,
    noise: float = 0.0,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Return skeletons of soft masks: lines one voxel wide, as many pieces and holes as the masks.

    Gradients pass: straight through where masks are made binary, and through the step of the
    peeling that decided about each voxel (`_Peeled`). Pieces are joined by corners, what is
    outside by faces, as in ``skimage.morphology.skeletonize``.

    Parameters
    ----------
    memberships
        Shape (n, channels, x, y) or (n, channels, x, y, z), 0 to 1; a mask is where it is above
        0.5. What lies beyond the image is outside.
    n_iterations
        Layers that are peeled off at most; it ends earlier when nothing changes.
    noise
        Spread of logistic noise on the log-odds before masks are made binary: each call is then
        another draw, and gradients are large where memberships are undecided. 0 for none.
    generator
        Source of the noise.

    Returns
    -------
    Tensor like `memberships`, 0 and 1; empty masks have empty skeletons.

    Raises
    ------
    ValueError
        For other than four or five axes.

    Examples
    --------
    >>> bar = torch.zeros(1, 1, 5, 9)
    >>> bar[..., 1:4, 1:8] = 1
    >>> int(skeleton(bar).sum(dim=2).max())
    1
    """
    if memberships.ndim not in (4, 5):
        raise ValueError(
            f"memberships of shape {tuple(memberships.shape)}: expected (n, channels, x, y[, z])"
        )
    values = memberships.float()
    if noise > 0:
        uniform = torch.rand(values.shape, generator=generator).to(values.device)
        odds = torch.logit(values, eps=1e-6) + noise * torch.logit(uniform, eps=1e-6)
        values = odds.sigmoid()
    flat = memberships.ndim == 4
    whole = values.flatten(0, 1)
    peeled: Tensor = _Peeled.apply(whole[..., None] if flat else whole, flat, n_iterations)
    return peeled.reshape(memberships.shape).to(memberships.dtype)
