"""Benchmarks run rarely, so that what they take from the package may be gone by then."""

from __future__ import annotations

import ast
import importlib
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[1] / "benchmarks"


def taken(tree: ast.Module) -> list[tuple[str, str]]:
    """Modules of popscan, and the names that a script takes from them by import or by a dot."""
    modules: dict[str, str] = {}
    names = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("popscan"):
            for alias in node.names:
                names.append((str(node.module), alias.name))
                modules[alias.asname or alias.name] = f"{node.module}.{alias.name}"
    for node in ast.walk(tree):
        dotted = isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)
        if dotted and node.value.id in modules:
            names.append((modules[node.value.id], node.attr))
    return names


@pytest.mark.parametrize("script", sorted(p.name for p in FOLDER.glob("*.py")))
def test_what_a_benchmark_takes_from_the_package_is_there(script):
    tree = ast.parse((FOLDER / script).read_text(encoding="utf-8"))
    missing = []
    for place, name in taken(tree):
        try:
            owner = importlib.import_module(place)
        except ModuleNotFoundError:
            # A class or a function: only its class attributes are known without running it.
            module, _, inner = place.rpartition(".")
            owner = getattr(importlib.import_module(module), inner)
            if not isinstance(owner, type) or name in getattr(owner, "__annotations__", {}):
                continue
        if hasattr(owner, name):
            continue
        try:
            importlib.import_module(f"{place}.{name}")
        except ModuleNotFoundError:
            missing.append(f"{place}.{name}")
    assert missing == []
