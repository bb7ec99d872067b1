"""How the shipped model's data are chosen."""

from __future__ import annotations

import numpy as np
import pytest
import yaml

from popscan.protocols.cine_sax.labels import Label
from popscan.protocols.cine_sax.training import shipped
from popscan.protocols.cine_sax.training.motion import export_motion
from popscan.protocols.cine_sax.training.shipped import split_acdc
from popscan.protocols.cine_sax.training.simulated import whole_or_empty
from popscan.records import LabelMap, Scan
from popscan.register.architectures import build_registration
from popscan.train.packs import Case
from popscan.train.recipe import load_recipe

GROUPS = ["DCM", "HCM", "MINF", "NOR", "RV"]


def _stack(areas):
    """Labels (10, 10, z, 1) with the given voxel counts of RV and LV per slice."""
    labels = np.zeros((10, 20, len(areas), 1), np.uint8)
    for z, (rv, lv) in enumerate(areas):
        labels[:, :10, z, 0].flat[:rv] = Label.RV
        labels[:, 10:, z, 0].flat[:lv] = Label.LV
    return labels


def _usable(areas):
    return whole_or_empty(_stack(areas))[:, 0].tolist()


def test_slices_cut_by_a_valve_plane_are_not_used():
    # Nothing, LV only, RV cut, whole from here on.
    areas = [(0, 0), (0, 40), (50, 90), (80, 88), (75, 80)]
    assert _usable(areas) == [True, False, False, True, True]
    assert _usable([(80, 90), (75, 85), (70, 80)]) == [True, True, True]
    assert _usable([(0, 0), (0, 0)]) == [True, True]


def test_every_frame_is_judged_by_itself():
    ed = _stack([(80, 90), (75, 85), (70, 80), (60, 70)])
    es = _stack([(0, 0), (30, 85), (50, 55), (45, 50)])
    usable = whole_or_empty(np.concatenate([ed, es], axis=3))
    assert usable.T.tolist() == [[True] * 4, [True, False, True, True]]


def _acdc():
    scan = Scan(array=np.zeros((1, 1, 1, 1)), affine=np.eye(4), spacing_mm=(1.0, 1.0, 1.0))
    labels = LabelMap(array=np.zeros((1, 1, 1, 1), np.uint8), frames=())
    return [
        Case(unit=f"p{k:02d}", scan=scan, labels=labels, attributes={"group": GROUPS[k % 5]})
        for k in range(70)
    ]


def test_acdc_split_has_14_patients_from_all_groups():
    train, validation = split_acdc(_acdc())
    assert (len(train), len(validation)) == (56, 14)
    counts = [sum(c.attributes["group"] == g for c in validation) for g in GROUPS]
    assert counts == [3, 3, 3, 3, 2]


def test_the_shipped_bundle_names_its_validation_patients(tmp_path, monkeypatch):
    """They are public, and the benchmarks look for them by name."""
    told = {}
    monkeypatch.setattr(shipped, "train_bundle", lambda _recipe, **options: told.update(options))
    shipped.train_cine_sax(_acdc(), work=tmp_path, out=tmp_path, simulated=[], high=[])
    assert told["name_validation"]
    assert len(told["validation"]) == 14


@pytest.mark.parametrize("name", ["motion_cine", "motion_gradirn", "motion_vr_net"])
def test_a_model_of_motion_names_its_split_and_scores(name, tmp_path):
    """Any weights: what is written of them is measured on the validation cases."""
    x, y = np.meshgrid(np.arange(40), np.arange(40), indexing="ij")
    labels = np.stack([3 * (np.hypot(x - 20, y - 20) < r) for r in (12, 8)], axis=-1)[:, :, None]
    scan = Scan(
        array=(100.0 * labels).astype(np.float32), affine=np.eye(4), spacing_mm=(1.5, 1.5, 8.0)
    )
    case = Case(unit="p1", scan=scan, labels=LabelMap(array=labels.astype(np.uint8), frames=(0, 1)))
    recipe = load_recipe(name)
    network = build_registration(recipe.architecture, 0, **recipe.architecture_arguments)
    out = export_motion(network, recipe, out=tmp_path / "m", n_train=5, validation=[case])
    about = yaml.safe_load((out / "model.yaml").read_text())
    assert about["validation"] == ["p1"]
    assert about["training"]["patients"] == 5
    assert about["scores"]["dice_before"] == pytest.approx(2 * 8**2 / (8**2 + 12**2), abs=0.03)
    assert about["scores"]["dice"] >= about["scores"]["dice_before"] - 0.01
    card = (out / "card.md").read_text()
    assert f"{about['scores']['dice']:.3f}" in card
    assert max(len(line) for line in card.splitlines()) <= 100
