"""Uncertainty: hand-computed values, laws of the sums, and what a segmentation carries."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from popscan.protocols.cine_sax.labels import STRUCTURES, Label
from popscan.protocols.cine_sax.segmentation.inference import segment
from popscan.records import PopscanError, Scan
from popscan.segment.bundle import Bundle
from popscan.segment.networks import build_network
from popscan.segment.samples import Watch, summaries
from popscan.segment.uncertainty import (
    dropped,
    flip_risk,
    mutual_information,
    predictive_entropy,
    temper,
)

ARGUMENTS = {"channels": [4, 8, 8]}


def voxel(*probabilities: float) -> torch.Tensor:
    """One voxel (1, label, 1, 1)."""
    return torch.tensor(probabilities, dtype=torch.float32).view(1, -1, 1, 1)


@pytest.fixture(scope="module")
def bundle():
    networks = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        networks.append(build_network("dynunet", len(Label), **ARGUMENTS).eval())
    return Bundle(
        name="tiny",
        networks=tuple(networks),
        arguments=(ARGUMENTS,) * 2,
        labels={"rv": 1, "myo": 2, "lv": 3},
        spacing_mm=1.5,
        patch=32,
        normalisation={},
        input_range={"inplane_mm": (1.2, 1.9), "slice_distance_mm": (5, 10)},
        digest="",
        device=torch.device("cpu"),
        about={"trained_on": {"salt": "", "sha256": []}},
    )


@pytest.fixture
def scan(rng):
    smooth = rng.normal(size=(8, 8, 3, 4)).repeat(4, 0).repeat(4, 1)
    array = (100 + 20 * smooth + rng.normal(size=smooth.shape)).astype(np.float32)
    return Scan(array=array, affine=np.diag([1.5, 1.5, 8, 1]), spacing_mm=(1.5, 1.5, 8.0))


def test_entropy_of_certain_and_even():
    assert float(predictive_entropy(voxel(1, 0, 0, 0))) == 0
    assert float(predictive_entropy(voxel(*[0.25] * 4))) == pytest.approx(math.log(4))
    assert float(predictive_entropy(voxel(0.5, 0.5, 0, 0))) == pytest.approx(math.log(2))


def test_information_is_what_samples_disagree_about():
    sure = torch.stack([voxel(1, 0, 0, 0), voxel(0, 1, 0, 0)])
    assert float(mutual_information(sure)) == pytest.approx(math.log(2))
    unsure = torch.stack([voxel(0.5, 0.5, 0, 0)] * 3)
    assert float(mutual_information(unsure)) == 0
    mixed = torch.stack([voxel(0.9, 0.1, 0, 0), voxel(0.5, 0.5, 0, 0)])
    h = [-sum(p * math.log(p) for p in pair) for pair in ((0.9, 0.1), (0.5, 0.5), (0.7, 0.3))]
    assert float(mutual_information(mixed)) == pytest.approx(h[2] - (h[0] + h[1]) / 2, abs=1e-6)


def test_flip_risk_is_about_identity_not_about_presence():
    assert float(flip_risk(voxel(0.9, 0.1, 0, 0))) == 0
    assert float(flip_risk(voxel(0.5, 0.25, 0.25, 0))) == pytest.approx(math.log(2) / math.log(3))
    assert float(flip_risk(voxel(0.1, 0.3, 0.3, 0.3))) == pytest.approx(1.0)
    assert float(flip_risk(voxel(1, 0, 0, 0))) == 0


def test_temper_by_hand_and_its_laws(rng):
    sharper = temper(voxel(0.8, 0.2, 0, 0), 0.5)
    assert sharper.flatten().tolist() == pytest.approx([0.64 / 0.68, 0.04 / 0.68, 0, 0])
    p = torch.from_numpy(rng.dirichlet(np.ones(4), size=50).reshape(50, 4, 1, 1))
    assert temper(p, 1.0) is p
    softer = temper(p, 2.0)
    torch.testing.assert_close(softer.sum(dim=1), torch.ones(50, 1, 1, dtype=p.dtype))
    assert (softer.argmax(dim=1) == p.argmax(dim=1)).all()
    assert (predictive_entropy(softer) >= predictive_entropy(p)).all()
    torch.testing.assert_close(temper(temper(p, 2.0), 0.5), p)
    for wrong in (0.0, -1.0, math.nan, math.inf):
        with pytest.raises(PopscanError, match="not a positive number"):
            temper(p, wrong)


def test_watch_adds_up_by_hand():
    """Two slices of two voxels, two samples."""
    first = torch.tensor([[[1.0, 0, 0, 0], [0, 1, 0, 0]], [[0, 0, 0, 1], [0, 0, 0.5, 0.5]]])
    second = torch.tensor([[[1.0, 0, 0, 0], [1, 0, 0, 0]], [[0, 0, 0, 1], [0, 0, 0.1, 0.9]]])
    samples = [s.permute(0, 2, 1)[..., None] for s in (first, second)]
    mean = sum(samples) / 2
    watch = Watch(n=2, n_labels=4, pixel_mm2=2.0)
    for name, sample in zip("ab", samples, strict=True):
        watch.sample(name, sample)
    information = watch.close(0, 2, mean)
    assert information[0, :, 0].tolist() == pytest.approx([0, math.log(2)])
    tally = watch.tally()
    assert tally.samples == ("a", "b")
    np.testing.assert_array_equal(tally.volumes[:, 0], [[1, 1, 0, 0], [2, 0, 0, 0]])
    np.testing.assert_array_equal(tally.volumes[:, 1], [[0, 0, 1, 1], [0, 0, 0, 2]])
    # A tie counts for the lower label: both voxels of the first slice are background.
    np.testing.assert_allclose(tally.expected[0], [[1.5, 0.5, 0, 0]] + [[0] * 4] * 3)
    np.testing.assert_allclose(tally.expected[1, 3], [0, 0, 0.3, 1.7])
    assert tally.entropy[0, 0] == pytest.approx(math.log(2))
    frames = tally.by_frame(2)
    np.testing.assert_allclose(frames.expected[0], tally.expected.sum(axis=0))
    assert frames.volumes.shape == (2, 1, 4)


def test_batches_do_not_matter(rng):
    samples = [torch.from_numpy(rng.dirichlet(np.ones(4), size=(6, 5, 3))) for _ in range(3)]
    samples = [s.permute(0, 3, 1, 2).float() for s in samples]
    tallies = []
    for size in (6, 4, 1):
        watch = Watch(n=6, n_labels=4)
        for start in range(0, 6, size):
            part = [s[start : start + size] for s in samples]
            watch.sample("lost to memory", part[0])
            watch.restart()
            watch.names[:] = watch.names if start else []
            watch._volumes[:] = watch._volumes if start else []
            for number, sample in enumerate(part):
                watch.sample(str(number), sample)
            watch.close(start, min(start + size, 6), sum(part) / 3)
        tallies.append(watch.tally())
    for other in tallies[1:]:
        for field in ("expected", "entropy", "information", "flip_risk", "volumes"):
            np.testing.assert_allclose(
                getattr(tallies[0], field), getattr(other, field), rtol=1e-5, atol=1e-6
            )


def test_dropout_silences_channels_and_leaves_no_trace():
    torch.manual_seed(0)
    network = build_network("dynunet", len(Label), **ARGUMENTS).eval()
    x = torch.randn(3, 1, 32, 32)
    with torch.inference_mode():
        plain = network(x)
        with dropped(network, rate=0.5, seed=1):
            one = network(x)
            alone = network(x[1:2])
        with dropped(network, rate=0.5, seed=1):
            again = network(x)
        with dropped(network, rate=0.5, seed=2):
            other = network(x)
        with dropped(network, rate=0.0, seed=1):
            none = network(x)
        after = network(x)
    torch.testing.assert_close(one, again)
    torch.testing.assert_close(one[1:2], alone)  # a draw is a network, whatever the batch
    torch.testing.assert_close(plain, none)
    torch.testing.assert_close(plain, after)
    assert not torch.allclose(one, plain)
    assert not torch.allclose(one, other)
    with pytest.raises(PopscanError, match="dropout rate"), dropped(network, rate=1.0, seed=0):
        pass


def test_own_dropout_layers_are_used_where_there_are_any():
    network = torch.nn.Sequential(
        torch.nn.Conv2d(1, 8, 1), torch.nn.Dropout2d(0.3), torch.nn.Conv2d(8, 4, 1)
    ).eval()
    network.requires_grad_(False)
    before = network[0](torch.ones(1, 1, 2, 2))
    seen = []
    handle = network[2].register_forward_pre_hook(lambda _m, inputs: seen.append(inputs[0]))
    with dropped(network, rate=0.5, seed=3):
        network(torch.ones(1, 1, 2, 2))
    handle.remove()
    ratio = (seen[0] / before)[0, :, 0, 0].round(decimals=4)
    assert set(ratio.tolist()) == {0.0, 2.0}


def _masks(network, layer, x, *, rate=0.5):
    """What a draw multiplies the input of `layer` by."""
    seen = []
    handle = layer.register_forward_pre_hook(lambda _m, inputs: seen.append(inputs[0]))
    with torch.inference_mode():
        network(x)
        with dropped(network, rate=rate, seed=3):
            network(x)
    handle.remove()
    return seen[1] / seen[0]


def test_dropout_that_does_nothing_is_not_the_networks_own():
    network = torch.nn.Sequential(
        torch.nn.Conv2d(1, 16, 1), torch.nn.Dropout(0.0), torch.nn.Conv2d(16, 16, 1)
    ).eval()
    before = network(x := torch.ones(2, 1, 3, 3))
    with dropped(network, rate=0.5, seed=3):
        after = network(x)
    # The last convolution is silenced too, by whole channels.
    silent = (after == 0).all(dim=(2, 3))
    assert 0 < silent[0].sum() < 16
    assert not (before == 0).any()


def test_after_linear_layers_channels_are_last():
    """Rows and columns, or tokens, stay whole: it is features that are silenced."""
    for shape in ((2, 6, 10, 3), (2, 7, 3)):
        network = torch.nn.Sequential(
            torch.nn.Linear(3, 16), torch.nn.Dropout(0.1), torch.nn.Linear(16, 4)
        ).eval()
        mask = _masks(network, network[2], torch.rand(shape)).round(decimals=4)
        first = mask.reshape(-1, 16)[0]
        assert set(first.tolist()) == {0.0, 2.0}
        assert (mask == first).all()


def test_dropout_of_a_transformer_silences_whole_channels():
    torch.manual_seed(0)
    network = build_network("swin_unetr", len(Label), channels=[12, 12, 24, 48, 96, 192]).eval()
    outputs: list[torch.Tensor] = []
    layer = network.encoder10.layer.conv2.conv
    with torch.inference_mode(), dropped(network, rate=0.5, seed=1):
        handle = layer.register_forward_hook(lambda *call: outputs.append(call[-1]))
        network(torch.randn(2, 1, 64, 64))
        handle.remove()
    silent = (outputs[0] == 0).flatten(2)
    assert bool((silent.all(dim=2) == silent.any(dim=2)).all())
    assert 0 < int(silent.all(dim=2)[0].sum()) < silent.shape[1]


@pytest.mark.parametrize(
    ("options", "count"),
    [
        ({}, 2),
        ({"flips": "doubtful"}, 4),
        ({"flips": True}, 8),
        ({"dropout_samples": 3}, 8),
    ],
)
def test_segmentation_counts_its_samples(scan, bundle, options, count):
    found = segment(scan, bundle=bundle, largest_component=False, **options)
    tally = found.tally
    assert len(tally.samples) == len(set(tally.samples)) == count
    n = scan.array.shape[2] * scan.array.shape[3]
    assert tally.volumes.shape == (count, n, 4)
    # Every sample labels every voxel of the window, and so does the mean.
    voxels = tally.expected.sum(axis=(1, 2))
    np.testing.assert_allclose(tally.volumes.sum(axis=2), np.tile(voxels, (count, 1)), rtol=1e-4)
    assert (tally.information >= 0).all()
    for name in ("rv", "myo", "lv"):
        assert 0 <= found.values[f"flip_risk_{name}"] <= 1 or math.isnan(
            found.values[f"flip_risk_{name}"]
        )
        assert math.isnan(found.values[f"expected_dice_{name}"])  # not calibrated


def test_dropout_does_not_touch_the_labels(scan, bundle):
    plain = segment(scan, bundle=bundle)
    dropped_too = segment(scan, bundle=bundle, dropout_samples=2)
    np.testing.assert_array_equal(plain.labels, dropped_too.labels)
    assert plain.information is None
    mapped = segment(scan, bundle=bundle, information=True).information
    assert mapped.shape == scan.array.shape
    assert mapped.max() > 0


def test_one_sample_has_no_spread(scan, bundle):
    one = replace(bundle, networks=bundle.networks[:1], arguments=bundle.arguments[:1])
    values = summaries(segment(scan, bundle=one).tally, STRUCTURES)
    assert all(
        math.isnan(values[f"{key}"])
        for key in values
        if key.startswith(("mean_information", "volume_spread"))
    )


def test_temperature_of_the_bundle_is_applied(scan, bundle):
    hot = replace(bundle, about={**bundle.about, "calibration": {"temperature": 3.0}})
    plain, soft = segment(scan, bundle=bundle), segment(scan, bundle=hot)
    assert soft.entropy.astype(float).mean() > plain.entropy.astype(float).mean()
    assert (soft.labels == plain.labels).mean() > 0.95
