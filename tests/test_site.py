"""The documentation builds without a warning, and the commands in it work."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import jsonschema
import pandas as pd
import pytest
import yaml

from popscan.cli.main import main, parser

_BLOCK = re.compile(r"^```(\w+)(?: title=\"([\w.]+)\")?\n(.*?)^```", re.MULTILINE | re.DOTALL)
_ROOT = Path(__file__).resolve().parents[1]


def blocks(*kinds: str) -> Iterator[tuple[str, str, str]]:
    """Give page, title and text of each fenced block of these kinds."""
    pages = [
        _ROOT / "README.md",
        _ROOT / "CONTRIBUTING.md",
        *sorted((_ROOT / "docs").rglob("*.md")),
    ]
    for page in pages:
        for kind, title, text in _BLOCK.findall(page.read_text(encoding="utf-8")):
            if kind in kinds:
                yield page.relative_to(_ROOT).as_posix(), title, text


def test_the_site_builds_without_a_warning(tmp_path, repo_root):
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)]
    done = subprocess.run(
        command,
        cwd=repo_root,
        capture_output=True,
        text=True,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    front = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert "Population imaging studies as one workflow" in front
    # Nothing is fetched from elsewhere when a page is opened.
    assert not re.findall(r"<(?:script|link|img)[^>]+(?:src|href)=\"https?://", front)
    commands = (tmp_path / "reference/commands/index.html").read_text(encoding="utf-8")
    assert "popscan rerun" in commands
    assert "open_study" in (tmp_path / "reference/python/index.html").read_text(encoding="utf-8")
    for card in (repo_root / "resources" / "models").glob("*/card.md"):
        page = tmp_path / "models" / card.parent.name / "index.html"
        assert "Limits" in page.read_text(encoding="utf-8")
        assert f'href="models/{card.parent.name}/"' in front


def test_commands_in_the_docs_are_commands():
    lines = [
        (page, line)
        for page, _, text in blocks("sh", "bash")
        for line in re.sub(r"\\\n\s*", "", text).splitlines()
        if re.match(r"\s*popscan \w", line)
    ]
    assert len(lines) > 10
    wrong = []
    for page, line in lines:
        words = shlex.split(line, comments=True)[1:]
        words = words[: words.index(">")] if ">" in words else words
        try:
            _, left = parser().parse_known_args(words)
        except SystemExit:
            wrong.append(f"{page}: {line}")
            continue
        if left and words[0] not in ("run", "bids"):
            wrong.append(f"{page}: {line}: {left}")
    assert not wrong, "\n".join(wrong)


def test_configs_in_the_docs_have_keys_that_exist(repo_root):
    schemas = repo_root / "workflow" / "schemas"
    study = json.loads((schemas / "config.schema.json").read_text())
    wrong = []
    for page, _, text in blocks("yaml"):
        data = yaml.safe_load(text)
        if not isinstance(data, dict) or not set(data) <= set(study["properties"]):
            continue  # a recipe, a profile, the config of an audit: not a study's
        for error in jsonschema.Draft202012Validator(study).iter_errors(data):
            if error.validator not in ("required", "type"):
                wrong.append(f"{page}: {error.message[:200]}")
    assert not wrong, "\n".join(wrong)


def test_python_in_the_docs_compiles():
    for page, _, text in blocks("python"):
        compile(text, page, "exec")


def test_the_tutorial_on_a_table_finds_what_it_promises(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    page = "docs/tutorials/audit.md"
    for name, title, text in blocks("python", "yaml"):
        if name == page:
            Path(title).write_text(text)
    exec(compile(Path("cohort.py").read_text(), "cohort.py", "exec"), {})
    (command,) = (text for name, _, text in blocks("sh") if name == page)
    assert main(shlex.split(command)[1:]) == 0
    capsys.readouterr()
    exec(compile(Path("read.py").read_text(), "read.py", "exec"), {})
    crude, adjusted = (float(x) for x in re.findall(r"-?\d+\.\d+", capsys.readouterr().out))
    assert crude < -0.03
    assert abs(adjusted) < abs(crude) / 2
    confounders = pd.read_parquet("results/hippocampus/tables/fairness_confounding.parquet")
    scanner = confounders[confounders["confounder"] == "scanner"].set_index("attribute")
    assert scanner.loc["sex", "p_adj"] < 0.05


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md"])
def test_files_that_pages_link_to_exist(repo_root, page):
    text = (repo_root / page).read_text(encoding="utf-8")
    links = {link for link in re.findall(r"\]\(([^)#\s]+)", text) if "://" not in link}
    assert links
    assert not [link for link in sorted(links) if not (repo_root / link).exists()]
