"""The oldest versions that are tested are those that are allowed."""

from __future__ import annotations

import re
import tomllib


def test_tested_and_allowed_oldest_versions_are_the_same(repo_root):
    project = tomllib.loads((repo_root / "pyproject.toml").read_text())["project"]
    allowed = {
        match[1]: match[2]
        for text in project["dependencies"]
        if (match := re.match(r"([\w.-]+)>=([\d.]+)", text))
    }
    lines = (repo_root / "envs" / "oldest.txt").read_text().splitlines()
    tested = dict(line.split("==") for line in lines if not line.startswith("#"))
    assert {"numpy", "pandas", "statsmodels", "scipy"} <= set(tested)
    for name, version in tested.items():
        assert f"{version}.0".startswith(f"{allowed[name]}."), (name, version, allowed[name])
