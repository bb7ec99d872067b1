"""Maps segmented by a network that draws: simulated training maps, the method, QC and intervals."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import ndimage

from mapping_files import regions, t1_truth_ms
from popscan.config import Config
from popscan.installation import shipped_models
from popscan.labelset import NETWORK, UNPROVEN
from popscan.protocol import load
from popscan.protocols import get_protocol
from popscan.protocols.cine_sax.training.simulated import simulated_case
from popscan.protocols.t1_map.biomarkers import DICTIONARY, measure
from popscan.protocols.t1_map.labels import LV, MYO, RV
from popscan.protocols.t1_map.methods import sentences
from popscan.protocols.t1_map.qc import CHECKS, SAMPLE_DICE, SAMPLED_SD_PCT, MapContext
from popscan.protocols.t1_map.sampled import T1_INTERVALS, t1_intervals
from popscan.protocols.t1_map.segmentation import as_seen, probabilistic
from popscan.protocols.t1_map.training import shipped
from popscan.protocols.t1_map.training.cases import map_cases, middle_slices
from popscan.protocols.t1_map.training.kind import agreement, measured, score
from popscan.protocols.t1_map.training.kind import measure as validation_of
from popscan.protocols.t1_map.training.maps import (
    draw_tissues,
    redrawn,
    simulate_map,
)
from popscan.qc import run_checks
from popscan.records import LabelMap, PopscanError, Scan, SubjectError
from popscan.segment.bundle import Bundle
from popscan.segment.networks import build_network
from popscan.segment.proof import WARNING
from popscan.stages.report.known_errors import validation_of as validation_in
from popscan.stages.segment.bundles import NoModel, load_bundle
from popscan.train import recipe_chain
from popscan.train.packs import Case

CODES = {"rv_blood": 1, "wall": 2, "lv_blood": 3}


def short_axis_case(unit: str = "p1", *, n_slices: int = 4) -> Case:
    """A bright-blood image of rings, body around; two frames of a few slices."""
    labels = np.pad(regions(48)[:, :, 0], 30)
    body = ndimage.binary_dilation(labels > 0, iterations=22)
    image = np.where(body, 90.0, 8.0)
    image[labels == MYO] = 100.0
    image[np.isin(labels, (RV, LV))] = 300.0
    image = ndimage.gaussian_filter(image, 0.6)
    rng = np.random.default_rng(0)
    array = image[:, :, None, None] + 4.0 * rng.standard_normal((*image.shape, n_slices, 2))
    truth = np.repeat(np.repeat(labels[:, :, None, None], n_slices, 2), 2, 3)
    scan = Scan(
        array=array.astype(np.float32), affine=np.diag([1.6, 1.6, 8.0, 1.0]),
        spacing_mm=(1.6, 1.6, 8.0),
    )  # fmt: skip
    return Case(
        unit=unit, scan=scan, labels=LabelMap(array=truth.astype(np.uint8), frames=(0, 1)),
        attributes={"group": "NOR"},
    )  # fmt: skip


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    torch.manual_seed(0)
    arguments = {"channels": [8, 8, 8], "latents": 2, "latent_levels": 2}
    return Bundle(
        name="tiny", networks=(build_network("hierarchical", 4, **arguments).eval(),),
        arguments=(arguments,), spacing_mm=1.5, patch=64, normalisation={},
        input_range={"inplane_mm": (1.2, 2.0)}, digest="", device=torch.device("cpu"),
        labels=CODES, about={"trained_on": {"salt": "", "sha256": []}},
    )  # fmt: skip


def a_map(n_frames: int = 4) -> Scan:
    labels = np.pad(regions(), ((20, 20), (20, 20), (0, 1)))
    time = t1_truth_ms(labels, wall_ms=1100.0, blood_ms=1700.0)
    array = np.zeros((*time.shape, n_frames), np.float32)
    array[..., 0] = time + 20 * np.random.default_rng(0).standard_normal(time.shape)
    return Scan(array=array, affine=np.diag([1.8, 1.8, 8, 1]), spacing_mm=(1.8, 1.8, 8), view="t1")


# --- simulated maps -------------------------------------------------------------------------------


def test_a_good_scan_gives_the_simulated_times_back():
    case = short_axis_case()
    found = list(
        map_cases([case], seed=1, draws=3, severity=0.0, kinds=["native"], observers=False)
    )
    assert len(found) == 6
    for one in found:
        made, time = one.scan.array[..., 0], one.scan.meta["time_ms"]
        labels = one.labels.array[..., 0]
        core = ndimage.binary_erosion(labels[..., 0] == LV, iterations=2)[..., None]
        assert made[core].mean() == pytest.approx(time[core].mean(), rel=0.1)
        wall = (labels == MYO) & (made > 0)
        assert 850 < made[wall].mean() < 1450
        assert made[core].mean() > made[wall].mean()
        assert one.subject == "p1"
    assert len({one.unit for one in found}) == 6
    assert {one.attributes["lesion"] for one in found} <= {"yes", "no"}
    assert all(one.scan.array.shape[:2] == case.scan.array.shape[:2] for one in found)


def test_a_field_is_cut_around_the_regions():
    case = short_axis_case()
    (near, *_), (whole, *_) = (
        list(map_cases([case], seed=1, draws=1, field_mm=mm)) for mm in (100.0, 1000.0)
    )
    assert whole.scan.array.shape[:2] == case.scan.array.shape[:2]
    assert max(near.scan.array.shape[:2]) * 1.6 <= 104


def test_a_field_with_a_drawn_side_has_the_regions_anywhere_near_its_middle():
    case = short_axis_case()
    one, same = (
        list(map_cases([case], seed=1, draws=8, field_mm=(100.0, 170.0))) for _ in range(2)
    )
    assert all(np.array_equal(a.scan.array, b.scan.array) for a, b in zip(one, same, strict=True))
    assert len({m.scan.array.shape[:2] for m in one}) > 8
    off = [np.argwhere(m.labels.array[..., 0, 0] > 0).mean(axis=0) for m in one]
    off_mm = [
        1.6 * (o - np.array(m.scan.array.shape[:2]) / 2) for o, m in zip(off, one, strict=True)
    ]
    assert np.abs(off_mm).max() > 10
    # The same maps but for the field: kinds and severities are drawn before.
    whole = map_cases([case], seed=1, draws=8)
    assert [m.attributes for m in whole] == [m.attributes for m in one]


def test_the_recipes_of_the_shipped_model_name_the_packs_that_are_made(monkeypatch):
    monkeypatch.setattr(shipped, "DRAWS", 1)
    monkeypatch.setattr(shipped, "DRAWS_CUT", 1)
    made = shipped.training_maps([short_axis_case()], [short_axis_case("heart")])
    assert set(made) == set(shipped.NOTES)
    for name in (shipped.RECIPE, shipped.PEER):
        assert {pack for step in recipe_chain(name) for pack in step.shares} == set(made)


@pytest.mark.parametrize("kind", ["native", "contrast", "t2"])
def test_kinds_have_their_times(kind):
    rng = np.random.default_rng(0)
    drawn = [draw_tissues(rng, kind) for _ in range(200)]
    low, high = {"native": (900, 1300), "contrast": (350, 600), "t2": (40, 60)}[kind]
    assert all(low <= one.wall <= high for one in drawn)
    assert any(one.lesion != 1 for one in drawn)
    blood = np.array([one.blood / one.wall for one in drawn])
    assert (blood <= 1).all() if kind == "contrast" else (blood > 1).all()


def test_the_same_seed_gives_the_same_maps_and_severity_spoils_them():
    case = short_axis_case()
    one, same, other = (
        [m.scan.array for m in map_cases([case], seed=s, draws=2)] for s in (1, 1, 2)
    )
    assert all(np.array_equal(a, b) for a, b in zip(one, same, strict=True))
    assert not np.array_equal(one[0], other[0])
    image, time = np.ones((60, 60)), np.full((60, 60), 1000.0)
    spread = [
        np.mean([
            simulate_map(
                image, time, np.random.default_rng(seed), spacing_mm=1.5, severity=hard
            ).std()
            for seed in range(8)
        ])
        for hard in (0.0, 1.0)
    ]  # fmt: skip
    assert spread[1] > 1.5 * spread[0]


def test_observers_move_borders_by_a_little():
    labels = np.pad(regions(48)[:, :, 0], 20)
    moved = [redrawn(labels, np.random.default_rng(s), spacing_mm=1.6) for s in range(8)]
    overlap = [2 * ((m == LV) & (labels == LV)).sum() / ((m == LV).sum() + (labels == LV).sum())
               for m in moved]  # fmt: skip
    assert 0.85 < np.mean(overlap) < 0.995
    nothing = np.zeros((20, 20), np.uint8)
    assert not redrawn(nothing, np.random.default_rng(0), spacing_mm=1.6).any()


def test_slices_and_frames_that_cannot_be_used_are_left_out():
    case = short_axis_case()
    assert middle_slices(case.labels.array[..., 0]) == [1, 2]
    assert middle_slices(np.zeros((8, 8, 3), np.uint8)) == []
    dark = replace(case, scan=replace(case.scan, array=np.ones_like(case.scan.array)))
    assert list(map_cases([dark], seed=1, draws=1)) == []


# --- the method -----------------------------------------------------------------------------------


def test_a_map_is_cut_off_where_fits_failed():
    assert as_seen(np.zeros((2, 2))).max() == 0
    assert as_seen(np.array([np.nan, np.inf, 100.0])).tolist() == [0, 0, 100]


def test_labels_samples_and_what_they_say(bundle):
    scan = a_map()
    found = probabilistic(scan, bundle=bundle, samples=5, precision="float32")
    again = probabilistic(scan, bundle=bundle, samples=5, precision="float32")
    assert found.labels.shape == scan.array.shape
    assert np.array_equal(found.labels, again.labels)
    assert found.values == pytest.approx(again.values, nan_ok=True)
    assert (found.labels == found.labels[..., :1]).all()
    assert found.tally is not None
    assert len(found.tally.samples) == 5
    assert {name: len(v) for name, v in found.sampled.items()} == dict.fromkeys(CODES, 5)
    assert found.values["labels_by"] == UNPROVEN
    assert WARNING in found.values["input_warning"]
    proven = replace(bundle, about={**bundle.about, "validation": {"simulated_only": False}})
    proven_values = probabilistic(scan, bundle=proven, samples=2).values
    assert proven_values["labels_by"] == NETWORK
    assert WARNING not in proven_values["input_warning"]
    described = {*get_protocol("t1_map").segmentation.added()}
    assert {k for k in found.values if k.startswith(("sample", "labels"))} <= described
    far = replace(scan, spacing_mm=(4.0, 4.0, 8.0))
    assert "inplane_mm" in probabilistic(far, bundle=bundle, samples=2).values["input_warning"]


def test_it_needs_a_bundle_that_draws_and_labels_maps(bundle):
    with pytest.raises(PopscanError, match=r"segment\.model"):
        probabilistic(a_map(), bundle=NoModel())
    with pytest.raises(PopscanError, match="labels"):
        probabilistic(a_map(), bundle=replace(bundle, labels={"a": 1, "b": 2, "c": 3}))
    broken = replace(a_map(), array=np.full((8, 8, 1, 1), np.nan, np.float32))
    with pytest.raises(SubjectError, match="NaN"):
        probabilistic(broken, bundle=bundle)


def test_a_map_without_a_value_and_a_small_one_end_as_labels(bundle):
    for shape in ((40, 40, 1, 1), (9, 70, 2, 1)):
        scan = replace(a_map(), array=np.zeros(shape, np.float32))
        found = probabilistic(scan, bundle=bundle, samples=2)
        assert found.labels.shape == shape
        assert all(not np.isfinite(v).any() for v in found.sampled.values())
        assert math.isnan(found.values["sampled_sd_wall_pct"])


def test_the_config_chooses_it_with_its_model():
    assert Config(protocol="t1_map").segment.model == ""
    drawn = Config(protocol="t2_map", segment={"method": "probabilistic"}).segment
    assert drawn.model == "t1_map"
    own = {"method": "probabilistic", "model": "mine"}
    assert Config(protocol="t1_map", segment=own).segment.model == "mine"
    assert "given with the images" in sentences({})[1]
    assert "states no agreement" in sentences({"segment": {"method": "probabilistic"}})[1]


@pytest.mark.skipif(not (shipped_models() / "t1_map").is_dir(), reason="no shipped models")
def test_the_report_reads_what_the_model_of_the_method_states():
    drawn = validation_in({"protocol": "t1_map", "segment": {"method": "probabilistic"}})
    assert drawn["simulated_only"] is True
    assert {row["structure"] for row in drawn["by_structure"]} == set(CODES)
    assert validation_in({"protocol": "t1_map"}) == {}


def test_the_methods_say_what_the_bundle_states(tmp_path):
    stated = "validation: {simulated_only: false}\n"
    (tmp_path / "model.yaml").write_text(stated, encoding="utf-8")
    config = {"segment": {"method": "probabilistic", "model": str(tmp_path)}}
    assert "states no agreement" not in sentences(config)[1]
    assert "drawn by a network" in sentences(config)[1]


# --- QC and intervals -----------------------------------------------------------------------------


def checked(values) -> dict[str, str]:
    context = MapContext(a_map(), np.zeros(a_map().array.shape, np.uint8), from_segmentation=values)
    return {c.name: c.verdict for c in run_checks(CHECKS, context)}


def test_qc_looks_at_the_draws_where_there_are_any():
    names = ("wall_sample_dice", "wall_sampled_sd_pct")
    given = checked({"labels_by": "given"})
    assert {given[name] for name in names} == {"not_assessed"}
    sure = {"sample_dice_wall": SAMPLE_DICE + 0.01, "sampled_sd_wall_pct": SAMPLED_SD_PCT - 0.1}
    assert {checked(sure)[name] for name in names} == {"pass"}
    unsure = {"sample_dice_wall": SAMPLE_DICE - 0.01, "sampled_sd_wall_pct": SAMPLED_SD_PCT + 0.1}
    assert {checked(unsure)[name] for name in names} == {"review"}
    empty = checked({"sample_dice_wall": math.nan, "sampled_sd_wall_pct": math.nan})
    assert "pass" not in {empty[name] for name in names}


@pytest.mark.parametrize("name", ["t1_map", "t2_map"])
def test_unproven_regions_go_to_review_however_much_the_draws_agree(name):
    specs = {"unproven_labels": load(get_protocol(name).quality.checks)["unproven_labels"]}
    for source, expected in (("given", "not_assessed"), (NETWORK, "pass"), (UNPROVEN, "review")):
        context = MapContext(
            a_map(),
            np.zeros(a_map().array.shape, np.uint8),
            from_segmentation={"labels_by": source},
        )
        (check,) = run_checks(specs, context)
        assert check.verdict == expected


def test_intervals_of_noise_and_draws_are_joined():
    scan, labels = a_map(), np.pad(regions(), ((20, 20), (20, 20), (0, 1)))[..., None]
    values = measure(
        labels, image=scan.array[..., :1], spacing_mm=scan.spacing_mm, affine=scan.affine
    )
    none = t1_intervals(values, samples={}, level=0.9)
    assert set(none) == set(T1_INTERVALS)
    assert not set(T1_INTERVALS) & set(DICTIONARY)
    assert all(math.isnan(v) for v in none.values())
    drawn = {"wall": [1090.0, 1100.0, 1110.0], "lv_blood": [1700.0, None], "rv_blood": [1650.0] * 2}
    found = t1_intervals(values, samples={"sampled": drawn}, level=0.9)
    assert found["wall_t1_sampled_sd_ms"] == pytest.approx(10.0)
    half = (found["wall_t1_joint_high_ms"] - found["wall_t1_joint_low_ms"]) / 2
    noise = (values["wall_t1_high_ms"] - values["wall_t1_low_ms"]) / 2
    assert half == pytest.approx(math.hypot(noise, 1.6449 * 10.0), rel=1e-3)
    assert math.isnan(found["lv_blood_t1_joint_low_ms"])
    assert found["rv_blood_t1_joint_low_ms"] == pytest.approx(values["rv_blood_t1_low_ms"])
    t2 = load(get_protocol("t2_map").biomarkers.interval_values)
    mapped = {key.replace("_t1_", "_t2_"): value for key, value in values.items()}
    assert "wall_t2_joint_low_ms" in t2(mapped, samples={}, level=0.9)


def test_what_is_measured_of_a_result(bundle):
    case = next(map_cases([short_axis_case()], seed=1, draws=1, observers=False))
    found = probabilistic(case.scan, bundle=bundle, samples=2)
    right = replace(found, labels=case.labels.array)
    row = measured(case, right)
    assert row["dice_wall"] == 1
    assert row["error_pct"] == pytest.approx(0)
    assert not row["wrong"]
    assert measured(case, replace(found, labels=np.zeros_like(found.labels)))["wrong"]
    table = score([case, case], bundle=bundle)
    assert agreement(table)["maps"] == 2


def test_an_acquired_map_is_measured_too_and_proves_the_bundle(bundle):
    case = next(map_cases([short_axis_case()], seed=1, draws=1, observers=False))
    meta = {k: v for k, v in case.scan.meta.items() if k != "time_ms"}
    options = {"flips": False, "salt": "x", "stratum": "", "name_validation": False}
    for source, expected in (("acquired", False), ("unknown", True)):
        own = replace(case, scan=replace(case.scan, meta=meta), attributes={"source": source})
        row = measured(own, probabilistic(own.scan, bundle=bundle, samples=2))
        assert math.isnan(row["true_wall_ms"])
        section = validation_of([own], bundle=bundle, **options)["validation"]
        assert section["simulated_only"] is expected


# --- the shipped bundle ---------------------------------------------------------------------------

SHIPPED = shipped_models() / "t1_map"


@pytest.mark.skipif(not SHIPPED.is_dir(), reason="the model is not shipped with this installation")
def test_the_shipped_model_finds_a_heart_and_says_what_it_is():
    loaded = load_bundle("t1_map", "cpu", protocol="t1_map")
    assert sum(f.stat().st_size for f in SHIPPED.iterdir()) < 2.5e6
    card = (SHIPPED / "card.md").read_text()
    assert "simulated maps alone" in card
    heart = [simulated_case(3)]  # no heart of the training
    maps = map_cases(heart, seed=5, draws=2, severity=0.1, kinds=["native"], observers=False)
    dice = [measured(m, probabilistic(m.scan, bundle=loaded))["dice_lv_blood"] for m in maps]
    assert np.mean(dice) > 0.7
