"""Planes that models are trained on: cut out of stacks, painted, coloured."""

from __future__ import annotations

import numpy as np
import pytest

from popscan.protocols.cine_lax.labels import LA, LABELS, LV, MYO, RA, RV
from popscan.protocols.cine_lax.training.greys import coloured, drawn_greys, patient_greys
from popscan.protocols.cine_lax.training.kind import KIND
from popscan.protocols.cine_lax.training.painter import Stuff, outside_mm, paint
from popscan.protocols.cine_lax.training.simulated import (
    N_DRAWN,
    N_PATIENT,
    painted_case,
    patient_cases,
)
from popscan.protocols.cine_lax.training.ventricles import PIXEL_MM, SIDE, of_stack, stack_of
from popscan.protocols.cine_sax.labels import Label
from popscan.records import LabelMap, Scan
from popscan.segment.bundle import load_bundle
from popscan.segment.networks import build_network
from popscan.segment.proof import ACQUIRED, none_acquired
from popscan.train.export import export_bundle
from popscan.train.packs import Case, build_pack
from popscan.train.recipe import Recipe

SPACING = (1.5, 1.5, 10.0)


def cylinders(n_slices: int = 10) -> tuple[np.ndarray, np.ndarray]:
    """Return a stack: an LV of 20 mm radius, a wall of 10 mm, a wide RV beside it, eight slices."""
    x, y = np.meshgrid(np.arange(128) * 1.5, np.arange(128) * 1.5, indexing="ij")
    away = np.hypot(x - 100, y - 96)
    plane = np.zeros(x.shape, np.uint8)
    plane[np.hypot(x - 66, y - 96) < 44] = Label.RV
    plane[away < 30] = Label.MYO
    plane[away < 20] = Label.LV
    labels = np.zeros((128, 128, n_slices), np.uint8)
    labels[:, :, 1:9] = plane[..., None]
    image = np.choose(labels, [20.0, 200.0, 80.0, 220.0])
    return image, labels


@pytest.mark.parametrize("view", ["2ch", "4ch"])
def test_a_plane_through_a_stack_has_the_stacks_widths_and_intensities(view):
    image, labels = cylinders()
    stack = stack_of(image, labels, SPACING)
    cut = of_stack(stack, view, rng=np.random.default_rng(3))
    below = (cut.level_mm > 15) & (cut.level_mm < 50)
    rows = (below & (cut.labels == LV)).any(axis=0)
    widths = (cut.labels == LV).sum(axis=0)[rows] * PIXEL_MM
    # Planes miss the axis by some mm: a chord is a little shorter than the diameter.
    assert np.median(widths) == pytest.approx(38, abs=4)
    for label, grey in ((LV, 220), (MYO, 80)):
        seen = cut.image[(cut.labels == label) & below]
        assert np.nanmedian(seen) == pytest.approx(grey, rel=0.1)
    assert (cut.labels[cut.level_mm < 0] == 0).all()
    if view == "4ch":
        assert (cut.labels == RV).sum() > 500


def test_a_stack_with_too_few_slices_of_a_ventricle_is_left_out():
    image, labels = cylinders()
    labels[:, :, 3:][labels[:, :, 3:] == Label.RV] = 0
    assert stack_of(image, labels, SPACING) is None


def test_painting_changes_no_ventricle_but_where_the_right_atrium_reaches_down():
    image, labels = cylinders()
    stack = stack_of(image, labels, SPACING)
    for seed in range(6):
        rng = np.random.default_rng(seed)
        cut = of_stack(stack, "4ch", rng=rng)
        painted, stuff = paint(cut, rng=rng)
        for label in (LV, MYO):
            np.testing.assert_array_equal(painted == label, cut.labels == label)
        assert not ((painted == RV) & (cut.labels != RV)).any()
        assert {LA, RA} <= set(np.unique(painted))
        assert (painted == LA).sum() * PIXEL_MM**2 > 300
        assert float(outside_mm(painted == LV)[painted == LA].min()) <= 2 * PIXEL_MM
        assert (painted[stuff == Stuff.VESSEL] == 0).all()
        assert np.isin(painted[stuff == Stuff.MYOCARDIUM], [MYO]).all()


def test_greys_of_a_patient_are_those_of_the_stack():
    image, labels = cylinders()
    cut = of_stack(stack_of(image, labels, SPACING), "4ch", rng=np.random.default_rng(0))
    grey = patient_greys(cut, rng=np.random.default_rng(1))
    assert grey[Stuff.LV_BLOOD] == pytest.approx(220, rel=0.25)
    assert grey[Stuff.MYOCARDIUM] == pytest.approx(80, rel=0.1)
    assert grey[Stuff.RV_BLOOD] == pytest.approx(200, rel=0.1)


def test_drawn_greys_always_set_blood_apart_from_muscle():
    for seed in range(200):
        grey = drawn_greys(np.random.default_rng(seed))
        assert abs(grey[Stuff.LV_BLOOD] - grey[Stuff.MYOCARDIUM]) > 0.1
        assert np.isfinite(grey).all()
    stuff = np.full((SIDE, SIDE), Stuff.LUNG, np.uint8)
    assert np.isfinite(coloured(stuff, grey, rng=np.random.default_rng(0))).all()


def test_the_same_seed_makes_the_same_bytes():
    first, second = painted_case(3), painted_case(3)
    assert first.scan.array.tobytes() == second.scan.array.tobytes()
    assert first.labels.array.tobytes() == second.labels.array.tobytes()
    assert painted_case(4).scan.array.tobytes() != first.scan.array.tobytes()


def test_a_patients_planes_bear_the_patients_name():
    image, labels = cylinders()
    case = Case(
        unit="patient001",
        scan=Scan(
            array=np.stack([image, image], -1), affine=np.eye(4), spacing_mm=SPACING,
            frame_times_ms=None, view="sax",
        ),
        labels=LabelMap(array=np.stack([labels, labels], -1), frames=(0, 1)),
        attributes={"group": "NOR"},
    )  # fmt: skip
    made = patient_cases(case)
    assert len(made) == N_PATIENT + N_DRAWN
    assert {one.subject for one in made} == {"patient001"}
    assert {one.attributes["group"] for one in made} == {"NOR"}


@pytest.mark.parametrize(
    ("sources", "expected"),
    [
        ([ACQUIRED, ACQUIRED], False), ([ACQUIRED, "painted"], True), (["unknown"], True),
        ([None], True), ([], True),
    ],
)  # fmt: skip
def test_only_cases_known_to_be_acquired_prove_a_bundle(sources, expected):
    attributes = [{} if source is None else {"source": source} for source in sources]
    assert none_acquired(attributes) is expected


def test_a_bundle_of_made_planes_says_so_in_its_card(tmp_path):
    recipe = Recipe(
        name="tiny", architecture_arguments={"channels": [4, 8, 8], "context": 0},
        labels=tuple(LABELS.codes), spacing_mm=4.0, patch=48, steps=0,
    )  # fmt: skip
    network = build_network("dynunet", 6, channels=[4, 8, 8], context=0)
    cases = [painted_case(0)]
    export_bundle(
        tmp_path / "tiny", name="tiny", chains=[[recipe]], weights=[network.state_dict()],
        packs={"painted": build_pack(cases, spacing_mm=4.0, size=64, n_labels=6)}, cases=cases,
        validation=[painted_case(1)], notes={}, salt="x", stratum="source", summary="A model.",
        limits=["It is tiny."], reproduce="By hand.", name_validation=True, kind=KIND,
    )  # fmt: skip
    bundle = load_bundle(tmp_path / "tiny", "cpu")
    validation = bundle.about["validation"]
    assert validation["simulated_only"] is True
    assert validation["subjects"] == []  # Simulated hearts have no names to be listed.
    shown = {(row["structure"], row["view"]) for row in validation["by_structure"]}
    assert shown <= {(n, v) for n in LABELS.codes for v in ("2ch", "4ch")}
    assert not shown & {("rv", "2ch"), ("ra", "2ch")}
    assert bundle.was_trained_on(cases[0].unit)
    card = (tmp_path / "tiny" / "card.md").read_text(encoding="utf-8")
    assert "No validation on labelled long-axis images" in card
    assert not (tmp_path / "tiny" / "training.safetensors").exists()
