"""Pages written by hand name all that the code has."""

from __future__ import annotations

import ast
import re
from dataclasses import MISSING, fields

from popscan.pipeline.reference import biomarkers_reference, config_reference
from popscan.train.losses import LOSSES
from popscan.train.recipe import Recipe

#: Reasons that the code chooses between or hands on, which the search below does not see.
CHOSEN = {"exclusion_list", "one_slice", "qc_fail", "too_few_slices"}


def reasons_in(tree):
    """Reason codes that stand in a module as ``SubjectError("code", ...)`` or ``reason="code"``."""
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
        values = [keyword.value for keyword in call.keywords if keyword.arg == "reason"]
        if isinstance(call.func, ast.Name) and call.func.id in {"SubjectError", "NotApplicable"}:
            values += call.args[:1]
        for value in values:
            if isinstance(value, ast.Constant) and value.value:
                yield value.value


def test_page_of_reasons_has_every_code_of_the_source_and_no_other(repo_root):
    modules = (repo_root / "src" / "popscan").rglob("*.py")
    used = {reason for path in modules for reason in reasons_in(ast.parse(path.read_text()))}
    rows = re.findall(r"^\| (`.*?`) \|", (repo_root / "docs" / "reasons.md").read_text(), re.M)
    told = [code for row in rows for code in re.findall(r"`(\w+)`", row)]
    assert len(told) == len(set(told))
    assert sorted(used - set(told)) == [], "say in docs/reasons.md what they mean"
    assert sorted(set(told) - used - CHOSEN) == [], "no longer in the code"


def test_biomarkers_in_the_tree_are_the_exported_ones(repo_root):
    text = (repo_root / "docs" / "biomarkers.md").read_text()
    assert text == biomarkers_reference(), "run 'popscan schema'"


def test_every_field_of_a_recipe_is_told_with_its_default(repo_root):
    section = (repo_root / "docs" / "segmentation.md").read_text().split("## Training")[1]
    rows = re.findall(r"^\| (`.*?`) \| (.*?) \|", section, re.M)
    told = {}
    for names, defaults in rows:
        keys = re.findall(r"`(\w+)`", names)
        told |= dict(zip(keys, defaults.replace("`", "").split(", "), strict=True))
    assert sorted(told) == sorted(field.name for field in fields(Recipe))
    plain = {
        field.name: str(field.default).lower()
        for field in fields(Recipe)
        if field.default not in (MISSING, "")
    }
    assert {name: told[name] for name in plain} == plain
    assert all(f"`{loss}`" in section for loss in LOSSES)


def test_every_config_is_listed(repo_root):
    folder = repo_root / "config"
    named = {str(path.relative_to(folder)) for path in folder.rglob("*.yaml")}
    assert named == set(re.findall(r"`([\w/]+\.yaml)` \|", config_reference()))
