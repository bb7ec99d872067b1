"""Everywhere the same cells count as not recorded."""

from __future__ import annotations

import ast
from pathlib import Path

import pandas as pd
import pytest

import popscan
from popscan.cells import EMPTY, NOT_RECORDED, is_recorded, texts
from popscan.config import Cohort, Fairness
from popscan.fairness.groups import MISSING, labels
from popscan.stats.design import clean
from popscan.study.cohort import cohort_attributes, known_columns
from popscan.study.participants import without_empty
from popscan.study.study import Study
from popscan.visibility.tables import known_groups

SOURCES = sorted(Path(popscan.__file__).parent.rglob("*.py"))


def spelt(word: str) -> list[str]:
    return [word, word.upper(), f" {word.capitalize()} "]


@pytest.mark.parametrize("cell", [s for word in sorted(NOT_RECORDED) for s in spelt(word)])
def test_no_part_takes_it_for_a_group(cell):
    column = pd.Series([cell, "a", "a", "b", "b", cell], name="site")
    assert not is_recorded(cell)
    assert texts(column) == [None, "a", "a", "b", "b", None]
    assert labels(column).tolist() == [MISSING, "a", "a", "b", "b", MISSING]
    assert clean(column, categorical=True).isna().tolist() == [True, *[False] * 4, True]
    assert set(known_groups(column, min_group=2)) == {"a", "b"}
    table = pd.DataFrame({"unit": list("uvwxyz"), "sub": list("uvwxyz"), "site": column})
    study = Study(root=Path(), options={}, participants=table, verdicts=pd.DataFrame())
    assert study.groups(["site"])["site"].tolist() == ["", "a", "a", "b", "b", ""]


@pytest.mark.parametrize("cell", [s for word in sorted(EMPTY) for s in spelt(word)])
def test_a_cell_that_holds_nothing_is_empty_from_the_first_table_on(cell):
    read = without_empty(pd.DataFrame({"site": [cell, "a"], "age_years": ["50", cell]}))
    assert read.isna().to_numpy().tolist() == [[True, False], [False, True]]
    table = pd.DataFrame({"unit": ["u", "v"], "sub": ["u", "v"], "site": [cell, cell]})
    people, _ = cohort_attributes(without_empty(table), fairness=Fairness(), cohort=Cohort())
    assert known_columns(["site"], people) == ([], ["site"])


def test_no_module_but_cells_has_a_list_of_its_own():
    words = EMPTY - {""} | {"not available", "#n/a"}
    own = []
    for path in SOURCES:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        numbers = {
            id(node.args[0])
            for node in ast.walk(tree)
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "float" and node.args
        }
        for node in ast.walk(tree):
            named = isinstance(node, ast.Constant) and isinstance(node.value, str)
            if named and node.value.lower() in words and id(node) not in numbers:
                own.append(f"{path.name}:{node.lineno}: {node.value!r}")
    assert all(place.startswith("cells.py") for place in own), own
    assert own
