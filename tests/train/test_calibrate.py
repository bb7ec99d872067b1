"""Calibrating a bundle: what is stored, that it is used, and who is refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import yaml

from popscan.protocols.cine_sax.biomarkers.intervals import QUANTITIES
from popscan.protocols.cine_sax.labels import Label
from popscan.protocols.cine_sax.segmentation.inference import segment
from popscan.protocols.cine_sax.training.calibrate import SECTIONS, calibrate_bundle, uncalibrated
from popscan.protocols.cine_sax.training.crosstable import CrossFitted
from popscan.protocols.cine_sax.training.decision import unbiased_offset
from popscan.protocols.cine_sax.training.observe import labelled_part, observe, spoilt
from popscan.protocols.cine_sax.training.sections import (
    doubt_limit,
    expected_without_own,
    intervals_section,
)
from popscan.records import LabelMap, PopscanError, Scan
from popscan.segment import load_bundle, save_bundle
from popscan.segment.expected import FEATURES
from popscan.segment.known import hash_identifier
from popscan.segment.networks import build_network
from popscan.train.packs import Case

ARGUMENTS = {"channels": [4, 8, 8]}


@pytest.fixture
def path(tmp_path):
    """A bundle of two untrained members."""
    members, weights = [], []
    for seed in (1, 2):
        torch.manual_seed(seed)
        network = build_network("dynunet", len(Label), **ARGUMENTS)
        members.append({"architecture": "dynunet", "arguments": ARGUMENTS})
        weights.append(network.state_dict())
    about = {
        "name": "tiny",
        "members": members,
        "labels": {"rv": 1, "myo": 2, "lv": 3},
        "spacing_mm": 1.5,
        "patch": 16,
        "normalisation": {"low_pct": 1.0, "high_pct": 99.0},
        "input_range": {"inplane_mm": [1.0, 2.0], "slice_distance_mm": [5, 10]},
        "training": {},
        "trained_on": {"salt": "s", "sha256": [hash_identifier("seen", salt="s")]},
        "validation": {},
    }
    save_bundle(tmp_path / "tiny", about=about, weights=weights, card="A card.")
    return tmp_path / "tiny"


def case(unit: str, seed: int) -> Case:
    rng = np.random.default_rng(seed)
    array = rng.normal(size=(5, 5, 2, 2)).repeat(4, 0).repeat(4, 1) * 20 + 100
    labels = rng.integers(0, 4, size=(5, 5, 2, 2)).repeat(4, 0).repeat(4, 1)
    scan = Scan(
        array=(array + rng.normal(size=array.shape)).astype(np.float32),
        affine=np.diag([1.5, 1.5, 8, 1]),
        spacing_mm=(1.5, 1.5, 8.0),
        meta={"frame_labels": ["ED", "ES"]},
    )
    return Case(unit=unit, scan=scan, labels=LabelMap(array=labels.astype(np.uint8), frames=(0, 1)))


@pytest.fixture
def cases():
    return [case(f"p{k}", k) for k in range(3)]


def test_sections_are_stored_and_used(path, cases):
    before = load_bundle(path, "cpu")
    told: list[str] = []
    found = calibrate_bundle(
        path, cases, device="cpu", voxels=200, severities=(3,), progress=told.append
    )
    after = load_bundle(path, "cpu")
    assert set(found) == set(SECTIONS) <= set(after.about)
    assert after.digest != before.digest  # results of studies depend on it
    assert after.about["weights_sha256"] == before.about["weights_sha256"]
    assert len(told) == 4 * 3
    assert yaml.safe_load(yaml.safe_dump(found)) == {k: after.about[k] for k in SECTIONS}
    entries = after.about["intervals"]
    assert [e["flips"] for e in entries] == [False, True, "doubtful"]
    for entry in entries:
        assert set(entry["quantities"]) <= set(QUANTITIES)
        for own in entry["quantities"].values():
            # Untrained members leave some patients without a ventricle.
            assert 1 <= len(own["errors"]) <= 3
            assert len(own["spreads"]) in (0, len(own["errors"]))
    assert after.about["expected_dice"]["features"] == list(FEATURES)
    values = segment(cases[0].scan, bundle=after, largest_component=False).values
    assert all(0 <= values[f"expected_dice_{s}"] <= 1 for s in ("rv", "myo", "lv"))
    assert found["calibration"]["temperature"] > 0
    card = (path / "card.md").read_text()
    assert card.startswith("A card.\n\n## Calibration\n")
    assert f"Temperature {found['calibration']['temperature']:.2f}" in card
    limit = found["calibration"]["doubt_limit"]
    assert limit == doubt_limit(
        [observe(c, bundle=uncalibrated(before), flips=False) for c in cases]
    )
    (path / "card.md").write_text(card + "\n## Limits\n\nMany.\n")
    # Again from the calibrated bundle: it starts from the uncalibrated one, so nothing moves.
    again = calibrate_bundle(path, cases, device="cpu", voxels=200, severities=())
    assert again["calibration"] == found["calibration"]
    assert again["intervals"] == found["intervals"]
    assert "expected_dice" not in load_bundle(path, "cpu").about
    card = (path / "card.md").read_text()
    assert card.count("## Calibration") == 1
    assert card.endswith("\n## Limits\n\nMany.\n")


def test_training_patients_and_too_few_are_refused(path, cases):
    with pytest.raises(PopscanError, match="trained on seen"):
        calibrate_bundle(path, [*cases, replace(cases[0], unit="seen")], device="cpu")
    with pytest.raises(PopscanError, match="at least three"):
        calibrate_bundle(path, cases[:2], device="cpu")


def test_observation_of_one_case(path, cases):
    bundle = uncalibrated(load_bundle(path, "cpu"))
    seen = observe(cases[0], bundle=bundle, voxels=150)
    assert seen.probabilities.shape == (150, 4)
    np.testing.assert_allclose(seen.probabilities.sum(axis=1), 1, atol=5e-3)
    assert len(seen.truth) == len(seen.labels) == 150
    assert seen.confusion.sum() == cases[0].labels.array.size
    assert set(seen.spreads) == set(QUANTITIES)
    assert all(rows.shape == (2, len(FEATURES)) for rows in seen.features.values())
    one = LabelMap(array=cases[0].labels.array, frames=(1,))
    nameless = replace(cases[0], scan=replace(cases[0].scan, meta={}), labels=one)
    alone = observe(nameless, bundle=bundle)
    assert np.isnan(list(alone.errors.values())).all()
    assert alone.confusion.sum() == cases[0].labels.array[..., 1].size


def test_frames_that_nobody_labelled_are_left_out(cases):
    array = np.zeros((20, 20, 2, 5), np.uint8)
    array[:4, :4, :, 1], array[:9, :9, :, 3], array[:6, :6, :, 4] = (Label.LV,) * 3
    scan = replace(cases[0].scan, array=np.zeros(array.shape, np.float32), meta={"rr_ms": 900})
    part = labelled_part(
        replace(cases[0], scan=scan, labels=LabelMap(array=array, frames=(1, 3, 4)))
    )
    assert part.scan.meta["frame_labels"] == ["ES", "ED", ""]
    assert part.scan.meta["rr_ms"] == 900
    assert part.labels.frames == (0, 1, 2)
    np.testing.assert_array_equal(part.labels.array, array[..., [1, 3, 4]])
    named = replace(scan, meta={"frame_labels": ["", "ED", "", "", "ES"]})
    part = labelled_part(replace(cases[0], scan=named, labels=part.labels))
    assert part.scan.meta["frame_labels"] == ["", "ED", ""]


def test_every_patient_is_predicted_from_the_others(path, cases):
    bundle = uncalibrated(load_bundle(path, "cpu"))
    seen = spoilt(cases, bundle=bundle, severities=(2,))
    assert len(seen) == 3 * 8
    predicted, true = expected_without_own(seen, "lv")
    assert predicted.shape == true.shape == (3 * 8 * 2,)
    altered = [
        replace(o, dice={k: v * 0 for k, v in o.dice.items()}) if o.unit == "p0" else o
        for o in seen
    ]
    again, _ = expected_without_own(altered, "lv")
    np.testing.assert_allclose(again[:16], predicted[:16])  # its own truth does not matter


def test_visits_do_not_make_patients(path):
    visits = [case(f"p{k}_ses-{s}", k) for k in range(2) for s in "ab"]
    with pytest.raises(PopscanError, match="at least three patients, found 2"):
        calibrate_bundle(path, visits, device="cpu")


def test_two_visits_of_one_person_count_once(path, cases):
    bundle = load_bundle(path, "cpu")
    visits = [replace(cases[0], unit=f"sub-01_ses-{k}") for k in (1, 2)]
    seen = [observe(c, bundle=bundle, voxels=10) for c in (visits[0], cases[1], visits[1])]
    alone = intervals_section({False: seen[:2]})
    assert intervals_section({False: seen}) == alone
    assert len(alone[0]["quantities"]["lvef_pct"]["errors"]) == 2


def test_where_it_decides_is_fitted_with_a_cross_fitting_and_moves_the_cavity(path, cases):
    bundle = uncalibrated(load_bundle(path, "cpu"))
    seen = [observe(c, bundle=bundle, voxels=10) for c in cases]
    crossed = CrossFitted(seen=tuple(seen), fold=(0, 1, 2), recipe="none")
    found = calibrate_bundle(
        path, cases, device="cpu", voxels=200, severities=(), crossed=crossed, trained=[]
    )
    about = load_bundle(path, "cpu").about
    assert about["calibration"]["cross_fitted"] == crossed.summary()
    assert about["decision"] == found["decision"] == {
        "lv": unbiased_offset([o.cavity for o in seen])
    }  # fmt: skip
    card = (path / "card.md").read_text()
    assert "cross-fitting of 3 patients in 3 folds" in card
    counts = []
    for offset in (-2.0, 0.0, 2.0):
        decided = replace(bundle, about={**bundle.about, "decision": {"lv": offset}})
        labels = segment(cases[0].scan, bundle=decided, largest_component=False).labels
        counts.append(int((labels == Label.LV).sum()))
    assert counts[0] < counts[1] < counts[2]
    # Calibrated again without one, the decision stays and the rest is of these patients alone.
    calibrate_bundle(path, cases, device="cpu", voxels=200, severities=())
    assert load_bundle(path, "cpu").about["decision"] == found["decision"]
    for wrong, why in (({"wall": 0.1}, "structures of the model"), ({"lv": 9.0}, "less than or")):
        values = yaml.safe_load((path / "model.yaml").read_text())
        (path / "model.yaml").write_text(yaml.safe_dump(values | {"decision": wrong}))
        with pytest.raises(PopscanError, match=why):
            load_bundle(path, "cpu")
