"""Stages that other packages offer by entry points: found, checked, run only where enabled."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from popscan.stages import _LISTED, TOOLKITS
from popscan.stages.foreign import foreign_stages

STAGE = """
from popscan.stages.description import Stage

STAGE = Stage(
    name="contrast",
    version="1",
    sections=("study",),
    options="contrast_of_a_lab:Options",
    reads=("ingest",),
    side=True,
    optional=True,
    task="contrast_of_a_lab:contrast_task",
)
WRONG = 3
"""
OPTIONS = """
from popscan.config import Section

class Options(Section):
    enabled: bool = False

def contrast_task(context):
    raise NotImplementedError
"""
CODE = """
from popscan.commands.stage_options import stage_problems
from popscan.stages import SUBJECT_STAGES, optional_stages, stages_of, upstream_of

assert list(SUBJECT_STAGES)[-1] == "contrast"
assert upstream_of("contrast") == ("ingest",)
on = {"stages": {"contrast": {"enabled": True}}}
assert stages_of("bids", optional=optional_stages({})) == stages_of("bids")
assert "contrast" in stages_of("bids", optional=optional_stages(on))
assert stage_problems(on["stages"], where="c.yaml") == []
(problem,) = stage_problems({"broken": {}}, where="c.yaml")
print(problem)
"""


def offer(folder: Path, entries: dict[str, str]) -> None:
    """Write what an installed package leaves."""
    (folder / "lab_stage.py").write_text(STAGE)
    (folder / "contrast_of_a_lab.py").write_text(OPTIONS)
    info = folder / "lab-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: lab\nVersion: 1.0\n")
    lines = [f"{name} = {place}" for name, place in entries.items()]
    (info / "entry_points.txt").write_text("[popscan.stages]\n" + "\n".join(lines) + "\n")


def test_an_installed_stage_is_there_and_runs_only_where_it_is_enabled(tmp_path):
    offer(tmp_path, {"contrast": "lab_stage:STAGE", "broken": "lab_stage:NONE"})
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}"}
    done = subprocess.run(
        [sys.executable, "-c", CODE], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "stages.broken" in done.stdout
    assert "lab_stage:NONE) cannot be loaded: AttributeError" in done.stdout


@pytest.mark.parametrize(
    ("entry", "old", "new", "reason"),
    [
        ("contrast = lab_stage:WRONG", "", "", "a Stage is expected"),
        ("other = lab_stage:STAGE", "", "", "calls itself 'contrast'"),
        ("qc = lab_stage:STAGE", '"contrast"', '"qc"', "of this name already"),
        ("contrast = lab_stage:STAGE", "optional=True", "optional=False", "optional=True"),
        ("contrast = lab_stage:STAGE", 'reads=("ingest",)', 'reads=("scan",)', "reads scan"),
        (
            "contrast = lab_stage:STAGE",
            'reads=("ingest",)',
            'reads=("ingest",), uses=("kit",)',
            "uses kit",
        ),
        ("contrast = lab_stage:STAGE", "side=True", 'per="study"', "per subject"),
        ("contrast = no_module:STAGE", "", "", "ModuleNotFoundError"),
    ],
)
def test_one_that_cannot_be_used_is_named_with_the_reason(
    tmp_path, monkeypatch, entry, old, new, reason
):
    name, place = entry.split(" = ")
    offer(tmp_path, {name: place})
    path = tmp_path / "lab_stage.py"
    path.write_text(path.read_text().replace(old, new) if old else path.read_text())
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "lab_stage", raising=False)
    stages, problems = foreign_stages(_LISTED, toolkits=TOOLKITS)
    monkeypatch.delitem(sys.modules, "lab_stage", raising=False)
    assert stages == ()
    assert list(problems) == [name]
    assert reason in problems[name]
