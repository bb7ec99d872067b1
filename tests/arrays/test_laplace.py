"""Thickness along field lines: rings whose field lines are known in closed form, and laws."""

from __future__ import annotations

import numpy as np
import pytest

from popscan.arrays.laplace import MAX_CELLS, layer_thickness


def ring(
    inner_mm: float, outer_mm: float, *, apart_mm: float = 0.0, spacing_mm: float = 1.5,
    at_mm: tuple[float, float] = (0.3, -0.4), n: int = 64,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:  # fmt: skip
    """Disc, the layer between it and a larger disc `apart_mm` beside it, and the axis in mm."""
    axis = (np.arange(n) - n / 2) * spacing_mm
    x, y = axis[:, None] - at_mm[0], axis[None, :] - at_mm[1]
    inner = np.hypot(x, y) < inner_mm
    return inner, (np.hypot(x - apart_mm, y) < outer_mm) & ~inner, axis


@pytest.mark.parametrize("spacing", [1.0, 1.8])
@pytest.mark.parametrize("wall", [6.0, 11.0])
def test_concentric_rings(spacing: float, wall: float) -> None:
    inner, layer, _ = ring(20.0, 20.0 + wall, spacing_mm=spacing)
    found = layer_thickness(inner, layer, spacing_mm=(spacing, spacing))
    mean = found.thickness_mm.size / (1 / found.thickness_mm).sum()
    assert mean == pytest.approx(wall, abs=0.15)
    assert np.std(found.thickness_mm) < 0.3 * spacing
    assert found.depth.min() >= -0.1
    assert found.depth.max() <= 1.1


def arc_mm(point: np.ndarray, a: float, b: float, apart: float) -> float:
    """Exact length of the field line through a point between two eccentric circles.

    Circle a about 0, circle b about (apart, 0) around it. Field lines are arcs of the circles
    through both limiting points of the pencil, at right angles to all of its circles.
    """
    # Poles p with p * q = a^2 and (p - apart)(q - apart) = b^2.
    total = (a**2 + apart**2 - b**2) / apart
    p, q = np.roots([1.0, -total, a**2]).real
    middle, half = (p + q) / 2, abs(p - q) / 2
    u = point - [middle, 0.0]
    if abs(u[1]) < 1e-9:
        return float("nan")
    height = (u @ u - half**2) / (2 * u[1])
    radius = np.hypot(half, height)

    def meet(centre: float, r: float) -> float:
        """Angle at which the field line meets a circle of the pencil, on the point's side."""
        angles = np.linspace(0, 2 * np.pi, 20001)
        x, y = middle + radius * np.cos(angles), height + radius * np.sin(angles)
        gap = np.hypot(x - centre, y) - r
        crossing = np.flatnonzero(np.diff(np.sign(gap)) != 0)
        near = np.hypot(x[crossing] - point[0], y[crossing] - point[1])
        return float(angles[crossing[near.argmin()]])

    turn = abs(meet(0.0, a) - meet(apart, b))
    return float(radius * min(turn, 2 * np.pi - turn))


def test_eccentric_rings_have_arcs_as_field_lines() -> None:
    a, b, apart, spacing = 18.0, 30.0, 4.0, 1.2
    at = (0.31, -0.17)
    inner, layer, axis = ring(a, b, apart_mm=apart, spacing_mm=spacing, at_mm=at, n=72)
    found = layer_thickness(inner, layer, spacing_mm=(spacing, spacing))
    mm = found.at * spacing + axis[0] - at
    middle = np.flatnonzero((np.abs(found.depth - 0.5) < 0.1) & (np.abs(mm[:, 1]) > 1))[::9]
    exact = np.array([arc_mm(mm[i], a, b, apart) for i in middle])
    error = found.thickness_mm[middle] - exact
    assert len(middle) > 30
    assert exact.min() < 9 < 15 < exact.max()
    assert abs(error.mean()) < 0.15
    assert np.abs(error).max() < 0.9


def test_turning_and_mirroring_change_nothing() -> None:
    inner, layer, _ = ring(14.0, 21.0, apart_mm=2.0)
    shares = [0, 5, 25, 50, 75, 95, 100]
    before = layer_thickness(inner, layer, spacing_mm=(1.5, 1.5)).thickness_mm
    for turn in (lambda m: m[::-1], lambda m: m.T, lambda m: np.rot90(m)):
        after = layer_thickness(turn(inner), turn(layer), spacing_mm=(1.5, 1.5)).thickness_mm
        expected = np.percentile(before, shares)
        np.testing.assert_allclose(np.percentile(after, shares), expected, atol=0.02)


def test_thickness_scales_with_the_grid() -> None:
    inner, layer, _ = ring(14.0, 21.0)
    one = layer_thickness(inner, layer, spacing_mm=(1.5, 1.5), step_mm=0.75)
    two = layer_thickness(inner, layer, spacing_mm=(3.0, 3.0), step_mm=1.5)
    np.testing.assert_allclose(two.thickness_mm, 2 * one.thickness_mm, rtol=1e-6)


def test_a_layer_as_large_as_the_image_costs_no_more() -> None:
    inner, layer, _ = ring(350.0, 430.0, spacing_mm=1.0, n=1000)
    found = layer_thickness(inner, layer, spacing_mm=(1.0, 1.0))
    assert found.thickness_mm.size < MAX_CELLS**2
    assert found.thickness_mm.size / (1 / found.thickness_mm).sum() == pytest.approx(80, abs=1.5)


def test_nothing_there_has_no_points() -> None:
    nothing = np.zeros((8, 8), bool)
    some = nothing.copy()
    some[3:5, 3:5] = True
    for inner, layer in ((nothing, some), (some, nothing), (nothing, nothing)):
        assert layer_thickness(inner, layer, spacing_mm=(1, 1)).thickness_mm.size == 0
