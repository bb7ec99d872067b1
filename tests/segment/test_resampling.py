"""Laws of resampling and windows: what goes there comes back."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from popscan.arrays.resampling import (
    Window,
    inplane_shape,
    resample_images,
    resample_labels,
)


@settings(max_examples=50, deadline=None)
@given(
    start=st.tuples(st.integers(-9, 9), st.integers(-9, 9)),
    size=st.tuples(st.integers(1, 20), st.integers(1, 20)),
    shape=st.tuples(st.integers(10, 14), st.integers(10, 14)),
)
def test_paste_is_the_inverse_of_cut_inside_the_window(start, size, shape):
    image = torch.arange(1.0, 1 + shape[0] * shape[1]).view(1, *shape)
    window = Window(start, size)
    piece = window.cut(image)
    assert piece.shape == (1, *size)
    back = window.paste(piece, shape)
    assert back.shape == image.shape
    inside = torch.zeros(shape, dtype=torch.bool)
    first = [max(0, s) for s in start]
    stop = [max(0, s + n) for s, n in zip(start, size, strict=True)]
    inside[first[0] : stop[0], first[1] : stop[1]] = True
    assert torch.equal(back[0], torch.where(inside, image[0], 0.0))
    assert torch.equal(window.cut(back), piece)


def test_cut_keeps_label_type_and_fills():
    labels = torch.full((2, 4, 4), 3, dtype=torch.uint8)
    piece = Window((-1, 2), (3, 4)).cut(labels, fill=1)
    assert piece.dtype == torch.uint8
    assert piece[0].tolist() == [[1, 1, 1, 1], [3, 3, 1, 1], [3, 3, 1, 1]]


def test_window_around_is_centred():
    assert Window.around((4.5, 7.0), (4, 3)) == Window((3, 6), (4, 3))


def test_inplane_shape_covers_the_field_of_view():
    assert inplane_shape((256, 208), spacing_mm=(1.25, 1.5), target_mm=1.5) == (213, 208)
    assert inplane_shape((1, 1), spacing_mm=(0.1, 0.1), target_mm=1.5) == (1, 1)


@pytest.mark.parametrize("shape", [(20, 30), (40, 60), (33, 41)])
def test_linear_ramps_stay_linear(shape):
    """Field of view to field of view: a ramp over it is the same ramp on every grid."""

    def ramp(n):
        return (torch.arange(n, dtype=torch.float64) + 0.5) / n

    image = (ramp(40)[:, None] + 2 * ramp(60)[None]).float()[None]
    out = resample_images(image, shape)[0]
    expected = ramp(shape[0])[:, None] + 2 * ramp(shape[1])[None]
    inner = (slice(4, -4), slice(4, -4))
    np.testing.assert_allclose(out.numpy()[inner], expected.numpy()[inner], atol=3e-3)


def test_same_shape_is_untouched():
    image = torch.rand(2, 5, 7)
    assert resample_images(image, (5, 7)) is image


def test_labels_survive_there_and_back():
    x, y = torch.meshgrid(torch.arange(60), torch.arange(60), indexing="ij")
    radius = ((x - 30.0) ** 2 + (y - 27.0) ** 2).sqrt()
    labels = (1 * (radius < 24) + 1 * (radius < 16) + 1 * (radius < 10)).to(torch.uint8)[None]
    there = resample_labels(labels, (75, 75), n_labels=4)
    back = resample_labels(there, (60, 60), n_labels=4)
    assert there.dtype == torch.uint8
    assert (back != labels).float().mean() < 0.01
    area = [(there == k).sum().item() / 75**2 for k in range(4)]
    np.testing.assert_allclose(
        area, [(labels == k).sum().item() / 60**2 for k in range(4)], atol=4e-3
    )
