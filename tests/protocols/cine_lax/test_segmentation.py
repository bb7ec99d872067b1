"""Segmentation of long-axis planes by a bundle: turning, time, cleaning, warnings."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
import torch

from popscan.commands.check import check_study
from popscan.config import Config
from popscan.labelset import GIVEN, UNPROVEN
from popscan.protocol import Segmentation
from popscan.protocols import get_protocol
from popscan.protocols.cine_lax.labels import LA, LABELS, LV, MYO
from popscan.protocols.cine_lax.methods import sentences
from popscan.protocols.cine_lax.planes import planes_of
from popscan.protocols.cine_lax.qc import CHECKS, PlanesContext
from popscan.protocols.cine_lax.segmentation import NOT_TURNED, _clean, over_cycle, segment
from popscan.protocols.cine_lax.simulate.scan import simulate_subject
from popscan.protocols.cine_lax.turning import Turn, turn_of, typical_affine
from popscan.protocols.cine_sax.simulate.population import sample_population
from popscan.qc import run_checks
from popscan.segment.bundle import load_bundle, save_bundle
from popscan.segment.networks import build_network
from popscan.segment.proof import WARNING

ROW = sample_population(1, seed=77).iloc[0].to_dict()
TURNS = [Turn(swap=s, flip=(a, b)) for s, a, b in product((False, True), repeat=3)]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    """Return a small bundle of random weights that no labelled image was there for."""
    folder = tmp_path_factory.mktemp("bundles") / "lax"
    torch.manual_seed(5)
    member = {"architecture": "dynunet", "arguments": {"channels": [4, 8, 8], "context": 0}}
    network = build_network("dynunet", 6, **member["arguments"])
    about = {
        "name": "lax", "labels": dict(LABELS.codes), "members": [member], "spacing_mm": 4.0,
        "patch": 48, "normalisation": {"low_pct": 1.0, "high_pct": 99.0},
        "input_range": {"inplane_mm": [1.5, 2.5]}, "training": {},
        "trained_on": {"salt": "x", "sha256": []}, "validation": {"simulated_only": True},
    }  # fmt: skip
    save_bundle(folder, about=about, weights=[network.state_dict()], card="A card.")
    return load_bundle(folder, "cpu")


@pytest.fixture(scope="module")
def made():
    return simulate_subject(ROW, seed=77, matrix=(144, 144), spacing_mm=(2.0, 2.0), frames=4)


@pytest.fixture(scope="module")
def found(bundle, made):
    return segment(made.scan, bundle=bundle, precision="float32")


def stored_otherwise(scan, turn):
    """Return a scan whose planes are stored with rows and columns rearranged."""
    array = turn.undo(scan.array)
    planes = []
    for plane in planes_of(scan.meta, scan.array.shape):
        affine, shape = plane.affine.copy(), plane.shape
        # `apply` exchanges axes first; so undoing reverses first.
        for axis in range(2):
            if turn.flip[axis]:
                affine[:3, 3] += affine[:3, axis] * (shape[axis] - 1)
                affine[:3, axis] *= -1
        if turn.swap:
            affine[:3, :2] = affine[:3, 1::-1]
            shape = shape[::-1]
        planes.append(
            {"view": plane.view, "affine": affine.tolist(), "shape": list(shape), "n_frames": 4}
        )
    return replace(scan, array=array, meta={**scan.meta, "planes": planes})


@pytest.mark.parametrize("turn", TURNS)
def test_turning_forth_and_back_changes_nothing(turn):
    array = np.arange(2 * 3 * 4).reshape(2, 3, 4)
    np.testing.assert_array_equal(turn.undo(turn.apply(array)), array)


@pytest.mark.parametrize("view", ["2ch", "4ch"])
def test_a_typical_plane_stays_as_it_is(view):
    affine = typical_affine(view, pixel_mm=1.5, thickness_mm=6.0)
    assert turn_of(affine, view) == Turn(swap=False, flip=(False, False))
    np.testing.assert_allclose(np.linalg.norm(affine[:3, :2], axis=0), 1.5)


@pytest.mark.parametrize("turn", TURNS[1::3])
def test_how_a_plane_is_stored_does_not_matter(turn, bundle, made, found):
    other = segment(stored_otherwise(made.scan, turn), bundle=bundle, precision="float32")
    # Sums in another order decide a few pixels of an untrained network.
    assert np.mean(turn.apply(other.labels) == found.labels) > 0.98


def test_a_cycle_is_smoothed_round_its_ends_and_a_few_frames_are_not():
    few = torch.rand(4, 6, 3, 3)
    assert over_cycle(few) is few
    cycle = torch.zeros(20, 2, 1, 1)
    cycle[0, 0] = 1.0
    out = over_cycle(cycle)[:, 0, 0, 0]
    assert out[[19, 0, 1]].tolist() == [0.25, 0.5, 0.25]
    assert float(out.sum()) == pytest.approx(1.0)


def test_islands_go_and_holes_are_filled_but_a_wall_may_be_in_two_pieces():
    frame = np.zeros((40, 40), np.uint8)
    frame[10:12, 10:30], frame[28:30, 10:30] = MYO, MYO
    frame[12:28, 10:30] = LV
    frame[18, 20] = 0
    frame[2:4, 2:4] = LA
    labels = frame[:, :, None, None].copy()
    assert _clean(labels, islands=True, holes=True) == 1
    assert not (labels == LA).any()
    assert labels[18, 20, 0, 0] == LV
    assert (labels == MYO).sum() == 80


def test_every_result_of_a_bundle_without_labelled_images_says_that_it_is_unproven(found):
    assert found.values["labels_by"] == UNPROVEN
    assert WARNING in found.values["input_warning"]
    assert found.labels.dtype == np.uint8
    assert found.labels.max() <= max(LABELS.codes.values())


def test_a_bundle_that_was_held_against_labelled_images_does_not_say_so(bundle, made):
    validation = {**bundle.about["validation"], "simulated_only": False}
    other = replace(bundle, about={**bundle.about, "validation": validation})
    values = segment(made.scan, bundle=other).values
    assert values["labels_by"] == "network"
    assert WARNING not in values["input_warning"]


@pytest.mark.parametrize("stated", [{}, {"simulated_only": None}, {"simulated_only": "no"}])
def test_a_bundle_that_does_not_state_a_validation_is_unproven(bundle, made, stated):
    other = replace(bundle, about={**bundle.about, "validation": stated})
    values = segment(made.scan, bundle=other).values
    assert values["labels_by"] == UNPROVEN
    assert WARNING in values["input_warning"]


def test_planes_that_cannot_be_turned_are_warned_of(bundle, made, found):
    unknown = replace(made.scan, meta={**made.scan.meta, "orientation_known": False})
    assert NOT_TURNED in segment(unknown, bundle=bundle).values["input_warning"]
    assert NOT_TURNED not in found.values["input_warning"]


@pytest.mark.parametrize(
    ("source", "limits", "expected"),
    [
        (GIVEN, {}, "not_assessed"),
        ("", {}, "not_assessed"),
        ("network", {}, "pass"),
        (UNPROVEN, {}, "review"),
        (UNPROVEN, {"unproven_labels": {"review": None}}, "pass"),
    ],
)
def test_unproven_labels_are_reviewed_until_a_study_lifts_the_limit(made, source, limits, expected):
    context = PlanesContext(made.scan, made.labels.array, from_segmentation={"labels_by": source})
    specs = {"unproven_labels": CHECKS["unproven_labels"]}
    (check,) = run_checks(specs, context, thresholds=limits)
    assert str(check.verdict) == expected


def test_labels_that_came_with_the_images_stay_the_default():
    config = Config.model_validate({"protocol": "cine_lax"})
    assert (config.segment.method, config.segment.model) == ("given", "")
    assert "nothing was segmented" in sentences({"segment": {"method": "given"}})[0]


def test_the_methods_say_whether_the_network_is_proven(tmp_path):
    config = {"segment": {"method": "bundle", "model": str(tmp_path)}}
    assert "states no agreement" in sentences(config)[0]
    for stated, unproven in (("{}", True), ("{simulated_only: false}", False)):
        (tmp_path / "model.yaml").write_text(f"validation: {stated}\n", encoding="utf-8")
        first = sentences(config)[0]
        assert "neural network" in first
        assert ("states no agreement" in first) == unproven
    assert any("network" in limit for limit in get_protocol("cine_lax").words.limits)


def test_a_method_may_have_a_bundle_of_its_own():
    methods = {"given": "a:b", "bundle": "a:c"}
    part = Segmentation(methods=methods, method="given", bundle="", bundles={"bundle": "mine"})
    assert (part.bundle_of(), part.bundle_of("given")) == ("", "")
    assert part.bundle_of("bundle") == "mine"
    protocol = replace(get_protocol("cine_lax"), segmentation=part)
    assert protocol.defaults(segment="bundle")["segment"]["model"] == "mine"
    assert protocol.defaults()["segment"]["model"] == ""


def test_a_method_that_needs_a_bundle_does_not_begin_without_one(tmp_path):
    file = tmp_path / "config.yaml"
    file.write_text(
        "protocol: cine_lax\nsource: {kind: simulated}\nsegment: {method: bundle, model: ''}\n"
        f"study: {{results: {tmp_path}}}\nsimulate: {{kspace: false}}\n"
    )
    problems, _ = check_study(file)
    assert [line for line in problems if "segment.model: none" in line]
    file.write_text(file.read_text().replace("bundle", "given"))
    assert check_study(file)[0] == []
