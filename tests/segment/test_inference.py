"""Laws of segmenting a cine, on a tiny network and on the shipped one."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from popscan.arrays.intensity import black_and_white
from popscan.protocols.cine_sax.labels import STRUCTURES, Label
from popscan.protocols.cine_sax.segmentation.cleanup import keep_largest
from popscan.protocols.cine_sax.segmentation.inference import Together, segment
from popscan.protocols.cine_sax.segmentation.window import heart_window, scout_slices
from popscan.records import LabelMap, PopscanError, Scan, SubjectError
from popscan.segment import load_bundle, score_segmentation
from popscan.segment.bundle import Bundle
from popscan.segment.grids import Grids
from popscan.segment.known import hash_identifier
from popscan.segment.networks import build_network, seen_by
from popscan.segment.preprocess import normalise, opposite_frames, slices, unslice
from popscan.segment.uncertainty import most_likely


@pytest.fixture(scope="module")
def bundle():
    torch.manual_seed(1)
    arguments = {"channels": [4, 8, 8]}
    return Bundle(
        name="tiny",
        networks=(build_network("dynunet", len(Label), **arguments).eval(),),
        arguments=(arguments,),
        labels={"rv": 1, "myo": 2, "lv": 3},
        spacing_mm=1.5,
        patch=32,
        normalisation={},
        input_range={"inplane_mm": (1.2, 1.9), "slice_distance_mm": (5, 10)},
        digest="",
        device=torch.device("cpu"),
        about={"trained_on": {"salt": "", "sha256": [hash_identifier("a", salt="")]}},
    )


def _scan(array, spacing=(1.8, 1.4, 8.0)):
    return Scan(array=array, affine=np.diag([*spacing, 1.0]), spacing_mm=spacing)


@pytest.fixture
def scan(rng):
    smooth = rng.normal(size=(8, 9, 3, 4)).repeat(5, 0).repeat(5, 1)
    return _scan((100 + 20 * smooth + rng.normal(size=smooth.shape)).astype(np.float32))


@pytest.mark.parametrize("flips", [False, True, "doubtful"])
def test_result_is_on_the_grid_of_the_scan(scan, bundle, flips):
    found = segment(scan, bundle=bundle, flips=flips)
    assert found.labels.shape == found.entropy.shape == scan.array.shape
    assert found.labels.dtype == np.uint8
    assert found.entropy.dtype == np.float16
    assert set(np.unique(found.labels)) <= {int(k) for k in Label}
    assert found.entropy.min() >= 0
    assert found.entropy.max() <= math.log(len(Label)) + 1e-3


def test_deterministic_and_blind_to_the_batch_size(scan, bundle):
    first, again = segment(scan, bundle=bundle), segment(scan, bundle=bundle)
    np.testing.assert_array_equal(first.labels, again.labels)
    np.testing.assert_array_equal(first.entropy, again.entropy)
    other = segment(scan, bundle=bundle, batch_slices=5)
    assert (other.labels == first.labels).mean() > 0.999


def test_maps_are_kept_near_the_heart_and_fill_the_scan_when_asked(scan, bundle):
    found = segment(scan, bundle=bundle, information=True, dropout_samples=2)
    (x, y), (nx, ny) = found.near.start, found.near.size
    assert found.entropy_near.shape == (nx, ny, *scan.array.shape[2:])
    inside = (slice(x, x + nx), slice(y, y + ny))
    for near, whole in (
        (found.entropy_near, found.entropy),
        (found.information_near, found.information),
    ):
        np.testing.assert_array_equal(whole[inside], near)
        assert np.count_nonzero(whole) == np.count_nonzero(near) > 0
    outside = np.ones(scan.array.shape[:2], bool)
    outside[inside] = False
    assert not found.labels[outside].any()


@pytest.mark.parametrize("order", ["C", "F"])
def test_blind_to_the_order_in_memory(scan, bundle, order):
    stored = replace(scan, array=np.array(scan.array, order=order))
    found = segment(stored, bundle=bundle)
    np.testing.assert_array_equal(found.labels, segment(scan, bundle=bundle).labels)
    np.testing.assert_array_equal(stored.array, scan.array)  # and the input is left alone


def test_blind_to_scaling_and_offset_of_intensities(scan, bundle):
    options = {"bundle": bundle, "largest_component": False, "mend": False, "precision": "float32"}
    plain = segment(scan, **options)
    scaled = segment(replace(scan, array=scan.array * 7.5 + 300), **options)
    assert (plain.labels == scaled.labels).mean() > 0.999


def test_frames_are_segmented_one_by_one(scan, bundle):
    """Reversing time reverses the labels: no frame depends on its neighbours."""
    options = {"bundle": bundle, "largest_component": False}
    # Two frames, so that the first look sees the same slices both ways.
    two = replace(scan, array=scan.array[..., [0, 0, 1, 1]])
    forth = segment(two, **options).labels
    np.testing.assert_array_equal(forth[..., 0], forth[..., 1])
    np.testing.assert_array_equal(forth[..., 2], forth[..., 3])


def test_integer_scans_and_single_frames(scan, bundle):
    one = replace(scan, array=scan.array[..., :1].astype(np.int16))
    assert segment(one, bundle=bundle).labels.shape == one.array.shape


def test_ensemble_of_the_same_member_changes_nothing(scan, bundle):
    twice = replace(bundle, networks=bundle.networks * 2, arguments=bundle.arguments * 2)
    np.testing.assert_array_equal(
        segment(scan, bundle=bundle).labels, segment(scan, bundle=twice).labels
    )


def test_constant_scan_is_not_an_error(bundle):
    found = segment(_scan(np.full((30, 30, 2, 2), 7.0, np.float32)), bundle=bundle)
    assert found.labels.shape == (30, 30, 2, 2)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_not_finite(scan, bundle, bad):
    array = scan.array.copy()
    array[3, 3, 1, 0] = bad
    with pytest.raises(SubjectError, match="NaN or infinite") as caught:
        segment(replace(scan, array=array), bundle=bundle)
    assert caught.value.reason == "not_finite"


def test_wrong_shapes_and_spacings(scan, bundle):
    with pytest.raises(SubjectError, match="expected a scan"):
        segment(replace(scan, array=scan.array[..., 0]), bundle=bundle)
    with pytest.raises(SubjectError, match="is not positive"):
        segment(replace(scan, spacing_mm=(0.0, 1.4, 8.0)), bundle=bundle)


def test_spacing_far_outside_is_noted_not_refused(scan, bundle):
    assert segment(scan, bundle=bundle).values["input_warning"] == ""
    wide = segment(replace(scan, spacing_mm=(3.5, 3.5, 8.0)), bundle=bundle)
    assert "inplane_mm 3.50, trained for 1.2..1.9" in wide.values["input_warning"]
    sparse = segment(replace(scan, spacing_mm=(1.5, 1.5, 25.0)), bundle=bundle)
    assert "slice_distance_mm 25.00" in sparse.values["input_warning"]


def test_memory_that_runs_out_halves_the_batch(scan, bundle):
    class Small(torch.nn.Module):
        def __init__(self, inner):
            super().__init__()
            self.inner = inner
            self.largest = 0

        def forward(self, x):
            if len(x) > 3:
                raise torch.OutOfMemoryError("too many")
            self.largest = max(self.largest, len(x))
            return self.inner(x)

    small = Small(bundle.networks[0])
    # One slice, two scouts: the first look fits; eleven frames in batches of 8 do not.
    cine = replace(scan, array=np.repeat(scan.array[:, :, :1], 3, axis=3)[..., :11])
    found = segment(cine, bundle=replace(bundle, networks=(small,)))
    assert small.largest == 2
    assert (found.labels == segment(cine, bundle=bundle).labels).mean() > 0.999


def test_memory_that_runs_out_at_the_first_look_halves_it(scan, bundle):
    class Smaller(torch.nn.Module):
        def __init__(self, inner):
            super().__init__()
            self.inner = inner

        def forward(self, x):
            if len(x) > 1:
                raise torch.OutOfMemoryError("too many")
            return self.inner(x)

    smaller = replace(bundle, networks=(Smaller(bundle.networks[0]),))
    found = segment(scan, bundle=smaller)
    assert (found.labels == segment(scan, bundle=bundle).labels).mean() > 0.999


@pytest.mark.parametrize("side", [1, 3, 8])
def test_tiny_images_are_not_an_error(bundle, rng, side):
    array = rng.normal(size=(side, side, 2, 1)).astype(np.float32)
    assert segment(_scan(array), bundle=bundle).labels.shape == array.shape


def test_a_field_of_view_of_metres_is_refused(scan, bundle):
    with pytest.raises(SubjectError, match=r"1\.6 m") as told:
        segment(replace(scan, spacing_mm=(39.0, 20.0, 8.0)), bundle=bundle)
    assert told.value.reason == "bad_spacing"


def test_normalisation_sees_every_frame_and_slice(rng):
    array = rng.random((200, 200, 20, 20), dtype=np.float32)
    array[..., 0] = 0.0  # a blank first frame
    array[:, :, 1::2] *= 3.0  # every other slice is brighter
    found = black_and_white(array, low_pct=20.0, high_pct=60.0)
    np.testing.assert_allclose(found, np.percentile(array, [20.0, 60.0]), rtol=0.02)


def test_slices_and_back(rng):
    array = rng.normal(size=(4, 5, 3, 2)).astype(np.float32)
    stack = slices(array)
    np.testing.assert_array_equal(stack[1 * 3 + 2], array[:, :, 2, 1])
    np.testing.assert_array_equal(unslice(stack, n_slices=3), array)


def test_normalise_sets_percentiles_and_keeps_slices_apart():
    array = np.arange(1001.0).reshape(1001, 1)
    out = normalise(array)
    assert out[10, 0] == pytest.approx(0.0, abs=1e-6)
    assert out[990, 0] == pytest.approx(1.0, abs=1e-6)
    assert normalise(np.full((3, 3), 5)).tolist() == np.zeros((3, 3)).tolist()


def test_keep_largest_takes_islands_away_per_frame():
    labels = np.zeros((12, 12, 3, 2), np.uint8)
    labels[2:8, 2:8, :, :] = Label.MYO
    labels[3:7, 3:7, :, :] = Label.LV
    labels[10:12, 10:12, 1, 0] = Label.RV  # apart from the heart
    labels[8, 5, 1, 1] = Label.LV  # touches the heart, not the cavity
    clean = labels.copy()
    clean[10:12, 10:12, 1, 0] = clean[8, 5, 1, 1] = Label.BACKGROUND
    assert keep_largest(labels) == 2
    np.testing.assert_array_equal(labels, clean)
    assert keep_largest(labels) == 0
    assert keep_largest(np.zeros((3, 3, 3, 1), np.uint8)) == 0


def test_scout_slices_are_in_the_stack():
    for n_slices in range(1, 20):
        for n_frames in (1, 2, 3, 30):
            chosen = scout_slices(n_slices, n_frames)
            assert chosen
            assert 0 <= min(chosen) <= max(chosen) < n_slices * n_frames
    assert scout_slices(1, 1) == [0]


def test_heart_window_holds_the_heart_wherever_it_is():
    for centre in ((20, 25), (100, 130), (60, 15)):
        heart = torch.zeros(4, 120, 150)
        heart[:, centre[0] - 12 : centre[0] + 12, centre[1] - 14 : centre[1] + 14] = 0.9
        heart[0, 3:9, 3:9] = 1.0  # a false alarm in one slice
        window = heart_window(heart, patch=64, multiple=16)
        assert window is not None
        assert window.size == (64, 64)
        for axis in (0, 1):
            middle = window.start[axis] + (window.size[axis] - 1) / 2
            assert abs(middle - centre[axis]) <= 1
    assert heart_window(torch.zeros(2, 50, 50), patch=64, multiple=16) is None
    wide = torch.zeros(1, 200, 200)
    wide[:, 40:160, 40:160] = 1
    found = heart_window(wide, patch=64, multiple=16)
    assert found is not None
    assert min(found.size) >= 120 + 2 * 16


def test_scores_tell_seen_from_unseen(bundle):
    labels = np.ones((4, 4, 2, 1), np.uint8)
    reference = LabelMap(array=labels, frames=(0,))
    for unit, seen in (("sub-a", True), ("sub-b", False)):
        rows = score_segmentation(
            unit, labels, reference, (1, 1, 1), bundle=bundle, structures=STRUCTURES
        )
        assert {row["seen_in_training"] for row in rows} == {seen}
        assert {row["unit"] for row in rows} == {unit}


@pytest.fixture(scope="module")
def shipped(repo_root_module):
    return load_bundle(repo_root_module / "resources" / "models" / "cine_sax", "cpu")


@pytest.fixture(scope="module")
def repo_root_module():
    from pathlib import Path

    return Path(__file__).resolve().parents[2]


def phantom(centre, *, shape=(150, 170), n_slices=5, noise=4.0):
    """A round ventricle with a crescent beside it, bright blood, dark lung."""
    x, y = np.meshgrid(*(np.arange(n) for n in shape), indexing="ij")
    rng = np.random.default_rng(0)
    image = 25 + noise * rng.normal(size=(*shape, n_slices, 2))
    truth = np.zeros(image.shape, np.uint8)
    for z in range(n_slices):
        for t, scale in enumerate((1.0, 0.75)):
            r = np.hypot(x - centre[0], y - centre[1])
            right = np.hypot(x - centre[0] + 20, (y - centre[1] + 8) / 1.3) < 24 * scale + 3
            outer, inner = r < 23, r < 15 * scale
            label = np.where(right, int(Label.RV), 0)
            label[outer], label[inner] = Label.MYO, Label.LV
            truth[:, :, z, t] = label
            image[:, :, z, t] += np.choose(label, [0, 200, 60, 210])
    body = np.hypot(x - shape[0] / 2, y - shape[1] / 2) > 72
    image[body] += 90
    return image.astype(np.float32), truth


@pytest.mark.parametrize("centre", [(75, 85), (50, 60), (95, 110)])
def test_shipped_bundle_finds_a_heart_wherever_it_is(shipped, centre):
    image, truth = phantom(centre)
    found = segment(_scan(image, (1.5, 1.5, 8.0)), bundle=shipped).labels
    overlap = 2 * ((found == Label.LV) & (truth == Label.LV)).sum()
    assert overlap / ((found == Label.LV).sum() + (truth == Label.LV).sum()) > 0.75


def test_lower_precision_moves_only_borders(scan, bundle):
    options = {"bundle": bundle, "largest_component": False, "mend": False}
    whole = segment(scan, precision="float32", **options).labels
    half = segment(scan, precision="bfloat16", **options).labels
    assert (whole == half).mean() > 0.97
    with pytest.raises(PopscanError, match="use auto, float32, bfloat16"):
        segment(scan, precision="int3", **options)


def test_the_likeliest_label_is_the_argmax(rng):
    p = torch.from_numpy(rng.random((3, 4, 5, 6))).softmax(dim=1)
    p[0, 2] = p[0, 1] = 1.0
    torch.testing.assert_close(most_likely(p), p.argmax(dim=1).to(torch.uint8))


def test_neighbours_change_the_labels_of_a_network_that_sees_them(scan, bundle):
    torch.manual_seed(2)
    arguments = {"channels": [4, 8, 8], "context": 1}
    network = build_network("dynunet", len(Label), **arguments).eval()
    options = {"bundle": replace(bundle, networks=(network,), arguments=(arguments,))}
    options |= {"largest_component": False}
    plain = segment(scan, **options).labels
    other = scan.array.copy()
    other[:, :, 2] = other[
        :,
        :,
        2,
        :,
    ][::-1]
    changed = segment(replace(scan, array=other), **options).labels
    assert (plain[:, :, 1] != changed[:, :, 1]).any()
    # Two slices away: seen by nobody but the window, which is the whole of so small a scan.
    assert (plain[:, :, 0] == changed[:, :, 0]).mean() > 0.999


@pytest.fixture
def two_phases(bundle):
    torch.manual_seed(2)
    arguments = {"channels": [4, 8, 8], "context": 1, "phases": 2}
    network = build_network("dynunet", len(Label), **arguments).eval()
    return replace(bundle, networks=(network,), arguments=(arguments,))


def test_the_opposite_phase_is_the_far_one_of_first_and_third_of_the_cycle():
    assert opposite_frames(1) == [0]
    assert opposite_frames(2) == [1, 0]
    found = opposite_frames(30)
    assert found[:5] == [10] * 5
    assert found[6:20] == [0] * 14
    assert found[21:] == [10] * 9


def test_slices_are_seen_with_the_opposite_phase(scan, two_phases):
    numbered = np.broadcast_to(np.arange(12.0).reshape(1, 1, 4, 3).swapaxes(2, 3), (40, 45, 3, 4))
    grids = Grids(replace(scan, array=np.ascontiguousarray(numbered)), two_phases)
    seen = grids.cut([0, 4, 11], grids.through(grids.whole))
    scale = (seen[..., 16, 16] * (grids.white - grids.black) + grids.black).round().int()
    # (t, z) are (0, 0), (1, 1), (3, 2): their opposite frames are 1, 0 and 1.
    assert scale.tolist() == [[0, 0, 1, 3, 3, 4], [3, 4, 5, 0, 1, 2], [10, 11, 11, 4, 5, 5]]


def test_a_frame_alone_is_its_own_opposite_phase(scan, two_phases):
    alone = replace(scan, array=scan.array[..., :1])
    twice = replace(scan, array=scan.array[..., [0, 0]])
    found, pair = segment(alone, bundle=two_phases), segment(twice, bundle=two_phases)
    np.testing.assert_array_equal(pair.labels[..., :1], found.labels)
    np.testing.assert_array_equal(pair.labels[..., 1:], found.labels)
    other = segment(replace(scan, array=scan.array[..., [0, 1]]), bundle=two_phases)
    assert (other.entropy[..., 0] != found.entropy[..., 0]).any()


def test_members_see_what_they_were_trained_with(scan, bundle, two_phases):
    """A member that sees one slice is not disturbed by another that sees six."""
    both = replace(
        bundle,
        networks=(*bundle.networks, *two_phases.networks),
        arguments=(*bundle.arguments, *two_phases.arguments),
    )
    grids = Grids(scan, both)
    images = grids.cut(range(5), grids.through(grids.whole))
    plain = Grids(scan, bundle)
    alone = plain.cut(range(5), plain.through(plain.whole))
    assert images.shape[1] == 6
    assert torch.equal(seen_by(images, bundle.arguments[0]), alone)
    assert torch.equal(seen_by(images, two_phases.arguments[0]), images)


def _cine(rng, nx, ny, n_slices, n_frames, **options):
    smooth = rng.normal(size=(nx // 5, ny // 5, n_slices, n_frames)).repeat(5, 0).repeat(5, 1)
    array = 100 + 20 * smooth + rng.normal(size=smooth.shape)
    return _scan(array.astype(np.float32), **options)


@pytest.mark.parametrize("flips", [True, "doubtful"])
def test_cines_that_share_batches_get_the_labels_that_each_gets_alone(rng, bundle, flips):
    """Only the order of sums within a convolution may differ between sizes of a batch."""
    cines = [
        _cine(rng, 40, 45, 3, 4),
        _cine(rng, 40, 45, 1, 1),
        _cine(rng, 90, 60, 2, 2, spacing=(1.5, 1.5, 8.0)),
    ]
    options = {"flips": flips, "information": True, "dropout_samples": 1, "precision": "float32"}
    together = Together(bundle=bundle, batch_slices=5, **options)
    endings = together.label([together.prepare(cine) for cine in cines])
    for cine, end in zip(cines, reversed([end() for end in reversed(endings)]), strict=True):
        alone = segment(cine, bundle=bundle, **options)
        assert (end.labels == alone.labels).mean() > 0.999
        assert end.near == alone.near
        np.testing.assert_allclose(end.entropy, alone.entropy, atol=2e-3)
        np.testing.assert_allclose(end.information, alone.information, atol=2e-3)
        assert end.tally.samples == alone.tally.samples
        np.testing.assert_allclose(end.tally.volumes, alone.tally.volumes, atol=2)
        assert end.values.keys() == alone.values.keys()


def test_only_slices_that_the_network_doubts_are_mirrored(rng, bundle):
    """Each by itself: neither the size of a batch nor the other slices of a scan matter."""
    scan = _cine(rng, 40, 45, 3, 4)
    scan.array[..., 1, :] = 100  # hardly anything to see
    options = {"base": False, "mend": False, "largest_component": False, "precision": "float32"}
    plain = segment(scan, bundle=bundle, flips=False, **options)
    doubt = plain.tally.entropy.sum(axis=1)
    limit = float(np.sort(doubt)[6:8].mean())
    known = replace(bundle, about={**bundle.about, "calibration": {"doubt_limit": limit}})
    found = segment(scan, bundle=known, flips="doubtful", **options)
    one, other = found.tally.volumes
    assert found.tally.samples == ("member0", "member0 flip-x")
    np.testing.assert_array_equal(one, plain.tally.volumes[0])
    changed = (one != other).any(axis=1)
    np.testing.assert_array_equal(changed, doubt > limit)
    same = found.entropy == plain.entropy
    np.testing.assert_array_equal(same.all(axis=(0, 1)).T.reshape(-1), doubt <= limit)
    small = segment(scan, bundle=known, flips="doubtful", batch_slices=1, **options)
    assert (small.labels == found.labels).mean() > 0.999
    again = segment(scan, bundle=known, flips="doubtful", **options)
    np.testing.assert_array_equal(again.labels, found.labels)
    np.testing.assert_array_equal(again.entropy, found.entropy)


def test_batches_are_shared_in_order_and_hold_cines_of_one_size_only(rng, bundle):
    seen = []

    class Noted(torch.nn.Module):
        def __init__(self, inner):
            super().__init__()
            self.inner = inner

        def forward(self, x):
            seen.append((len(x), tuple(x.shape[2:])))
            return self.inner(x)

    noted = replace(bundle, networks=(Noted(bundle.networks[0]),))
    shapes = [(40, 45), (100, 90), (40, 45)]
    cines = [_cine(rng, *shape, 3, 2, spacing=(1.5, 1.5, 8.0)) for shape in shapes]
    together = Together(bundle=noted, flips=False, batch_slices=8, largest_component=False)
    together.label([together.prepare(cine) for cine in cines])
    n = len(scout_slices(3, 2))
    assert [k for k, _ in seen[:2]] == [2 * n, n]  # the two of one size share the first look
    assert sum(k for k, _ in seen[2:]) == 3 * 6
    assert max(k for k, _ in seen) == 8


def test_memory_that_runs_out_in_shared_batches_halves_them(rng, bundle):
    class Small(torch.nn.Module):
        def __init__(self, inner):
            super().__init__()
            self.inner = inner

        def forward(self, x):
            if len(x) > 3:
                raise torch.OutOfMemoryError("too many")
            return self.inner(x)

    small = replace(bundle, networks=(Small(bundle.networks[0]),))
    cines = [_cine(rng, 40, 45, 3, 3) for _ in range(2)]
    both = [Together(bundle=b, batch_slices=16, precision="float32") for b in (small, bundle)]
    results = [[end() for end in t.label([t.prepare(c) for c in cines])] for t in both]
    for one, other in zip(*results, strict=True):
        assert (one.labels == other.labels).mean() > 0.999
        np.testing.assert_allclose(one.tally.expected, other.tally.expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("value", [0.0, -1000.0])
def test_a_margin_around_the_scan_changes_nothing(scan, bundle, value):
    margin = ((30, 7), (0, 44), (0, 0), (0, 0))
    padded = replace(scan, array=np.pad(scan.array, margin, constant_values=value))
    kept = []
    plain = segment(scan, bundle=bundle)
    found = segment(padded, bundle=bundle, keep=lambda *batch: kept.append(batch[2]))
    inner = tuple(slice(a, -b if b else None) for a, b in margin)
    np.testing.assert_array_equal(found.labels[inner], plain.labels)
    assert np.count_nonzero(found.labels) == np.count_nonzero(plain.labels) > 0
    np.testing.assert_array_equal(found.entropy[inner], plain.entropy)
    assert found.values == pytest.approx(plain.values, nan_ok=True)
    whole = torch.cat(kept)
    assert whole.shape[-2:] == padded.array.shape[:2]
    assert torch.allclose(whole.sum(dim=1), torch.ones(()), atol=1e-5)
