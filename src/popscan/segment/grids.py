"""Between the grid of a scan and the window that the networks see, there and back."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from popscan.arrays.dtypes import image_dtype
from popscan.arrays.intensity import black_and_white
from popscan.arrays.resampling import Window, WindowedGrid, inplane_shape
from popscan.records import Scan, SubjectError
from popscan.segment.bundle import Bundle
from popscan.segment.networks import context_slices, n_phases, stride
from popscan.segment.preprocess import neighbours, opposite_frames, scaled, slices

#: Pixels of the training grid along a side; more are no patient, and too much for the memory.
_LARGEST = 1024


class Grids:
    """A scan's slices, the training grid, and windows of it.

    Intensities stay as they are stored; what a window needs of them is normalised when it is cut,
    so that neither a copy of the whole scan nor work on the rest of the body is made.

    Attributes
    ----------
    images
        Slices (t * z, x, y), intensities as stored; on the processor until `upload`, in memory
        that a GPU reads by itself where the bundle is on one.
    black, white
        What normalisation sends to 0 and 1.
    shape, inner
        In-plane shape of the scan and of the training grid.
    multiple
        What sides of a window must be multiples of.
    """

    def __init__(self, scan: Scan, bundle: Bundle) -> None:
        self.black, self.white = map(float, black_and_white(scan.array, **bundle.normalisation))
        self.device = bundle.device
        self.images = slices(image_dtype(scan.array))
        if self.device.type == "cuda":
            self.images = self.images.pin_memory()
        self.shape = (scan.array.shape[0], scan.array.shape[1])
        self.spacing_mm = scan.spacing_mm
        self.inner = inplane_shape(
            self.shape, spacing_mm=scan.spacing_mm[:2], target_mm=bundle.spacing_mm
        )
        if max(self.inner) > _LARGEST:
            raise SubjectError(
                "bad_spacing",
                f"{self.shape[0]} x {self.shape[1]} pixels of {scan.spacing_mm[0]:g} x "
                f"{scan.spacing_mm[1]:g} mm are {max(self.inner) * bundle.spacing_mm / 1000:.1f} m",
            )
        self.multiple = max(stride(arguments) for arguments in bundle.arguments)
        self.n_slices = scan.array.shape[2]
        self.context = max(context_slices(arguments) for arguments in bundle.arguments)
        frames = torch.tensor(opposite_frames(scan.array.shape[3]))
        self.opposite = frames if max(map(n_phases, bundle.arguments)) > 1 else None

    def upload(self) -> None:
        """Bring the slices to the bundle's device, without waiting until they are there."""
        self.images = self.images.to(self.device, non_blocking=True)

    @property
    def whole(self) -> Window:
        """The window that holds all of a slice."""
        # The networks' deepest level normalises over pixels: it needs more than one.
        sides = [max(side, 2 * self.multiple) for side in self.inner]
        size = [math.ceil(side / self.multiple) * self.multiple for side in sides]
        centre = ((self.inner[0] - 1) / 2, (self.inner[1] - 1) / 2)
        return Window.around(centre, (size[0], size[1]))

    @property
    def pixel_mm2(self) -> float:
        """Area of a pixel that the networks see."""
        field = math.prod(n * mm for n, mm in zip(self.shape, self.spacing_mm, strict=False))
        return field / math.prod(self.inner)

    def through(self, window: Window) -> WindowedGrid:
        """Return the resampling from slices to a window and back."""
        return WindowedGrid(self.shape, self.inner, window, device=self.device)

    def cut(self, index: Sequence[int], window: WindowedGrid) -> torch.Tensor:
        """Return slices with what is seen around them in a window.

        Their neighbours, and where a member wants them the same in the opposite phase:
        (n, phases (1 + 2 context), x, y), as `popscan.segment.networks` has it.
        """
        near = neighbours(torch.tensor(index), n_slices=self.n_slices, context=self.context)
        if self.opposite is not None:
            there = self.opposite[near // self.n_slices] * self.n_slices + near % self.n_slices
            near = torch.cat([near, there], dim=1)
        # Neighbours of neighbouring slices are the same slices: each is resampled once.
        used, where = near.unique(return_inverse=True)
        pixels = self.images[:, *window.needed][used.to(self.images.device)].float()
        return window.resample(scaled(pixels, low=self.black, high=self.white))[where]


def back_to_scan(probabilities: torch.Tensor, window: WindowedGrid) -> torch.Tensor:
    """Return probabilities of a window on the scan's pixels in ``window.outer``, (n, label, x, y).

    Where the window ends within a pixel, what is missing to 1 is background.
    """
    found = window.back(probabilities)
    found[:, 0] += 1.0 - found.sum(dim=1)
    return found
