"""The conda list and the recipe of the container hold what pyproject.toml asks for."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
import yaml

#: Names on PyPI -> on conda-forge and bioconda, where they differ.
CONDA_NAMES = {
    "isal": "python-isal",
    "matplotlib": "matplotlib-base",
    "snakemake": "snakemake-minimal",
    "torch": "pytorch",
}


def bounds(text: str) -> tuple[str, frozenset[str]]:
    """Return name and bounds of a requirement, however it is spaced."""
    match = re.fullmatch(r"([A-Za-z0-9._-]+)\s*(.*)", text.strip())
    assert match, text
    return match[1].lower(), frozenset(re.sub(r"\s", "", match[2]).split(",")) - {""}


@pytest.fixture
def project(repo_root: Path) -> dict:
    return tomllib.loads((repo_root / "pyproject.toml").read_text())["project"]


def test_conda_has_the_same_packages_with_the_same_bounds(repo_root, project):
    listed = yaml.safe_load((repo_root / "envs" / "popscan.yaml").read_text())["dependencies"]
    conda = dict(map(bounds, listed))
    assert len(conda) == len(listed), "a package is named twice"
    assert conda.pop("pip") == frozenset()
    assert conda.pop("python") == bounds(f"python {project['requires-python']}")[1]
    asked = dict(map(bounds, project["dependencies"]))
    assert conda == {CONDA_NAMES.get(name, name): of for name, of in asked.items()}


def test_the_recipe_takes_what_a_wheel_needs(repo_root, project):
    text = (repo_root / "envs" / "popscan.def").read_text()
    parts = dict(re.findall(r"^%(\w+)\n(.*?)(?=^%|\Z)", text, re.MULTILINE | re.DOTALL))
    copied = dict(line.split() for line in parts["files"].splitlines() if line.strip())
    assert all(to == f"/opt/popscan/{here}" for here, to in copied.items())
    assert [here for here in copied if not (repo_root / here).exists()] == []
    build = tomllib.loads((repo_root / "pyproject.toml").read_text())["tool"]["hatch"]["build"]
    needed = {
        project["readme"],
        "pyproject.toml",
        *(path.split("/")[0] for path in build["targets"]["wheel"]["packages"]),
        *(path.split("/")[0] for path in build["targets"]["wheel"]["force-include"]),
    }
    assert needed <= set(copied)
    # Packages come from pyproject.toml alone, with the pins that tests have.
    installs = re.findall(r"pip install (.*)", parts["post"])
    assert len(installs) == 1
    assert installs[0].endswith("-c /opt/popscan/envs/constraints.txt -e /opt/popscan")
    python = re.search(r"^From: python:([\d.]+)-", text, re.MULTILINE)
    assert python
    assert bounds(f"python >={python[1]}")[1] == bounds(f"python {project['requires-python']}")[1]


def test_pins_are_allowed_versions(repo_root, project):
    asked = [*project["dependencies"], *project["optional-dependencies"]["dev"]]
    lowest = {
        name: bound.removeprefix(">=")
        for name, of in map(bounds, asked)
        for bound in of
        if bound.startswith(">=")
    }
    for line in (repo_root / "envs" / "constraints.txt").read_text().splitlines():
        name, version = line.split("==")
        numbers = [[int(n) for n in text.split(".")] for text in (version, lowest[name])]
        assert numbers[0] >= numbers[1], line
