"""Features around the organ, whatever the protocol: pose, grid and order of the maps."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from popscan.protocols import get_protocol
from popscan.protocols.brain_t1.digital import simulate_subject
from popscan.protocols.brain_t1.population import sample_population
from popscan.records import PopscanError
from popscan.register.crops import crop
from popscan.stages.visibility.features import organ_grid, organ_pose
from popscan.visibility.features import (
    ALONG_MM,
    BLOCK,
    INPLANE_MM,
    feature_shape,
    label_features,
    organ_features,
)


@pytest.fixture(scope="module")
def brain():
    row = sample_population(1, seed=3).to_dict("records")[0]
    return simulate_subject(row, seed=3, spacing_mm=(4.0, 4.0, 4.0))


def features(protocol, scan, array):
    codes = list(protocol.labels.codes.values())
    grid = organ_grid(protocol)
    placed = crop(
        scan.array[..., 0],
        array,
        spacing_mm=scan.spacing_mm,
        grid=grid,
        frame=organ_pose(protocol, array, scan),
        codes=[0, *sorted(codes)],
    )
    shape = (len(codes), *feature_shape(grid))
    return label_features(placed, codes).reshape(shape), organ_features(placed)


def test_a_map_per_structure_holds_its_volume_where_the_organ_is(brain):
    protocol = get_protocol("brain_t1")
    array = brain.labels.array[..., 0]
    maps, intensities = features(protocol, brain.scan, array)
    assert intensities.shape == (np.prod(maps.shape[1:]),)
    block_ml = np.prod(BLOCK) * INPLANE_MM**2 * ALONG_MM / 1000
    voxel_ml = np.prod(brain.scan.spacing_mm) / 1000
    large = [i for i, c in enumerate(protocol.labels.codes.values()) if (array == c).sum() > 800]
    assert len(large) > 5
    for index in large:
        code = list(protocol.labels.codes.values())[index]
        expected = (array == code).sum() * voxel_ml
        assert maps[index].sum() * block_ml == pytest.approx(expected, rel=0.15)


def test_features_follow_the_organ_not_its_place_in_the_image(brain):
    protocol = get_protocol("brain_t1")
    array = brain.labels.array[..., 0]
    moved = np.roll(array, 2, axis=1)
    scan = replace(brain.scan, array=np.roll(brain.scan.array, 2, axis=1))
    still, _ = features(protocol, brain.scan, array)
    after, _ = features(protocol, scan, moved)
    assert np.abs(still - after).max() < 1e-3


def test_a_protocol_without_crops_has_no_such_features():
    with pytest.raises(PopscanError, match="declares no crops"):
        organ_grid(replace(get_protocol("brain_t1"), crops=None))
