"""Scans unlike the training's are noticed: in features of the network, and in tissues."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from popscan.arrays.widening import MOST, fit_widening, stored_widening, widening
from popscan.protocols.cine_sax.segmentation.inference import segment
from popscan.records import Scan
from popscan.segment.bundle import Bundle
from popscan.segment.features import Tap, tapped
from popscan.segment.networks import build_network
from popscan.segment.ood import Space, fit_space, fold_scores, tissue_features, unlikeness
from popscan.train.known import spaces_of

CHANNELS = {"channels": [4, 8, 8]}


def scan(seed: int, *, texture: float = 0.0) -> Scan:
    """A bright disc on a smooth ground that differs a little by seed; texture makes it strange."""
    rng = np.random.default_rng(seed)
    x, y = np.mgrid[:40, :40]
    disc = np.exp(-((x - 20) ** 2 + (y - 20) ** 2) / rng.uniform(60, 90))
    array = np.repeat(disc[:, :, None, None], 3, axis=2) + 0.02 * rng.random((40, 40, 3, 1))
    array = array + texture * rng.random(array.shape)
    return Scan(
        array=array.astype(np.float32), affine=np.diag([1.5, 1.5, 8, 1]),
        spacing_mm=(1.5, 1.5, 8.0), frame_times_ms=None, view="sax",
    )  # fmt: skip


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    torch.manual_seed(0)
    network = build_network("dynunet", 4, **CHANNELS).eval()
    plain = Bundle(
        name="tiny", labels={"rv": 1, "myo": 2, "lv": 3}, networks=(network,),
        arguments=(CHANNELS,), spacing_mm=1.5, patch=32,
        normalisation={}, input_range={}, digest="", device=torch.device("cpu"),
        about={"trained_on": {"salt": "", "sha256": []}},
    )  # fmt: skip
    seen = []
    for seed in range(20):
        found = segment(scan(seed), bundle=plain, features=True, precision="float32")
        seen.append((found.features.astype(float), np.full(6, np.nan)))
    spaces = spaces_of(seen, [str(seed) for seed in range(20)])
    assert set(spaces) == {"scan", "slice"}
    arrays = {k: v for name, s in spaces.items() for k, v in s.arrays(f"ood.0.{name}").items()}
    return replace(plain, training=arrays)


def test_a_scan_like_the_training_is_not_warned_of_and_another_is(bundle):
    usual = [segment(scan(seed), bundle=bundle).values for seed in range(30, 36)]
    assert np.median([v["ood_score"] for v in usual]) < 1
    odd = segment(scan(30, texture=3.0), bundle=bundle).values
    assert odd["ood_score"] > 1.5
    assert odd["ood_slices"] == 3
    assert "unlike the training scans: what the network sees" in odd["input_warning"]


def test_the_score_does_not_depend_on_batches_or_mirrorings(bundle):
    scores = [
        segment(scan(40), bundle=bundle, precision="float32", **options).values["ood_score"]
        for options in ({}, {"batch_slices": 1}, {"flips": True}, {"dropout_samples": 2})
    ]
    assert scores == pytest.approx([scores[0]] * 4, abs=2e-3)


def test_a_bundle_without_a_detector_has_no_score(bundle):
    found = segment(scan(1), bundle=replace(bundle, training={}))
    assert np.isnan(found.values["ood_score"])
    assert np.isnan(found.values["ood_slices"])
    assert found.features is None


def test_features_are_those_of_the_first_pass_and_the_network_is_left_as_it_was(bundle):
    network = bundle.networks[0]
    x = torch.rand(2, 1, 32, 32)
    with Tap(network) as tap, torch.inference_mode():
        network(x)
        first = tap.features()
        network(x.flip(2))
        assert torch.equal(tap.features(), first)
        tap.restart()
        network(2 * x)
        assert not torch.equal(tap.features(), first)
    with torch.inference_mode():
        flat = network.input_block.conv1(x).flatten(2)
    assert first.shape == (2, 2 * sum(CHANNELS["channels"]))
    torch.testing.assert_close(first[:, :4], flat.mean(dim=2))
    torch.testing.assert_close(first[:, 4:8], flat.std(dim=2))
    assert not any(module._forward_hooks for module in network.modules())
    assert len(tapped(build_network("unet", 4, channels=[4, 8, 8]))) == 1


def test_spaces_are_stored_whole_or_not_at_all():
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(60, 10)) * np.linspace(1, 5, 10)
    space = replace(fit_space(rows, components=4), limit=2.0)
    arrays = space.arrays("s")
    again = Space.stored(arrays, "s")
    np.testing.assert_allclose(again.score(rows), space.score(rows), rtol=5e-3)
    assert np.median(space.score(rows)) < 0.6
    assert space.score(rows[:1] + 40)[0] > 1
    assert Space.stored({**arrays, "s.basis": np.zeros((3, 4))}, "s") is None
    assert Space.stored({k: v for k, v in arrays.items() if k != "s.scale"}, "s") is None
    assert np.isnan(space.score(np.full((1, 10), np.nan))[0])


def test_a_subject_is_never_judged_by_what_was_fitted_on_it():
    rng = np.random.default_rng(1)
    rows = rng.normal(size=(40, 6))
    rows[7] += 30
    subjects = [str(i // 2) for i in range(40)]
    held_out = fold_scores(rows, subjects, components=3, folds=5)
    own = fit_space(rows, components=3).score(rows)
    assert held_out[7] > 3 * own[7]
    assert np.isfinite(held_out).all()


def test_the_nearest_kind_of_training_scans_counts():
    rng = np.random.default_rng(2)
    kinds = [rng.normal(size=(30, 5)), 100 + rng.normal(size=(30, 5))]
    arrays = {}
    for number, rows in enumerate(kinds):
        space = replace(fit_space(rows, components=3), limit=3.0)
        arrays |= space.arrays(f"ood.{number}.scan")
    for rows in kinds:
        assert unlikeness(arrays, rows[:4], np.full(6, np.nan), n_slices=4).score < 1
    between = unlikeness(arrays, kinds[0][:4] + 50, np.full(6, np.nan), n_slices=4)
    assert (between.score > 1, between.by) == (True, "features")
    assert np.isnan(unlikeness(arrays, np.zeros((4, 7)), np.zeros(6), n_slices=4).score)


def test_tissues_do_not_depend_on_the_scale_of_intensities():
    rng = np.random.default_rng(3)
    array, labels = rng.random((8, 8, 2, 1)), rng.integers(0, 3, (8, 8, 2, 1)).astype(np.uint8)
    plain = tissue_features(array, labels, [1, 2, 3], black=0.0, white=1.0)
    scaled = tissue_features(50 * array + 7, labels, [1, 2, 3], black=7.0, white=57.0)
    np.testing.assert_allclose(plain[:4], scaled[:4])
    assert np.isnan(plain[4:]).all()
    inside = array[labels == 1]
    assert plain[0] == pytest.approx(np.log(np.median(inside)))


def test_intervals_widen_as_errors_do_with_the_score():
    rng = np.random.default_rng(4)
    scores = rng.uniform(0.4, 4.0, 400)
    errors = rng.normal(size=(400, 3)) * widening(scores, start=1.0, slope=2.0)[:, None]
    found = fit_widening(scores, errors)
    np.testing.assert_allclose(
        widening([0.8, 2.0, 3.0], **found),
        widening([0.8, 2.0, 3.0], start=1.0, slope=2.0),
        rtol=0.25,
    )
    flat = fit_widening(scores, rng.normal(size=(400, 3)))
    assert widening(4.0, **flat) < 1.2
    assert fit_widening([np.nan, np.nan], np.ones((2, 3))) == {"start": 1.0, "slope": 0.0}
    assert (np.diff(widening(np.linspace(0, 9, 50), **found)) >= 0).all()
    assert stored_widening(found, 1e9) == MOST
    assert stored_widening(found, float("nan")) == stored_widening(None, 3.0) == 1.0
