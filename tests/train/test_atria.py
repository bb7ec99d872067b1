"""Painted slices above the valves: no ring of muscle, no label of the ventricle."""

from __future__ import annotations

import numpy as np
import pytest

from popscan.protocols.cine_sax.labels import Label
from popscan.protocols.cine_sax.training.atria import SLICES, SUFFIX, paint_atria, with_atria
from popscan.protocols.cine_sax.training.kind import KIND
from popscan.records import LabelMap, Scan
from popscan.train import with_painted
from popscan.train.packs import Case
from popscan.train.recipe import Recipe

BLOOD, MUSCLE, LUNG = 200.0, 60.0, 20.0


def _heart() -> Case:
    """Two frames of a ring with a second cavity beside it, smaller in the second."""
    x, y = np.meshgrid(*(np.arange(80) * 1.5 for _ in range(2)), indexing="ij")
    labels = np.zeros((80, 80, 7, 2), np.uint8)
    for t, size in enumerate((1.0, 0.7)):
        for z in range(6):
            plane = labels[:, :, z, t]
            plane[np.hypot(x - 40, y - 60) < 22 * size] = Label.RV
            plane[np.hypot(x - 70, y - 60) < 25] = Label.MYO
            plane[np.hypot(x - 70, y - 60) < 15 * size] = Label.LV
    image = np.choose(labels, [LUNG, BLOOD, MUSCLE, BLOOD]).astype(np.int16)
    scan = Scan(array=image, affine=np.diag([1.5, 1.5, 8.0, 1.0]), spacing_mm=(1.5, 1.5, 8.0))
    return Case(unit="a", scan=scan, labels=LabelMap(array=labels, frames=(0, 1)))


@pytest.fixture(scope="module")
def painted() -> list[tuple[int, Case]]:
    case = _heart()
    return [
        (done.scan.array.shape[2] - case.scan.array.shape[2], done)
        for done in (with_atria(case, seed=seed) for seed in range(12))
    ]


def test_slices_are_put_on_top_and_the_rest_stays_but_for_valves_that_came_down(painted):
    case = _heart()
    assert {count for count, _ in painted} == set(range(SLICES[0], SLICES[1] + 1))
    changed = 0
    for count, done in painted:
        image, labels = done.scan.array[:, :, count:], done.labels.array[:, :, count:]
        np.testing.assert_array_equal(labels[:, :, 1:], case.labels.array[:, :, 1:])
        np.testing.assert_array_equal(image[:, :, 1:], case.scan.array[:, :, 1:])
        for t in (0, 1):
            same = np.array_equal(labels[:, :, 0, t], case.labels.array[:, :, 0, t])
            changed += not same
            assert same or not np.isin(labels[:, :, 0, t], [Label.LV, Label.MYO]).any()
    assert 0 < changed < 2 * len(painted)


def test_no_ventricle_is_labelled_above_the_valves_and_its_ring_is_open(painted):
    case = _heart()
    ring = case.labels.array[:, :, 0, 0] == int(Label.MYO)
    wide = 0
    for count, done in painted:
        top = done.labels.array[:, :, :count]
        assert not np.isin(top, [Label.LV, Label.MYO]).any()
        nearest = done.scan.array[:, :, count - 1, 0]
        bright = (nearest > 0.6 * BLOOD) & ring
        wide += bright.sum() > 0.2 * ring.sum()
    assert wide >= 0.8 * len(painted)


def test_the_same_seed_paints_the_same_and_no_heart_stays_as_it_is():
    case = _heart()
    one, other = (with_atria(case, seed=3).scan.array for _ in range(2))
    np.testing.assert_array_equal(one, other)
    empty = Case(
        unit="b",
        scan=case.scan,
        labels=LabelMap(array=np.zeros_like(case.labels.array), frames=(0, 1)),
    )
    assert with_atria(empty, seed=3) is empty


def test_a_recipe_names_painted_packs_by_their_suffix():
    case = _heart()
    recipe = Recipe(name="r", shares={"heart": 0.5, f"heart{SUFFIX}": 0.5})
    whole = with_painted({"heart": [case]}, [[recipe]], painters=KIND.painters)
    assert [c.unit for c in whole[f"heart{SUFFIX}"]] == [c.unit for c in paint_atria([case])]
    assert set(whole) == {"heart", f"heart{SUFFIX}"}
