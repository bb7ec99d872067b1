"""Cross-fitting: who is segmented by whom."""

from __future__ import annotations

import numpy as np
import pytest

from popscan.protocols.cine_sax.labels import Label
from popscan.records import LabelMap, PopscanError, Scan
from popscan.train.crossfit import cross_fit, divide
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


def test_the_recipe_for_it_starts_from_random_weights():
    assert load_recipe("cine_sax_cross").init_from == ""
