"""Code that a newcomer can read and search: short lists of parameters, names, small modules."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[1] / "src" / "popscan"
#: Words with so many meanings that a search for them finds everything.
VAGUE = {"told", "way", "ask", "calm"}
#: Parameters that a call may give by position; two of one type side by side get exchanged.
MOST_BY_POSITION = 7
MOST_LINES = 400
#: `Any` in what joins the stages: this number only falls.
MOST_ANY = 52


@pytest.fixture(scope="module")
def modules() -> dict[str, ast.Module]:
    paths = sorted(SOURCE.rglob("*.py"))
    return {str(p.relative_to(SOURCE)): ast.parse(p.read_text(encoding="utf-8")) for p in paths}


def names_given(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, ast.arg):
            yield node.arg
        elif isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            yield node.name


def test_no_name_is_a_word_of_many_meanings(modules):
    found = {
        name: vague for name, tree in modules.items() if (vague := VAGUE & {*names_given(tree)})
    }
    assert found == {}


def test_long_lists_of_parameters_are_keyword_only(modules):
    found = {}
    for name, tree in modules.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef):
                given = [a.arg for a in (*node.args.posonlyargs, *node.args.args)]
                if len([a for a in given if a not in ("self", "cls")]) > MOST_BY_POSITION:
                    found[f"{name}: {node.name}"] = given
    assert found == {}


def test_modules_are_small(modules):
    lengths = {
        name: len((SOURCE / name).read_text(encoding="utf-8").splitlines()) for name in modules
    }
    assert {name: n for name, n in lengths.items() if n > MOST_LINES} == {}


def test_the_glue_names_its_types(modules):
    # Config sections as plain data and arrays of any type are what is left.
    found = [
        name
        for name, tree in modules.items()
        if name.split("/")[0] in ("study", "stages", "commands")
        for node in ast.walk(tree)
        if isinstance(node, ast.Name) and node.id == "Any"
    ]
    assert len(found) <= MOST_ANY, sorted(found)
