# ruff: noqa: E501
"""Scans and labels that ingest accepts, however odd: no later stage ends in an exception of its own.

Values that are not defined are NaN; nothing is infinite.
"""

from __future__ import annotations

import itertools
import json
import math

import numpy as np
import pytest
import torch

from popscan import qc
from popscan.ingest import check_scan
from popscan.jsontext import canonical_json
from popscan.protocols.cine_sax.biomarkers.sax import measure
from popscan.protocols.cine_sax.labels import STRUCTURES
from popscan.protocols.cine_sax.orientation import standard_orientation
from popscan.protocols.cine_sax.qc import check, check_reference
from popscan.protocols.cine_sax.segmentation.inference import segment
from popscan.records import LabelMap, Scan
from popscan.segment import load_bundle, save_bundle
from popscan.segment.networks import build_network
from popscan.segment.scores import score_segmentation

RNG = np.random.default_rng(5)
SHAPE = (24, 20, 3, 4)


def heart(shape=SHAPE) -> np.ndarray:
    labels = np.zeros(shape, np.uint8)
    x, y = np.meshgrid(np.arange(shape[0]), np.arange(shape[1]), indexing="ij")
    r = np.hypot(x - 12, y - 10)
    labels[2:8, 6:14] = 1
    labels[r < 7] = 2
    labels[r < 4] = 3
    return labels


IMAGES = {
    "noise": RNG.integers(0, 900, SHAPE).astype(np.int16),
    "two values": (RNG.random(SHAPE) > 0.5).astype(np.int16),
    "one voxel": np.eye(1, math.prod(SHAPE), 7, dtype=np.float32).reshape(SHAPE),
    "negative": -RNG.integers(1, 900, SHAPE).astype(np.int16),
    "tiny": (RNG.random(SHAPE) * 1e-38).astype(np.float32),
    "huge": (RNG.random(SHAPE) * 3e38).astype(np.float32),
    "whole range": (RNG.random(SHAPE) * 6e38 - 3e38).astype(np.float32),
    "one bright frame": np.concatenate([np.ones((*SHAPE[:3], 1)), np.zeros((*SHAPE[:3], 3))], 3).astype(np.int16),
    "one dark slice": np.concatenate([np.zeros((24, 20, 1, 4)), np.ones((24, 20, 2, 4))], 2).astype(np.int16),
    "one frame": RNG.integers(0, 900, (24, 20, 3, 1)).astype(np.int16),
    "two slices of two pixels": RNG.integers(0, 900, (2, 2, 2, 2)).astype(np.int16),
    "flat": RNG.integers(0, 900, (40, 2, 2, 5)).astype(np.int16),
}  # fmt: skip
LABELS = {
    "heart": lambda s: heart(s) if s[0] > 20 and s[1] > 10 else np.zeros(s, np.uint8),
    "nothing": lambda s: np.zeros(s, np.uint8),
    "all LV": lambda s: np.full(s, 3, np.uint8),
    "all RV": lambda s: np.full(s, 1, np.uint8),
    "noise": lambda s: RNG.integers(0, 4, s).astype(np.uint8),
    "one voxel": lambda s: np.eye(1, math.prod(s), 3, dtype=np.uint8).reshape(s) * 3,
    "no wall": lambda s: np.where(heart(s) == 2, 0, heart(s)).astype(np.uint8) if s[0] > 20 and s[1] > 10 else np.ones(s, np.uint8),
    "code 9": lambda s: np.full(s, 9, np.uint8),
    "one frame only": lambda s: np.where(np.arange(s[3]) == 0, 3, np.zeros(s)).astype(np.uint8),
}  # fmt: skip
SPACINGS = [(1.5, 1.5, 8.0), (1e-3, 1e-3, 1e-3), (39.0, 39.0, 39.0), (1.0, 30.0, 1.0)]


def scan_of(array, spacing=(1.5, 1.5, 8.0), **meta) -> Scan:
    times = np.arange(array.shape[3]) * 200.0
    affine = np.diag([*spacing, 1.0])
    found = check_scan(
        Scan(array=array, affine=affine, spacing_mm=spacing, frame_times_ms=times, meta=meta)
    )
    return standard_orientation(found)[0]


def finite(values) -> None:
    """JSON-able, and no number is infinite."""
    text = canonical_json(values)
    assert "Infinity" not in text, text[:400]
    json.loads(text)


CASES = list(itertools.product(IMAGES, LABELS))


@pytest.mark.parametrize(("image", "labels"), CASES)
def test_quality_control(end, image, labels):
    def work():
        scan = scan_of(IMAGES[image])
        checks = check(scan, LABELS[labels](scan.array.shape))
        return [check.row() for check in checks], qc.verdict(checks)

    ended = end(work)
    if not ended.refused:
        finite(ended.value)


@pytest.mark.parametrize("labels", LABELS)
@pytest.mark.parametrize("spacing", SPACINGS, ids=str)
@pytest.mark.parametrize(
    "options",
    [{}, {"rr_ms": 1e-9}, {"rr_ms": 1e300}, {"height_cm": 1e300, "weight_kg": 1e300},
     {"height_cm": -1.0, "weight_kg": 0.0}, {"frame_labels": ["ED", "ED", "ES", "x"]},
     {"frame_labels": []}, {"frame_times_ms": None}, {"frame_times_ms": [0, 1e-9, 2e-9, 3e-9]},
     {"frames": ()}, {"frames": (0,)}],
    ids=str,
)  # fmt: skip
def test_biomarkers(end, labels, spacing, options):
    given = {"frame_times_ms": [0.0, 200.0, 400.0, 600.0], **options}
    ended = end(measure, LABELS[labels](SHAPE), spacing_mm=spacing, **given)
    if not ended.refused:
        finite(ended.value)


@pytest.mark.parametrize(("found", "reference"), list(itertools.product(LABELS, LABELS)))
def test_scores(end, bundle, found, reference):
    one, other = LABELS[found](SHAPE), LABELS[reference](SHAPE)
    frames = tuple(int(t) for t in np.flatnonzero(other.any(axis=(0, 1, 2))))
    reference_map = LabelMap(array=other, frames=frames)

    def work():
        rows = score_segmentation(
            "sub-1", one, reference_map, (1.5, 1.5, 8.0), bundle=bundle, structures=STRUCTURES
        )
        checks = check_reference(scan_of(IMAGES["noise"]), reference_map, one)
        return rows, [check.row() for check in checks]

    ended = end(work)
    if not ended.refused:
        finite(ended.value)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "tiny"
    channels = {"channels": [4, 4, 4]}
    torch.manual_seed(0)
    about = {
        "name": "tiny", "members": [{"architecture": "dynunet", "arguments": channels}],
        "labels": {"rv": 1, "myo": 2, "lv": 3},
        "spacing_mm": 1.5, "patch": 32, "normalisation": {}, "training": {}, "validation": {},
        "input_range": {"inplane_mm": [1.0, 2.0]}, "trained_on": {"salt": "s", "sha256": []},
    }  # fmt: skip
    save_bundle(
        path, about=about, weights=[build_network("dynunet", 4, **channels).state_dict()], card="#"
    )
    return load_bundle(path, "cpu")


@pytest.mark.parametrize("image", IMAGES)
def test_segmentation(end, bundle, image):
    def work():
        scan = scan_of(IMAGES[image])
        found = segment(scan, bundle=bundle)
        assert found.labels.shape == scan.array.shape
        return found.values

    ended = end(work)
    if not ended.refused:
        finite(ended.value)
