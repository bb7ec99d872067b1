"""Pages written by hand name all that the code has."""

from __future__ import annotations

import ast
import re
from dataclasses import MISSING, fields

from popscan.commands.reference import biomarkers_reference, config_reference
from popscan.train.losses import LOSSES
from popscan.train.recipe import Recipe


def strings_in(nodes):
    """Strings among some nodes of a syntax tree."""
    return {n.value for n in nodes if isinstance(n, ast.Constant) and isinstance(n.value, str)}


def reasons_in(tree):
    """Codes in ``SubjectError("code", ...)``, in helpers that return one, in ``reason="code"``."""
    nodes = list(ast.walk(tree))
    raising = {"SubjectError", "NotApplicable"} | {
        node.name
        for node in nodes
        if isinstance(node, ast.FunctionDef) and getattr(node.returns, "id", "") == "SubjectError"
    }
    calls = [node for node in nodes if isinstance(node, ast.Call)]
    given = [k.value for call in calls for k in call.keywords if k.arg == "reason"]
    given += [c.args[0] for c in calls if c.args and getattr(c.func, "id", "") in raising]
    return strings_in(given) - {""}


def test_page_of_reasons_has_every_code_of_the_source_and_no_other(repo_root):
    modules = (repo_root / "src" / "popscan").rglob("*.py")
    trees = [ast.parse(path.read_text()) for path in modules]
    used = set().union(*map(reasons_in, trees))
    known = set().union(*(strings_in(ast.walk(tree)) for tree in trees))
    rows = re.findall(r"^\| (`.*?`) \|", (repo_root / "docs" / "reasons.md").read_text(), re.M)
    told = [code for row in rows for code in re.findall(r"`(\w+)`", row)]
    assert len(told) == len(set(told))
    assert sorted(used - set(told)) == [], "say in docs/reasons.md what they mean"
    assert sorted(set(told) - known) == [], "no longer in the code"


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
