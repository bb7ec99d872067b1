"""Cross-fitting: who is segmented by whom."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import yaml

from popscan.arrays.corruptions import CORRUPTIONS
from popscan.protocols.cine_sax.labels import Label
from popscan.protocols.cine_sax.training.crossfit import cross_fit, divide, observe_folds
from popscan.protocols.cine_sax.training.crosstable import read_cross_fitted, write_cross_fitted
from popscan.protocols.cine_sax.training.sections import intervals_section
from popscan.protocols.cine_sax.training.transfer import size_limit, transferred
from popscan.records import LabelMap, PopscanError, Scan
from popscan.train.packs import Case
from popscan.train.recipe import Recipe, load_recipe


def _case(unit: str, *, group: str, level: float = 1.0) -> Case:
    labels = np.zeros((20, 20, 2, 1), np.uint8)
    labels[5:12, 5:12] = Label.LV
    array = np.where(labels > 0, level, 0.1).astype(np.float32)
    scan = Scan(array=array, affine=np.eye(4), spacing_mm=(1.5, 1.5, 8.0))
    return Case(
        unit=unit,
        scan=scan,
        labels=LabelMap(array=labels, frames=(0,)),
        attributes={"group": group},
    )


def test_visits_of_a_subject_stay_together_and_groups_are_spread():
    cases = [_case(f"p{k:02d}_ses-{v}", group="AB"[k % 2]) for k in range(12) for v in "12"]
    parts = divide(cases, folds=3, seed=1)
    subjects = [{case.subject for case in part} for part in parts]
    assert sorted(s for part in subjects for s in part) == sorted({c.subject for c in cases})
    assert [len(part) for part in parts] == [8, 8, 8]
    for part in parts:
        assert sum(case.attributes["group"] == "A" for case in part) == 4
    assert divide(cases, folds=3, seed=2) != parts
    with pytest.raises(PopscanError, match="12 subjects cannot be divided into 13 folds"):
        divide(cases, folds=13, seed=1)


def _two_frames(unit: str, *, seed: int) -> Case:
    rng = np.random.default_rng(seed)
    labels = np.zeros((20, 20, 2, 2), np.uint8)
    labels[1:4] = Label.RV
    for t, size in enumerate((6, 4)):
        labels[5:15, 5:15, :, t] = Label.MYO
        labels[7 : 7 + size, 7 : 7 + size, :, t] = Label.LV
    array = (
        np.choose(labels, [40.0, 70.0, 10.0, 90.0]) + rng.normal(size=labels.shape) * 9
    ).astype(np.float32)
    scan = Scan(
        array=array,
        affine=np.diag([1.5, 1.5, 8.0, 1.0]),
        spacing_mm=(1.5, 1.5, 8.0),
        meta={"frame_labels": ["ED", "ES"]},
    )
    return Case(
        unit=unit,
        scan=scan,
        labels=LabelMap(array=labels, frames=(0, 1)),
        attributes={"group": "A"},
    )


@pytest.fixture
def recipe() -> Recipe:
    return Recipe(
        name="tiny",
        architecture_arguments={"channels": [4, 4, 8]},
        patch=16,
        batch=2,
        steps=2,
        autocast=False,
    )


def test_nobody_is_segmented_by_a_network_that_saw_them(tmp_path, recipe):
    cases = [_case(f"p{k}", group="A", level=1.0 + k) for k in range(4)]
    others = {"simulated": [_case("s0", group="simulated")]}
    folds = list(
        cross_fit(recipe, cases, name="p", others=others, folds=2, work=tmp_path, quiet=True)
    )
    assert sorted(case.unit for held, _ in folds for case in held) == ["p0", "p1", "p2", "p3"]
    first, second = (bundle.networks[0].state_dict() for _, bundle in folds)
    assert any((first[key] != second[key]).any() for key in first)
    # Gone on from the checkpoints, each fold with the same others.
    again = list(
        cross_fit(recipe, cases, name="p", others=others, folds=2, work=tmp_path, quiet=True)
    )
    for (held, bundle), (_, same) in zip(folds, again, strict=True):
        assert len(held) == 2
        state = same.networks[0].state_dict()
        assert all((state[k] == v).all() for k, v in bundle.networks[0].state_dict().items())


def test_a_recipe_that_has_seen_the_patients_is_refused(tmp_path, recipe):
    cases = [_case(f"p{k}", group="A") for k in range(4)]
    options = {"folds": 2, "work": tmp_path, "name": "p", "quiet": True}
    with pytest.raises(PopscanError, match="has seen some of the patients"):
        next(cross_fit("cine_sax_2", cases, others={}, **options))
    with pytest.raises(PopscanError, match="in the folds and in another pack: p1"):
        next(cross_fit(recipe, cases, others={"more": [cases[1]]}, **options))


def test_folds_may_share_a_start_that_no_patient_had_a_part_in(tmp_path, recipe):
    file = tmp_path / "start.yaml"
    file.write_text(
        yaml.safe_dump(replace(recipe, name="start", shares={"simulated": 1.0}).as_dict())
    )
    own = replace(recipe, init_from=str(file), shares={"p": 1.0})
    cases = [_case(f"p{k}", group="A", level=1.0 + k) for k in range(4)]
    others = {"simulated": [_case("s0", group="simulated")]}
    options = {"name": "p", "folds": 2, "work": tmp_path / "work", "quiet": True}
    assert len(list(cross_fit(own, cases, others=others, **options))) == 2
    assert sorted(p.name for p in (tmp_path / "work").iterdir()) == [
        "start",
        "tiny_1_of_2",
        "tiny_2_of_2",
    ]


def test_the_recipes_for_it_start_from_what_no_patient_had_a_part_in():
    assert load_recipe("cine_sax_cross").init_from == ""
    start = load_recipe(load_recipe("cross_fold").init_from)
    assert start.init_from == ""
    assert set(start.shares) == {"simulated", "simulated_high"}


def test_what_folds_see_is_written_read_and_calibrated_from(tmp_path, recipe):
    cases = [_two_frames(f"p{k}", seed=k) for k in range(4)]
    folds = list(cross_fit(recipe, cases, name="p", others={}, folds=2, work=tmp_path, quiet=True))
    done: list[str] = []
    found = observe_folds(folds, recipe="tiny", severities=(2, 5), voxels=50, progress=done.append)
    assert len(done) == len(found.clean) == 4
    assert len(found.seen) == 4 * (1 + len(CORRUPTIONS))
    assert {o.severity for o in found.seen} == {0, 2, 5}
    assert found.summary() == {"patients": 4, "folds": 2, "recipe": "tiny"}
    write_cross_fitted(tmp_path / "tables", found)
    again = read_cross_fitted(tmp_path / "tables")
    assert again.fold == found.fold
    for one, other in zip(found.seen, again.seen, strict=True):
        assert (one.unit, one.corruption, one.severity) == (
            other.unit, other.corruption, other.severity,
        )  # fmt: skip
        np.testing.assert_allclose(
            list(one.errors.values()), list(other.errors.values()), atol=1e-5
        )
        for name in ("rv", "myo", "lv"):
            np.testing.assert_allclose(one.dice[name], other.dice[name], atol=1e-5)
            np.testing.assert_allclose(one.features[name], other.features[name], atol=1e-5)
    section = intervals_section({False: found.clean[:2]}, crossed=again.clean)
    for own in section[0]["quantities"].values():
        assert 1 <= len(own["errors"]) <= 4  # Untrained networks may leave out a ventricle.
        assert own["spreads"] == []


def test_tables_that_are_not_those_of_a_cross_fitting_are_refused(tmp_path):
    with pytest.raises(PopscanError, match=r"errors\.tsv: no readable table"):
        read_cross_fitted(tmp_path)
    (tmp_path / "errors.tsv").write_text("unit\tseverity\np0\t0\n")
    with pytest.raises(PopscanError, match="lacks the columns corruption, recipe"):
        read_cross_fitted(tmp_path)


def test_errors_take_their_size_from_the_network_and_their_shape_from_all():
    crossed = [6.0, 2.0, math.nan, 4.0, 6.0, 2.0]  # About their median 2, -2, 0, 2, -2.
    shape = np.array([2.0, -2.0, 0.0, 2.0, -2.0])
    np.testing.assert_allclose(transferred(crossed, [1.0, -1.0]), shape / 1.6)
    # Not larger than those of the weaker networks, but not below what it errs where it was trained.
    np.testing.assert_allclose(transferred(crossed, [9.0, -9.0]), shape)
    assert np.mean(np.abs(transferred(crossed, [0.1], trained=[3.0, -3.0]))) == pytest.approx(3)
    assert transferred(crossed, []) == shape.tolist()
    assert transferred([math.nan], [1.0]) == []
    # One gross error of a weak network says little of the usual size.
    many = [*range(-20, 21)]
    plain, gross = (transferred([*many, last], [1.0, -1.0]) for last in (20, 5000))
    assert np.quantile(np.abs(plain), 0.9) == pytest.approx(
        np.quantile(np.abs(gross), 0.9), rel=0.05
    )


def test_the_size_is_as_large_as_the_few_patients_allow():
    rng = np.random.default_rng(3)
    limits = [size_limit(rng.normal(size=14)) for _ in range(150)]
    assert np.mean(np.array(limits) >= math.sqrt(2 / math.pi)) > 0.8  # The true mean.
    assert math.isnan(size_limit([math.nan]))
