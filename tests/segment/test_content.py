"""Training scans are recognised by their images, whatever has been done to names and headers."""

from __future__ import annotations

import numpy as np
import pytest
import yaml

from popscan.records import PopscanError
from popscan.segment.content import KnownImages, are_whole, digests_of, familiarity
from popscan.segment.trainingfile import KEY, TRAINING, read_training, write_training

SALT = "s"


def stack(seed: int, shape=(60, 52, 6, 3)) -> np.ndarray:
    """Smooth blobs that move a little from frame to frame, as int16."""
    rng = np.random.default_rng(seed)
    x, y = np.mgrid[: shape[0], : shape[1]]
    array = np.zeros(shape)
    for z in range(shape[2]):
        for _ in range(12):
            cx, cy, r, level = rng.uniform((5, 5, 3, 0.2), (55, 47, 14, 1.0))
            for t in range(shape[3]):
                array[:, :, z, t] += level * np.exp(-((x - cx - t) ** 2 + (y - cy) ** 2) / r**2)
    return np.round(800 * array).astype(np.int16)


@pytest.fixture(scope="module")
def known() -> KnownImages:
    digests = [digests_of(stack(seed), salt=SALT, frames=(0, 2)) for seed in range(6)]
    return KnownImages(digests=np.concatenate(digests), salt=SALT)


@pytest.mark.parametrize(
    "change",
    [
        lambda a: a,
        lambda a: 0.37 * a.astype(np.float32) + 11,
        lambda a: np.round(255 * (a / a.max())).astype(np.uint8),
        lambda a: a[::-1],
        lambda a: a[:, ::-1, ::-1].swapaxes(0, 1),
        lambda a: a[..., ::-1],
        lambda a: np.repeat(np.repeat(a, 2, axis=0), 2, axis=1),
        lambda a: a[:, :, 2:5, :1],
        lambda a: a + np.random.default_rng(0).normal(0, 2, a.shape),
        lambda a: np.pad(a, ((20, 3), (0, 30), (0, 0), (0, 0)), constant_values=-5),
    ],
    ids=[
        "same",
        "scaled",
        "byte",
        "mirrored",
        "turned",
        "frames",
        "finer",
        "part",
        "noise",
        "padded",
    ],
)
def test_what_does_not_change_a_scan(known, change):
    assert known.holds(change(stack(3)))


@pytest.mark.parametrize("change", [lambda a: a[8:-8, 8:-8], lambda a: a.max() - a])
def test_what_makes_it_another_one(known, change):
    assert not known.holds(change(stack(3)))


def test_strangers_and_blank_scans_are_not_known(known):
    assert [known.share(stack(seed)) for seed in range(50, 56)] == [0.0] * 6
    assert not known.holds(np.zeros((40, 40, 5, 2)))


def test_images_decide_over_names_where_their_digests_are_known(known):
    def found(seed, *, named, digests=known.digests):
        return familiarity(stack(seed), named=named, digests=digests, salt=SALT).row()

    assert found(3, named=False) == {"seen_in_training": True, "seen_by": "images"}
    assert found(50, named=True) == {"seen_in_training": False, "seen_by": "name, other images"}
    assert found(50, named=False) == {"seen_in_training": False, "seen_by": ""}
    assert found(50, named=True, digests=None) == {"seen_in_training": True, "seen_by": "name"}


def test_another_salt_knows_nothing(known):
    assert KnownImages(digests=known.digests, salt="other").share(stack(3)) == 0.0


def test_arrays_are_added_and_altered_files_refused(tmp_path):
    about = {"name": "m", "weights_sha256": "0" * 64}
    (tmp_path / "model.yaml").write_text(yaml.safe_dump(about), encoding="utf-8")
    write_training(tmp_path, {"a": np.arange(4, dtype=np.uint32)})
    write_training(tmp_path, {"b": np.ones((2, 2), np.float16)})
    sha = yaml.safe_load((tmp_path / "model.yaml").read_text(encoding="utf-8"))[KEY]
    assert set(read_training(tmp_path, sha)) == {"a", "b"}
    assert read_training(tmp_path, None) == {}
    with pytest.raises(PopscanError, match="was changed"):
        read_training(tmp_path, "0" * 64)
    write_training(tmp_path, {"b": np.full(2, np.nan, np.float32)})
    sha = yaml.safe_load((tmp_path / "model.yaml").read_text(encoding="utf-8"))[KEY]
    with pytest.raises(PopscanError, match="not finite"):
        read_training(tmp_path, sha)
    (tmp_path / TRAINING).unlink()
    with pytest.raises(PopscanError, match="cannot be read"):
        read_training(tmp_path, sha)


def test_a_known_name_counts_where_some_training_images_have_no_digest(known):
    def found(seed, *, named):
        row = familiarity(stack(seed), named=named, digests=known.digests, salt=SALT, whole=False)
        return row.row()

    assert found(3, named=False) == {"seen_in_training": True, "seen_by": "images"}
    assert found(50, named=True) == {"seen_in_training": True, "seen_by": "name"}
    assert found(50, named=False) == {"seen_in_training": False, "seen_by": ""}


@pytest.mark.parametrize(
    ("n", "packs", "recipe", "whole"),
    [
        (498, {"acdc": 1675, "simulated": 320}, {}, False),
        (1670, {"acdc": 1675, "simulated": 320}, {}, True),
        (1080, {"acdc+atria": 2610, "acdc": 1080, "simulated": 668}, {}, True),
        (2314, {"axial": 4654, "coronal": 4510}, {"mirror": True}, True),
        (2314, {"axial": 4654, "coronal": 4510}, {}, False),
        (5, {}, {}, True),
    ],
)
def test_digests_are_counted_against_the_slices_that_a_bundle_states(n, packs, recipe, whole):
    data = [{"pack": name, "slices": count} for name, count in packs.items()]
    digests = np.zeros((n, 8), np.uint32)
    assert are_whole(digests, {"data": data, "recipes": [recipe]}) == whole
    assert not are_whole(None, {"data": data})
