"""A small beating heart with an image, clean by every check, to be spoilt by the tests."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

from popscan.protocols.cine_sax.labels import Label
from popscan.records import Scan

SPACING = (2.5, 2.5, 10.0)


@dataclass
class Case:
    """A scan and its labels."""

    scan: Scan
    labels: np.ndarray

    def with_scan(self, **changes: Any) -> Case:
        return Case(replace(self.scan, **changes), self.labels.copy())

    def with_image(self, image: np.ndarray) -> Case:
        return self.with_scan(array=image)


def make_case(*, frames: int = 20, seed: int = 0) -> Case:
    """LV half-ellipsoid with wall, RV crescent on its right and front, in a noisy torso."""
    shape = (80, 86, 10)
    x, y, z = np.meshgrid(
        (np.arange(80) - 39.7) * 2.5,
        (np.arange(86) - 42.6) * 2.5,
        np.arange(10) * 10.0,
        indexing="ij",
    )
    phase = np.arange(frames) / frames
    squeeze = np.where(
        phase < 0.4, np.sin(np.pi * phase / 0.8) ** 2, np.cos(np.pi * (phase - 0.4) / 1.2) ** 2
    )
    labels = np.zeros((*shape, frames), np.uint8)
    for t, s in enumerate(squeeze):
        radius, wall, length, base = 25 - 8 * s, 8 + 4 * s, 85 - 3 * s, 8 + 10 * s
        along = np.clip((z - base) / (length - base), 0, 1)
        width = np.sqrt(1 - along**2)
        r = np.hypot(x, y)
        inside = (z >= base) & (z < length)
        rv = np.hypot(x - 25, y - 15) < (32 - 9 * s) * width
        labels[..., t] = np.select(
            [inside & (r < radius * width), inside & (r < radius * width + wall), inside & rv],
            [Label.LV, Label.MYO, Label.RV],
            Label.BACKGROUND,
        )
    torso = np.hypot(x / 92, y / 100) < 1
    tissue = np.where(torso, 120.0, 5.0)[..., None]
    image = np.select(
        [labels == Label.LV, labels == Label.RV, labels == Label.MYO], [400.0, 380.0, 130.0], tissue
    )
    noise = np.random.default_rng(seed).normal(0, 10.0, image.shape)
    # RAS: +x is right and +y is front here, as the RV lies at positive x and y of the LV.
    scan = Scan(
        array=(image + noise).astype(np.float32),
        affine=np.diag([*SPACING, 1.0]),
        spacing_mm=SPACING,
        frame_times_ms=phase * 900.0,
        meta={
            "orientation_known": True,
            "rr_ms": 900.0,
            "slices_left_out": 0,
            "frame_order": "trigger_time",
        },
    )
    return Case(scan, labels)


@pytest.fixture(scope="session")
def _clean() -> Case:
    return make_case()


@pytest.fixture
def case(_clean: Case) -> Case:
    """A clean case that the test may change."""
    return Case(replace(_clean.scan, array=_clean.scan.array.copy()), _clean.labels.copy())
