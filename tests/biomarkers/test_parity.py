"""UK Biobank's 82 fields: each has a column or a reason; columns agree with other computations."""

from __future__ import annotations

import re

import numpy as np
import pytest
import SimpleITK as sitk
from scipy import ndimage
from tests.helpers.heart_labels import Stack, digital_heart

from popscan.protocol import load
from popscan.protocols import get_protocol
from popscan.protocols.cine_sax.aha import aha_segments
from popscan.protocols.cine_sax.biomarkers.full import ALL, measure_all
from popscan.protocols.cine_sax.labels import Label
from popscan.protocols.cine_sax.parity import FIELDS
from popscan.protocols.cine_sax.strain.dictionary import DICTIONARY as STRAIN

STACK = Stack()
FRAMES = 24


@pytest.fixture(scope="module")
def subject() -> tuple[np.ndarray, dict]:
    heart = digital_heart(4)
    labels = np.stack([STACK.labels(heart, k / FRAMES) for k in range(FRAMES)], axis=-1)
    found = measure_all(
        labels, spacing_mm=STACK.spacing_mm, affine=STACK.affine, rr_ms=900.0, height_cm=175.0,
        weight_kg=75.0,
    )  # fmt: skip
    return labels, found


def test_all_82_fields_have_a_column_or_a_reason() -> None:
    assert [one.number for one in FIELDS] == list(range(24100, 24182))
    assert len({one.title for one in FIELDS}) == 82
    for one in FIELDS:
        assert one.column or len(one.reason) > 20, one.title
        if one.column:
            assert one.column in {"biomarkers": ALL, "motion": STRAIN}[one.table], one.title
    tables = [one.table for one in FIELDS if one.column]
    assert (tables.count("biomarkers"), tables.count("motion")) == (27, 34)


def test_columns_that_reasons_name_exist() -> None:
    """Fields that other protocols have in another manner: their columns are where it says."""
    named = re.compile(r"`(\w+_(?:ml|cm2|pct))`")
    for one in FIELDS:
        for column in named.findall(one.reason):
            found = [p for p in ("cine_lax", "flow_2d") if f"`{p}`" in one.reason]
            assert len(found) == 1, one.title
            dictionary = load(get_protocol(found[0]).biomarkers.dictionary)
            assert column in dictionary, (one.title, column)


def sizes_ml(labels: np.ndarray) -> dict[int, float]:
    """Physical size of each label by SimpleITK."""
    image = sitk.GetImageFromArray(np.ascontiguousarray(labels.T))
    image.SetSpacing([float(s) for s in STACK.spacing_mm])
    statistics = sitk.LabelShapeStatisticsImageFilter()
    statistics.Execute(image)
    return {k: statistics.GetPhysicalSize(k) / 1000 for k in statistics.GetLabels()}


def test_the_ten_ventricular_fields_are_those_of_simpleitk(
    subject: tuple[np.ndarray, dict],
) -> None:
    labels, found = subject
    frames = [sizes_ml(labels[..., t]) for t in range(FRAMES)]
    lv = [f[Label.LV] for f in frames]
    # As ukbb_cardiac: end-diastole is the first frame, end-systole the least LV volume.
    ed, es = frames[0], frames[int(np.argmin(lv))]
    expected = {
        "lvedv_ml": ed[Label.LV],
        "lvesv_ml": es[Label.LV],
        "lvsv_ml": ed[Label.LV] - es[Label.LV],
        "lvef_pct": 100 * (1 - es[Label.LV] / ed[Label.LV]),
        "co_l_min": (ed[Label.LV] - es[Label.LV]) * (60 / 0.9) / 1000,
        "lvm_g": 1.05 * ed[Label.MYO],
        "rvedv_ml": ed[Label.RV],
        "rvesv_ml": es[Label.RV],
        "rvsv_ml": ed[Label.RV] - es[Label.RV],
        "rvef_pct": 100 * (1 - es[Label.RV] / ed[Label.RV]),
    }
    fields = [one.column for one in FIELDS if one.column in expected]
    assert fields == list(expected)
    # Frames of almost the same volume may be taken for each other.
    assert {name: found[name] for name in expected} == pytest.approx(expected, rel=0.03)


def test_thickness_of_segments_is_that_of_distances_to_both_borders(
    subject: tuple[np.ndarray, dict],
) -> None:
    labels, found = subject
    frame = labels[..., int(found["ed_frame"])]
    segments = aha_segments(frame, spacing_mm=STACK.spacing_mm, affine=STACK.affine).array
    total: dict[int, list[np.ndarray]] = {}
    for z in np.flatnonzero((segments > 0).any(axis=(0, 1))):
        fine = [
            ndimage.zoom(ndimage.gaussian_filter(np.isin(frame[:, :, z], of).astype(float), 0.8), 4)
            > 0.5
            for of in ((Label.LV,), (Label.LV, Label.MYO))
        ]
        wall = fine[1] & ~fine[0]
        step = np.array(STACK.spacing_mm[:2]) * (np.array(frame.shape[:2]) - 1)
        step = step / (np.array(wall.shape) - 1)
        to_inner = ndimage.distance_transform_edt(~fine[0], sampling=step)
        to_outer = ndimage.distance_transform_edt(fine[1], sampling=step)
        # On the middle line the nearest points of both borders face each other.
        middle = wall & (np.abs(to_inner - to_outer) < 0.5 * step.max())
        at = np.rint(np.argwhere(middle) / 4).astype(int)
        at = np.minimum(at, np.array(frame.shape[:2]) - 1)
        owner = segments[at[:, 0], at[:, 1], z]
        for s in range(1, 17):
            total.setdefault(s, []).append((to_inner + to_outer)[middle][owner == s])
    rings = [one for one in FIELDS if one.column.startswith("wall_ed_aha")]
    assert len(rings) == 16
    for s, one in enumerate(rings, start=1):
        other = float(np.concatenate(total[s]).mean())
        assert found[one.column] == pytest.approx(other, abs=0.6), one.title
    whole = float(np.concatenate([v for parts in total.values() for v in parts]).mean())
    assert found["wall_ed_global_mm"] == pytest.approx(whole, abs=0.3)
